//! What only an exchange touches: who was in force, what it named, and what must not come back.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::status::{Activation, Reason, Shown, State, Status};
use super::{Generation, Tenure};
use crate::policy::Configuration;
use crate::policy::run::generation::Parts;
use crate::policy::run::trial::{Trial, WINDOW};

/// How many activations an operator can look back on.
pub(super) const HISTORY: usize = 64;

/// How many differing namings an invalidation covers: every one costs it a round of calls, and more
/// than a few policies that name keys differently are not exchanged within one lifetime.
const NAMINGS: usize = 8;

/// How many components that were left by themselves are remembered: far more than anybody tries
/// while one process lives.
const CONDEMNED: usize = 64;

pub(super) struct Ledger {
    pub(super) tenure: Tenure,
    pub(super) previous: Option<Arc<Generation>>,
    /// Who was in force before the component and settings that are: the previous one, unless the
    /// same was put in force twice.
    pub(super) fallback: Option<Arc<Generation>>,
    pub(super) trial: Trial,
    pub(super) namings: Vec<Naming>,
    /// Neither in force nor ready: flights hold them.
    pub(super) retired: Vec<Weak<Generation>>,
    condemned: VecDeque<Condemned>,
    pub(super) failing: Option<Instant>,
    newest: u64,
    history: VecDeque<Activation>,
}

/// One generation of each component and settings that was in force, newest last: keys that they
/// named may still live.
pub(super) struct Naming {
    pub(super) generation: Arc<Generation>,
    /// `None` while it is in force.
    pub(super) left: Option<Instant>,
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
            // Nothing came before the first, so there is nothing that a probation could do.
            trial: Trial::new(Instant::now(), Duration::ZERO, first.counts()),
            namings: vec![Naming { generation: Arc::clone(first), left: None }],
            retired: Vec::new(),
            condemned: VecDeque::new(),
            failing: None,
            newest: 1,
            history: VecDeque::from([Activation::of(first, Reason::Started)]),
        }
    }

    /// The number of a generation to come. Somebody insists on it, whatever it did before.
    pub(super) fn announce(&mut self, parts: &Parts) -> u64 {
        self.newest += 1;
        self.pardon(&parts.digest, &parts.configuration);
        self.newest
    }

    /// From now on invalidations name keys under it.
    pub(super) fn enter(&mut self, next: &Arc<Generation>) {
        self.failing = None;
        self.namings.retain(|other| !other.generation.names_like(next));
        self.cover(Naming { generation: Arc::clone(next), left: None });
    }

    /// From now on invalidations name keys under it too, though it is not in force: on another host
    /// it may be.
    pub(super) fn learn(&mut self, learned: &Generation) {
        if self.namings.iter().all(|known| !known.generation.names_like(learned)) {
            self.cover(Naming { generation: Arc::new(learned.naming_only()), left: None });
        }
    }

    fn cover(&mut self, naming: Naming) {
        self.namings.push(naming);
        if self.namings.len() <= NAMINGS {
            return;
        }
        let forgotten = self.namings.remove(0).generation;
        tracing::warn!(
            policy = forgotten.label(),
            "too many policies that name keys differently came into force within one lifetime: \
             what this one named is no longer invalidated, so don't go back to it"
        );
    }

    /// It becomes the previous one, and whom nobody can go back to any more is kept for its names
    /// alone.
    pub(super) fn leave(&mut self, left: &Arc<Generation>, next: &Arc<Generation>, now: Instant) {
        if let Some(naming) = self.naming_of(left) {
            naming.left = Some(now);
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

    fn naming_of(&mut self, generation: &Arc<Generation>) -> Option<&mut Naming> {
        self.namings.iter_mut().find(|naming| Arc::ptr_eq(&naming.generation, generation))
    }

    /// Nothing lives any more that was named by one who left so long ago.
    pub(super) fn forget_names(&mut self, now: Instant) {
        let lasts = self.tenure.naming;
        self.namings.retain(|n| n.left.is_none_or(|left| now.duration_since(left) < lasts));
    }

    /// Who else named keys that may still live. Whether this host stored anything under a name says
    /// nothing: others share the store.
    pub(super) fn others(&self, current: &Generation) -> Vec<Arc<Generation>> {
        let namings = self.namings.iter().map(|naming| &naming.generation);
        let others = namings.filter(|other| !other.names_like(current));
        others.cloned().collect()
    }

    /// Where the slot goes by itself: back to an older one, never to one that was left that way.
    /// Who was left by an operator for an older one is newer than that.
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

    /// True: it did not fail a while ago.
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

    /// Times of the last activation: its own part, and all since it was asked for.
    pub(super) fn took(&mut self, activation: Duration, all: Duration) {
        if let Some(last) = self.history.back_mut() {
            last.activation_ms = Some(millis(activation));
            last.took_ms = Some(millis(all));
        }
    }

    pub(super) fn status(&self, current: &Generation, now: Instant) -> Status {
        let previous = self.previous.as_deref();
        let probation = self.trial.probation(now, current.counts());
        let shown = |generation: &Generation, state| Shown {
            summary: generation.summary(),
            state,
            condemned: self.is_condemned(generation.digest(), generation.configuration()),
            probation: if state == State::Current { probation } else { None },
        };
        let mut generations = vec![shown(current, State::Current)];
        generations.extend(previous.map(|previous| shown(previous, State::Previous)));
        let fallback = self.fallback.as_deref().filter(|fallback| {
            generations.iter().all(|g| g.summary.generation != fallback.number())
        });
        let fallback = fallback.map(|fallback| shown(fallback, State::Fallback));
        generations.extend(fallback);
        let pinned: Vec<_> = self.retired.iter().filter_map(Weak::upgrade).collect();
        generations.extend(pinned.iter().map(|pinned| shown(pinned, State::Pinned)));
        for naming in self.namings.iter().rev().map(|naming| &naming.generation) {
            if generations.iter().all(|g| g.summary.generation != naming.number()) {
                generations.push(shown(naming, State::Naming));
            }
        }
        Status {
            current: current.summary(),
            previous: previous.map(Generation::summary),
            generations,
            activations: self.history.iter().rev().cloned().collect(),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    // Microseconds are as fine as anybody reads.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
