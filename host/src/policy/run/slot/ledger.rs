//! What only an exchange touches: the generations that were in force, the names that they gave, and
//! the policies that must not come back.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::status::{Activation, GenerationState, Reason, Shown, SlotStatus};
use super::{Generation, Tenure};
use crate::name::PolicyId;
use crate::policy::Configuration;
use crate::policy::run::generation::GenerationParts;
use crate::policy::run::trial::{Trial, WINDOW};

/// How many activations an operator can look back on.
pub(super) const HISTORY: usize = 64;

/// How many differing namings an invalidation covers. Each costs the invalidation a round of calls,
/// and more than a few policies that name keys differently are not exchanged within one lifetime.
const NAMINGS: usize = 8;

/// How many components that the slot left by itself are remembered: far more than an operator tries
/// while one process lives.
const CONDEMNED: usize = 64;

pub(super) struct Ledger {
    pub(super) tenure: Tenure,
    pub(super) previous: Option<Arc<Generation>>,
    /// The generation that was in force before the current component and settings: the previous
    /// one, unless the same component and settings were put in force twice.
    pub(super) fallback: Option<Arc<Generation>>,
    pub(super) trial: Trial,
    pub(super) namings: Vec<PastNaming>,
    /// Generations that are neither in force nor ready; flights still hold them.
    pub(super) retired: Vec<Weak<Generation>>,
    condemned: VecDeque<Condemned>,
    pub(super) failing: Option<Instant>,
    newest: u64,
    history: VecDeque<Activation>,
}

/// A naming: one generation of each component and settings that was in force or learned, newest
/// last. Keys that it named may still live.
pub(super) struct PastNaming {
    pub(super) generation: Arc<Generation>,
    /// Since when it is not in force: the slot left it then, or learned it last. `None` while it is
    /// in force.
    pub(super) idle_since: Option<Instant>,
}

struct Condemned {
    digest: String,
    configuration: Arc<Configuration>,
}

impl Ledger {
    pub(super) fn new(first: &Arc<Generation>) -> Self {
        let tenure = Tenure::default();
        Self {
            tenure,
            previous: None,
            fallback: None,
            // Nothing came before the first generation, so its probation could not lead back to
            // anything.
            trial: Trial::new(Instant::now(), Duration::ZERO, first.counts()),
            namings: vec![PastNaming { generation: Arc::clone(first), idle_since: None }],
            retired: Vec::new(),
            condemned: VecDeque::new(),
            failing: None,
            newest: 1,
            history: VecDeque::from([Activation::of(first, Reason::Started)]),
        }
    }

    /// The number of a generation to come. Whatever it did before is pardoned, since an operator
    /// insists on it.
    pub(super) fn announce(&mut self, parts: &GenerationParts) -> u64 {
        self.newest += 1;
        self.pardon(&parts.digest, &parts.configuration);
        self.newest
    }

    /// From now on invalidations name keys under `next`.
    pub(super) fn enter(&mut self, next: &Arc<Generation>) {
        self.failing = None;
        self.namings.retain(|other| !other.generation.names_like(next));
        self.cover(PastNaming { generation: Arc::clone(next), idle_since: None });
    }

    /// Invalidations also name keys under `learned`, for as long as under a generation that is left
    /// now. It is not in force here, but may be on another host.
    pub(super) fn learn(&mut self, learned: &Generation, now: Instant) {
        let known = self.namings.iter_mut().find(|known| known.generation.names_like(learned));
        if let Some(known) = known {
            known.idle_since = known.idle_since.map(|_earlier| now);
            return;
        }
        let generation = Arc::new(learned.naming_only());
        self.cover(PastNaming { generation, idle_since: Some(now) });
    }

    /// Adds a naming. If there are too many, the one that has not been in force for the longest
    /// time is forgotten, never one that is in force.
    fn cover(&mut self, naming: PastNaming) {
        self.namings.push(naming);
        if self.namings.len() <= NAMINGS {
            return;
        }
        let namings = self.namings.iter().enumerate();
        let idle = namings.filter_map(|(at, naming)| Some((naming.idle_since?, at)));
        let Some((_since, at)) = idle.min() else { return };
        let forgotten = self.namings.remove(at).generation;
        tracing::warn!(
            policy = forgotten.label(),
            "too many policies that name keys differently came into force or were learned within \
             one lifetime: keys that this one named are no longer invalidated, so don't go back to \
             it"
        );
    }

    /// Makes the generation that was left the previous one. A generation that can't be gone back to
    /// any more is kept for its names alone.
    pub(super) fn leave(&mut self, left: &Arc<Generation>, next: &Arc<Generation>, now: Instant) {
        if let Some(naming) = self.naming_of(left) {
            naming.idle_since = Some(now);
        }
        let mut older = vec![self.previous.replace(Arc::clone(left))];
        if !left.names_like(next) {
            older.push(self.fallback.replace(Arc::clone(left)));
        }
        self.retired.retain(|retired| retired.strong_count() > 0);
        for older in older.into_iter().flatten() {
            self.retire(&older, next);
        }
    }

