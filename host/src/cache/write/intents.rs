//! Intents: invalidations announced before the commit, so that another host carries them out when
//! the one that wrote is lost in between (race L).
//!
//! An intent falls due only when its transaction can no longer commit. The origin ends a transaction
//! that is idle for [`WRITE_IDLE_LIMIT`]; the intent is held for longer than that; a writer that is late, or
//! whose commit takes long, announces it again; and who carries it out asks for the transaction first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::observe::Metrics;
use crate::origin::{WRITE_IDLE_LIMIT, Xid};
use crate::store::{Intent, Target};

use super::super::trust::Trust;
use super::super::{Cache, Entropy, Invalidated};

/// How long an intent is left to the host that announced it: until its transaction has ended, and
/// half a second more for the messages on their way.
const HOLD: Duration = WRITE_IDLE_LIMIT.saturating_add(Duration::from_millis(500));

/// How long a due intent is left to the host that took it, which may be lost as well. Who carries out what that one
/// carries out too does it for nothing.
const TAKEN: Duration = Duration::from_millis(300);

/// How often an intent is tried again that the store did not take.
const RETRY: Duration = Duration::from_millis(100);

/// Every host looks for due intents this often, give or take a quarter, so that hosts which started
/// together do not ask together.
const LOOK: Duration = Duration::from_millis(300);

/// An invalidation that every host knows of, if the store took it.
pub(super) struct Announcement {
    trust: Arc<Trust>,
    metrics: Arc<Metrics>,
    intent: Intent,
    /// When it was announced last; `None`: the store did not take it. Then nobody but this host knows
    /// what to invalidate, and if it is lost now, the lifetime bounds what is stale.
    since: Option<Instant>,
}

impl Announcement {
    /// Announces what is about to become untrue.
    pub(super) async fn new(cache: &Cache, targets: Vec<Target>, xid: Option<Xid>) -> Self {
        let intent = Intent::new(cache.entropy.bits(), targets, xid.map(|xid| xid.number));
        let (trust, metrics) = (Arc::clone(&cache.trust), Arc::clone(&cache.metrics));
        let mut announcement = Self { trust, metrics, intent, since: None };
        if !announcement.intent.targets().is_empty() {
            announcement.announce().await;
            if announcement.since.is_none() {
                announcement.metrics.intents("not-announced");
            }
        }
        announcement
    }

    /// Runs the commit, or what finds out how it ended, and holds the intent off for as long as that takes.
    /// A store that comes back meanwhile, or under another epoch, hears of it then.
    pub(super) async fn during<T>(&mut self, commit: impl Future<Output = T>) -> T {
        if self.intent.targets().is_empty() {
            return commit.await;
        }
        if self.since.is_some_and(|since| since.elapsed() > HOLD / 3) {
            self.announce().await;
        }
        tokio::pin!(commit);
        loop {
            let pause = if self.since.is_some() { HOLD / 3 } else { RETRY };
            let announce = async {
                sleep(pause).await;
                self.announce().await;
            };
            tokio::select! {
                biased;
                committed = &mut commit => return committed,
                () = announce => {}
            }
        }
    }

    /// It is owed: this host does not trust the store. Others carry it out, should this host be lost.
    pub(super) async fn leave(mut self) {
        if self.since.is_none() && !self.intent.targets().is_empty() {
            self.announce().await;
        }
    }

    /// It is done, or nothing was written.
    pub(super) async fn withdraw(self) {
        if self.since.is_some() {
            // One that stays is carried out once more, for nothing.
            let withdrawn = self.trust.watch(|store| store.withdraw(&self.intent)).await;
            self.metrics.intents(if withdrawn.is_ok() { "withdrawn" } else { "left" });
        }
    }

    async fn announce(&mut self) {
        if self.trust.tell(|store| store.announce(&self.intent, HOLD)).await.is_ok() {
            self.since = Some(Instant::now());
        }
    }
}

impl Cache {
    /// Carries out what lost hosts announced; runs for as long as the host does.
    pub async fn carry_out_intents(&self) {
        loop {
            sleep(look(&*self.entropy)).await;
            let due = self.trust.watch(|store| store.due(TAKEN)).await;
            self.carry_out_due(due.unwrap_or_default()).await;
        }
    }

    /// All at once: a floor that has to be learned by every host takes a second, and not one for each intent.
    async fn carry_out_due(&self, due: Vec<Intent>) {
        let (mut over, mut targets) = (Vec::new(), BTreeSet::new());
        for intent in due {
            if self.is_over(&intent).await {
                targets.extend(intent.targets().iter().cloned());
                over.push(intent);
            }
        }
        let invalidated = self.carry_out(targets.into_iter().collect()).await;
        if over.is_empty() || !matches!(invalidated, Invalidated::Done(_)) {
            return;
        }
        tracing::info!(intents = over.len(), "carried out what other hosts announced");
        for intent in &over {
            self.metrics.intents("carried-out");
            // One that stays is carried out once more, for nothing.
            let _ = self.trust.watch(|store| store.withdraw(intent)).await;
        }
    }

    /// Whether an intent's transaction can commit no more. While that can't be told it stays: it falls due
    /// again.
    async fn is_over(&self, intent: &Intent) -> bool {
        match (intent.transaction(), self.database.origin()) {
            (Some(xid), Some(origin)) => origin.has_ended(Xid::from(xid)).await.unwrap_or(false),
            (_, None) | (None, _) => true,
        }
    }
}

fn look(entropy: &dyn Entropy) -> Duration {
    let quarter_ms = LOOK.as_millis() / 4;
    let early_ms = u64::try_from(entropy.bits() % (2 * quarter_ms)).unwrap_or(0);
    LOOK + LOOK / 4 - Duration::from_millis(early_ms)
}
