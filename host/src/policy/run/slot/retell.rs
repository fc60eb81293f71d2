//! Retelling: the generations of a slot get another configuration.
//!
//! Their components and their own settings stay as they are, and so do the keys that they give. A
//! request that began under the old configuration keeps its old generation, which goes on deciding
//! for it.

use std::sync::{Arc, PoisonError};

use tokio::time::Instant;

use super::ledger::PastNaming;
use super::{Activation, Generation, Ledger, Reason, Slot, Tenure, Trial};
use crate::policy::prove::gate::Passed;

/// Generations that were examined under a new configuration.
pub struct Retold {
    /// The generation that was in force then, and has to be in force still.
    pub examined: Arc<Generation>,
    /// The same policy under the new configuration.
    pub next: Passed,
    /// Generations out of [`Slot::others`], each with the candidate that passed in its place.
    pub others: Vec<(Arc<Generation>, Passed)>,
    /// How long things last under the new configuration.
    pub tenure: Tenure,
    /// Why.
    pub reason: Reason,
    /// When an operator asked for it, or its file was seen to change.
    pub asked: std::time::Instant,
}

impl Slot {
    /// Every generation that a rollback would bring back or whose keys may live, if its policy is
    /// not the one in force; each policy once.
    #[must_use]
    pub fn others(&self) -> Vec<Arc<Generation>> {
        let mut ledger = self.inner.ledger();
        ledger.forget_names(Instant::now());
        let mut others = vec![self.current()];
        for known in ledger.all() {
            if others.iter().all(|other| other.policy_id() != known.policy_id()) {
                others.push(known);
            }
        }
        others.split_off(1)
    }

    /// Puts each new generation in the place of the old one of the same policy. Old generations
    /// without a new one are forgotten: no rollback leads to them, and this host believes no value
    /// under their names any more. `None`, without any change, if another generation is in force
    /// than the one that was examined.
    pub fn retell(&self, retold: Retold) -> Option<Arc<Generation>> {
        let Retold { examined, next, others, tenure, reason, asked } = retold;
        let _one_at_a_time = self.exchanging.lock().unwrap_or_else(PoisonError::into_inner);
        let began = std::time::Instant::now();
        let others: Vec<Arc<Generation>> = others
            .into_iter()
            .map(|(other, passed)| self.generation(passed.into_parts(other.provenance().clone())))
            .collect();
        let next = self.generation(next.into_parts(examined.provenance().clone()));
        next.warm(Vec::new(), super::WARM_TIME);
        let mut ledger = self.inner.ledger();
        if self.current().number() != examined.number() {
            return None;
        }
        ledger.retell(&next, &others, tenure);
        self.inner.current.store(Arc::clone(&next));
        ledger.trial = Trial::new(Instant::now(), tenure.probation, next.counts());
        ledger.record(Activation::of(&next, reason));
        ledger.took(began.elapsed(), asked.elapsed());
        Some(next)
    }
}

impl Ledger {
    fn all(&self) -> Vec<Arc<Generation>> {
        let ready = self.previous.iter().chain(&self.fallback);
        ready.chain(self.namings.iter().map(|naming| &naming.generation)).cloned().collect()
    }

    fn retell(&mut self, next: &Arc<Generation>, others: &[Arc<Generation>], tenure: Tenure) {
        let again = |old: &Arc<Generation>| {
            others.iter().find(|other| other.policy_id() == old.policy_id()).cloned()
        };
        self.retired.extend(self.all().iter().map(Arc::downgrade));
        let namings = self.namings.drain(..).filter_map(|naming| {
            let PastNaming { generation, idle_since } = naming;
            Some(PastNaming { generation: again(&generation)?, idle_since })
        });
        self.namings = namings.collect();
        self.namings.push(PastNaming { generation: Arc::clone(next), idle_since: None });
        self.previous = self.previous.as_ref().and_then(again);
        self.fallback = self.fallback.as_ref().and_then(again);
        self.failing = None;
        // A value that was stored under the old configuration lives as long as the old
        // configuration allowed.
        let naming = tenure.naming.max(self.tenure.naming);
        self.tenure = Tenure { naming, ..tenure };
    }
}