    fn retire(&mut self, older: &Arc<Generation>, current: &Arc<Generation>) {
        let ready = [self.previous.as_ref(), self.fallback.as_ref(), Some(current)];
        let known = self.retired.iter().any(|retired| retired.as_ptr() == Arc::as_ptr(older));
        if known || ready.into_iter().flatten().any(|ready| Arc::ptr_eq(ready, older)) {
            return;
        }
        self.retired.push(Arc::downgrade(older));
        if let Some(naming) = self.naming_of(older) {
            naming.generation = Arc::new(older.naming_only());
        }
    }

    fn naming_of(&mut self, generation: &Arc<Generation>) -> Option<&mut PastNaming> {
        self.namings.iter_mut().find(|naming| Arc::ptr_eq(&naming.generation, generation))
    }

    /// Notes that a host fills under these policies now, so that what this host has left or only learned of
    /// them is kept for as long again.
    pub(super) fn note_used(&mut self, used: impl Fn(PolicyId) -> bool, now: Instant) {
        let idle = self.namings.iter_mut().filter(|naming| naming.idle_since.is_some());
        for naming in idle.filter(|naming| used(naming.generation.policy_id())) {
            naming.idle_since = Some(now);
        }
    }

    /// Drops namings whose last possible key has expired.
    pub(super) fn forget_names(&mut self, now: Instant) {
        let lasts = self.tenure.naming;
        self.namings.retain(|n| n.idle_since.is_none_or(|at| now.duration_since(at) < lasts));
    }

    /// The other namings whose keys may still live. A naming under which this host stored nothing
    /// counts too, since other hosts share the store.
    pub(super) fn others(&self, current: &Generation) -> Vec<Arc<Generation>> {
        let namings = self.namings.iter().map(|naming| &naming.generation);
        let others = namings.filter(|other| !other.names_like(current));
        others.cloned().collect()
    }

    /// The generation to which the slot goes back by itself; `None` if there is none. Only an older
    /// generation will do, which the slot has not left that way itself. (The fallback is newer if
    /// an operator went from it back to the failing one.)
    pub(super) fn fallback(&mut self, failing: &Generation) -> Option<Arc<Generation>> {
        let back = self.fallback.as_ref()?;
        let condemned = self.is_condemned(back.digest(), back.configuration());
        if condemned || back.number() > failing.number() { None } else { self.fallback.take() }
    }

    pub(super) fn condemn(&mut self, failed: &Generation) {
        self.pardon(failed.digest(), failed.configuration());
        if self.condemned.len() == CONDEMNED {
            self.condemned.pop_front();
        }
        let (digest, configuration) =
            (failed.digest().to_owned(), Arc::clone(failed.configuration()));
        self.condemned.push_back(Condemned { digest, configuration });
    }

    pub(super) fn pardon(&mut self, digest: &str, configuration: &Configuration) {
        self.condemned.retain(|c| c.digest != digest || *c.configuration != *configuration);
    }

    pub(super) fn is_condemned(&self, digest: &str, configuration: &Configuration) -> bool {
        self.condemned.iter().any(|c| c.digest == digest && *c.configuration == *configuration)
    }

    /// `true` if it did not already fail a while ago, so that this is news.
    pub(super) fn note_failing(&mut self, now: Instant) -> bool {
        let news = !self.is_failing(now);
        self.failing = Some(now);
        news
    }

    pub(super) fn is_failing(&self, now: Instant) -> bool {
        self.failing.is_some_and(|at| now.duration_since(at) < WINDOW)
    }

    pub(super) fn record(&mut self, activation: Activation) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(activation);
    }

    /// Notes the times of the last activation: the activation itself, and everything since it was
    /// asked for.
    pub(super) fn took(&mut self, activation: Duration, all: Duration) {
        if let Some(last) = self.history.back_mut() {
            last.activation_ms = Some(millis(activation));
            last.took_ms = Some(millis(all));
        }
    }

    pub(super) fn status(&self, current: &Generation, now: Instant) -> SlotStatus {
        let previous = self.previous.as_deref();
        let probation = self.trial.probation(now, current.counts());
        let shown = |generation: &Generation, state| Shown {
            summary: generation.summary(),
            state,
            condemned: self.is_condemned(generation.digest(), generation.configuration()),
            probation: if state == GenerationState::Current { probation } else { None },
        };
        let mut generations = vec![shown(current, GenerationState::Current)];
        generations.extend(previous.map(|previous| shown(previous, GenerationState::Previous)));
        let fallback = self.fallback.as_deref().filter(|fallback| {
            generations.iter().all(|g| g.summary.generation != fallback.number())
        });
        let fallback = fallback.map(|fallback| shown(fallback, GenerationState::Fallback));
        generations.extend(fallback);
        let pinned: Vec<_> = self.retired.iter().filter_map(Weak::upgrade).collect();
        generations.extend(pinned.iter().map(|pinned| shown(pinned, GenerationState::Pinned)));
        for naming in self.namings.iter().rev().map(|naming| &naming.generation) {
            if generations.iter().all(|g| g.summary.generation != naming.number()) {
                generations.push(shown(naming, GenerationState::Naming));
            }
        }
        SlotStatus {
            current: current.summary(),
            previous: previous.map(Generation::summary),
            generations,
            activations: self.history.iter().rev().cloned().collect(),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    // Finer than microseconds is never read.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
