//! Readiness: whether a host should get requests, and what does not work as it should.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use crate::cache::{Breaker, NodeStanding, Standing};

use super::Corral;

/// After what time a host that still can't store takes requests all the same: its store or its database can't
/// be reached.
const BEGINS_WITHIN: Duration = Duration::from_secs(2);

/// The answer to `GET /readyz`.
///
/// A host that can't reach its store is ready: it serves from the origin. Taking every host out because the
/// shared store is gone would make an outage of the cache an outage of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether this host should get requests.
    pub ready: bool,
    /// The breaker of the store.
    pub store: Breaker,
    /// Whether the origin answers.
    pub origin: bool,
    /// Invalidations that wait for the store.
    pub pending_invalidations: usize,
    /// What an operator should know, as sentences.
    pub reasons: Vec<String>,
}

/// Which nodes of the store are not trusted, and why.
fn distrusted(standing: &Standing) -> Vec<String> {
    let unasked = "it was not asked yet";
    if standing.nodes.len() < 2 {
        let why = standing.why.as_deref().unwrap_or(unasked);
        let sentence = format!("the store is not trusted, so reads go to the origin: {why}");
        return if standing.store == Breaker::Closed { vec![] } else { vec![sentence] };
    }
    let open = standing.nodes.iter().filter(|node| node.breaker != Breaker::Closed);
    let sentence = |node: &NodeStanding| {
        let (name, why) = (&node.node, node.why.as_deref().unwrap_or(unasked));
        format!(
            "the store's node {name} is not trusted, so reads of its values go to the origin: {why}"
        )
    };
    open.map(sentence).collect()
}

impl Corral {
    /// Asks store and origin.
    pub async fn readiness(&self) -> Readiness {
        let standing = self.inner.cache.standing();
        let (store, pending_invalidations) = (standing.store, standing.owed);
        let origin = self.origin_answers().await;
        let draining = self.inner.draining.load(Ordering::Acquire);
        let mut reasons = Vec::new();
        if draining {
            reasons.push("this host is shutting down".to_owned());
        }
        reasons.extend(distrusted(&standing));
        if pending_invalidations > 0 {
            reasons.push(format!("{pending_invalidations} invalidations wait for the store"));
        }
        if standing.in_doubt > 0 {
            let count = standing.in_doubt;
            reasons.push(format!(
                "{count} commits are in doubt: the database has not said how they ended"
            ));
        }
        if standing.strangers > 0 {
            let count = standing.strangers;
            reasons.push(format!(
                "{count} hosts of another format are alive: their writes do not reach the values of this \
                 host"
            ));
        }
        if let Some(concern) = &standing.concern {
            reasons.push(format!("about the store's server: {concern}"));
        }
        if !origin {
            reasons.push("the origin does not answer: only stored values are served".to_owned());
        }
        reasons.extend(standing.failings.iter().cloned());
        reasons.extend(self.inner.misfits.sentences());
        if self.inner.policies.slot().is_failing() {
            let what = "the policy fails and there is none to roll back to: what it can't decide is \
                        loaded and not stored";
            reasons.push(what.to_owned());
        }
        if standing.is_new {
            reasons.push(
                "nothing is stored for a second: other hosts still have to learn the names"
                    .to_owned(),
            );
        }
        let ready = !draining && (origin || store == Breaker::Closed) && self.has_begun(&standing);
        Readiness { ready, store, origin, pending_invalidations, reasons }
    }

    /// Whether the host may take requests: a new host waits until it can store, [`BEGINS_WITHIN`] at most.
    /// Afterwards it takes requests for good.
    fn has_begun(&self, standing: &Standing) -> bool {
        let begun = &self.inner.begun;
        if standing.may_store || self.inner.started.elapsed() > BEGINS_WITHIN {
            begun.store(true, Ordering::Release);
        }
        begun.load(Ordering::Acquire)
    }

    /// From now on [`Corral::readiness`] says that the host is not ready.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Release);
    }

    async fn origin_answers(&self) -> bool {
        match &self.inner.origin {
            None => true,
            Some(origin) => self.inner.probe.answers(origin.as_ref()).await,
        }
    }
}
