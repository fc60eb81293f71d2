//! Beats: what a node says about itself, and where its address leads meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{TRUST, Trust};
use crate::store::{Beat, Confirmation, Epoch, LinkId, Over, RangeId, Replicas};

/// How often a connection is opened anew, to see where the address leads now.
const CONFIRM: Duration = Duration::from_millis(500);

/// A beat that was good.
#[derive(Debug, Clone)]
pub(in crate::cache) struct GoodBeat {
    pub(in crate::cache) link: LinkId,
    pub(in crate::cache) epoch: Epoch,
    pub(in crate::cache) beat: Beat,
    /// When it was sent, by the host's clock.
    sent: Duration,
}

impl GoodBeat {
    /// When the trust that this beat gives ends, by the host's clock.
    pub(in crate::cache) fn until(&self) -> Duration {
        self.sent + TRUST
    }
}

/// Why a beat was not good.
enum BadBeat {
    /// Where the address leads is not known; the error of the last look says why.
    Unconfirmed(&'static str),
    Otherwise(&'static str),
}

impl Trust {
    /// Asks for a beat with the versions of these ranges, and judges it.
    pub(in crate::cache) async fn beat(&self, ranges: &[RangeId]) -> Result<GoodBeat, String> {
        let sent = self.clock.now();
        let confirmed = self.lock().confirmed;
        let is_due = confirmed.is_none_or(|(_, at)| at + CONFIRM <= sent);
        let confirming = async {
            if !is_due {
                return Ok(None);
            }
            self.store.confirm().await.map(Some)
        };
        let (beat, confirmation) = tokio::join!(self.store.beat(ranges), confirming);
        let Over { link, answer: beat } = beat.map_err(|error| {
            self.note_silence(&error);
            error.to_string()
        })?;
        self.silent.store(false, Ordering::Relaxed);
        let mut state = self.lock();
        state.link = link;
        let mut unconfirmed = String::new();
        match confirmation {
            Ok(Some(confirmation)) => {
                let ago = match confirmation {
                    Confirmation::Reached(_) => Duration::ZERO,
                    Confirmation::Named { ago } => ago,
                };
                state.confirmed = Some((confirmation, sent.saturating_sub(ago)));
            }
            Ok(None) => {}
            Err(error) => unconfirmed = format!(": {error}"),
        }
        let confirmed = state.confirmed;
        drop(state);
        self.judge(beat, link, sent, confirmed).map_err(|why| match why {
            BadBeat::Unconfirmed(why) => format!("{why}{unconfirmed}"),
            BadBeat::Otherwise(why) => why.to_owned(),
        })
    }

    fn judge(
        &self,
        beat: Beat,
        link: LinkId,
        sent: Duration,
        confirmed: Option<(Confirmation, Duration)>,
    ) -> Result<GoodBeat, BadBeat> {
        if !beat.is_primary {
            self.store.relink("it is a replica");
            return Err(BadBeat::Otherwise("the address leads to a replica; name the primary"));
        }
        let (confirmation, at) =
            confirmed.ok_or(BadBeat::Unconfirmed("no new connection could be opened"))?;
        if let Confirmation::Reached(leads_to) = confirmation
            && leads_to != beat.epoch
        {
            self.store.relink("the address leads elsewhere");
            return Err(BadBeat::Otherwise(
                "a new connection through the address reaches another server than the open \
                        ones; if a balancer stands in between, name one server",
            ));
        }
        if at + TRUST < sent {
            return Err(BadBeat::Unconfirmed(match confirmation {
                Confirmation::Reached(_) => "no new connection could be opened for a second",
                Confirmation::Named { .. } => "no other node has named it for a second",
            }));
        }
        if beat.replicas == Replicas::Silent {
            return Err(BadBeat::Otherwise(
                "a replica of the node is silent, so it may have been promoted",
            ));
        }
        // A server that hides its identity has one epoch for ever; `check` says what that costs.
        let epoch = beat.epoch.unwrap_or(Epoch(0));
        Ok(GoodBeat { link, epoch, beat, sent })
    }
}
