//! Holds the generation in force. Reading it is one atomic load; exchanging it is one store.
//!
//! A request begins and ends under the same generation, whatever is activated in between. The
//! generation before the current one is kept ready, so that a rollback is the same pointer moving
//! back. The slot moves the pointer back by itself if the generation in force fails too often
//! ([`crate::policy::run::trial`]). A policy that was left that way comes into force again only if
//! an operator insists.

mod ledger;
mod retell;
mod status;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::time::Instant;

use crate::name::PolicyId;
use crate::policy::prove::gate::Passed;
use crate::policy::prove::shadow::Shadows;
use crate::policy::run::calls::Calls;
use crate::policy::run::generation::{
    Generation, GenerationParts, Overseer, Provenance, Surroundings,
};
use crate::policy::run::trial::Trial;
use crate::policy::{Configuration, Decider, Manifest};

use ledger::Ledger;
pub use retell::Retold;
pub use status::{Activation, GenerationState, Reason, Shown, SlotStatus};

/// How many of the hot reads a new generation is asked for before it comes into force, and how long
/// that may take. Warmed up, those reads cost no more after the exchange than before.
const WARM_READS: usize = 5_000;
const WARM_TIME: Duration = Duration::from_millis(10);

/// The generation in force, and the one before it.
pub struct Slot {
    inner: Arc<SlotInner>,
    /// Held during an activation, warming up included, so that activations come one after the other
    /// and the last one stands.
    exchanging: Mutex<()>,
}

struct SlotInner {
    current: ArcSwap<Generation>,
    ledger: Mutex<Ledger>,
    calls: Arc<Calls>,
    shadows: Shadows,
    automatic: AtomicU64,
}

/// How long a probation and a naming last in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenure {
    /// How long a generation is on probation; zero means never.
    pub probation: Duration,
    /// How long keys that a generation named may live after the slot left or learned it.
    pub naming: Duration,
}

impl Default for Tenure {
    /// A minute of probation: several rounds of most lifetimes' early refreshes, and short enough
    /// that an operator still watches. Names for as long as the host keeps anything.
    fn default() -> Self {
        let probation = Duration::from_secs(60);
        Self { probation, naming: crate::policy::Terms::LONGEST.kept_at_most() }
    }
}

/// How a candidate comes into force.
#[derive(Debug, Clone)]
pub struct Introduction {
    /// Where it came from.
    pub provenance: Provenance,
    /// Why.
    pub reason: Reason,
    /// When an operator asked for it, or its file was seen to change.
    pub asked: std::time::Instant,
}

/// A policy that is code of this process, for tests and embedders. It passes no gate.
pub struct NativePolicy {
    /// Its name and version.
    pub manifest: Manifest,
    /// What it was configured with: native policies of equal configurations give equal names.
    pub configuration: Arc<Configuration>,
    /// The policy.
    pub policy: Arc<dyn Decider>,
}

impl NativePolicy {
    fn into_parts(self) -> GenerationParts {
        let Self { manifest, configuration, policy } = self;
        let (digest, provenance) = (String::new(), Provenance::BuiltIn);
        GenerationParts { manifest, digest, provenance, configuration, policy }
    }
}

/// No generation came before the one in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is nothing to roll back to: no other policy was active in this process")]
pub struct NothingToRollBack;

impl Slot {
    /// A slot whose first generation is `passed`.
    #[must_use]
    pub fn new(passed: Passed, provenance: Provenance) -> Self {
        Self::holding(passed.into_parts(provenance))
    }

    /// A slot over a policy that needs no gate: code of this process, for tests and embedders.
    #[must_use]
    pub fn native(native: NativePolicy) -> Self {
        Self::holding(native.into_parts())
    }

    fn holding(parts: GenerationParts) -> Self {
        let calls = Arc::new(Calls::default());
        let inner = Arc::new_cyclic(|inner: &Weak<SlotInner>| {
            let around = Surroundings {
                calls: Arc::clone(&calls),
                overseer: Weak::clone(inner) as Weak<dyn Overseer>,
            };
            let first = Arc::new(Generation::new(1, parts, around));
            SlotInner {
                ledger: Mutex::new(Ledger::new(&first)),
                current: ArcSwap::new(first),
                calls,
                shadows: Shadows::default(),
                automatic: AtomicU64::new(0),
            }
        });
        Self { inner, exchanging: Mutex::default() }
    }

    /// Sets how long things last in this slot.
    #[must_use]
    pub fn lasting(self, tenure: Tenure) -> Self {
        self.inner.ledger().tenure = tenure;
        self
    }

    /// The generation in force, for a whole request.
    #[must_use]
    pub fn current(&self) -> Arc<Generation> {
        self.inner.current.load_full()
    }

    /// The generation in force, for a short look: cheaper than [`Slot::current`] and not to be
    /// kept.
    #[must_use]
    pub fn peek(&self) -> Guard<Arc<Generation>> {
        self.inner.current.load()
    }

    /// The generation that a rollback would bring back; `None` if there is none.
    #[must_use]
    pub fn previous(&self) -> Option<Arc<Generation>> {
        self.inner.ledger().previous.clone()
    }

    /// The generation in force, and behind it every other generation whose keys may still live: an
    /// invalidation names keys under all of them (race J). Generations of one component and
    /// settings give the same names and count once. A generation under which this host stored
    /// nothing counts too, since other hosts may have stored values under its names.
    #[must_use]
    pub fn naming(&self) -> Vec<Arc<Generation>> {
        let mut ledger = self.inner.ledger();
        let current = self.current();
        ledger.forget_names(Instant::now());
        let others = ledger.others(&current);
        std::iter::once(current).chain(others).collect()
    }

    /// Puts a policy in force. Numbers only grow; the generation before stays ready. Takes up to
    /// some ten milliseconds, so never call it on a thread that serves.
    pub fn activate(&self, passed: Passed, provenance: Provenance) -> Arc<Generation> {
        let reason = Reason::of(&provenance);
        self.introduce(
            passed,
            Introduction { provenance, reason, asked: std::time::Instant::now() },
        )
    }

    /// [`Slot::activate`] with everything that is known about the activation.
    pub fn introduce(&self, passed: Passed, introduction: Introduction) -> Arc<Generation> {
        let Introduction { provenance, reason, asked } = introduction;
        self.put_in_force(passed.into_parts(provenance), reason, asked)
    }

    /// [`Slot::activate`] for a policy that needs no gate.
    pub fn activate_native(&self, native: NativePolicy) -> Arc<Generation> {
        self.put_in_force(native.into_parts(), Reason::Started, std::time::Instant::now())
    }

    /// Lets invalidations cover what a policy names, without putting it in force. Once every host
    /// has learned a policy, the hosts may put it in force one after the other. A policy that comes
    /// into force nowhere is covered for as long as one that is left ([`Tenure::naming`]).
    pub fn learn(&self, passed: Passed, provenance: Provenance) -> Arc<Generation> {
        let _one_at_a_time = self.exchanging.lock().unwrap_or_else(PoisonError::into_inner);
        let learned = self.generation(passed.into_parts(provenance));
        self.inner.ledger().learn(&learned, Instant::now());
        learned
    }

    /// Notes which policies are in use on any host, by what the store says: keys under their names are not
    /// forgotten here while that lasts.
    pub fn note_used(&self, used: impl Fn(PolicyId) -> bool) {
        self.inner.ledger().note_used(used, Instant::now());
    }

    fn generation(&self, parts: GenerationParts) -> Arc<Generation> {
        let number = self.inner.ledger().announce(&parts);
        let around = Surroundings {
            calls: Arc::clone(&self.inner.calls),
            overseer: Arc::downgrade(&self.inner) as Weak<dyn Overseer>,
        };
        Arc::new(Generation::new(number, parts, around))
    }

    fn put_in_force(
        &self,
        parts: GenerationParts,
        reason: Reason,
        asked: std::time::Instant,
    ) -> Arc<Generation> {
        let _one_at_a_time = self.exchanging.lock().unwrap_or_else(PoisonError::into_inner);
        let began = std::time::Instant::now();
        let next = self.generation(parts);
        // Without the ledger's lock: calls of the policy may fail, and a failure takes that lock.
        next.warm(self.peek().hot(WARM_READS), WARM_TIME);
        let mut ledger = self.inner.ledger();
        self.inner.exchange(&mut ledger, &next, reason);
        ledger.took(began.elapsed(), asked.elapsed());
        next
    }

    /// Puts the previous generation in force again, under its old number; the one it replaces
    /// becomes the previous one.
    ///
    /// # Errors
    /// [`NothingToRollBack`] before the first exchange.
    pub fn rollback(&self) -> Result<Arc<Generation>, NothingToRollBack> {
        let _one_at_a_time = self.exchanging.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ledger = self.inner.ledger();
        let back = ledger.previous.take().ok_or(NothingToRollBack)?;
        ledger.pardon(back.digest(), back.configuration());
        self.inner.exchange(&mut ledger, &back, Reason::RolledBack);
        Ok(back)
    }

    /// Whether the slot left this component with this configuration because it failed too often,
    /// and no operator has insisted on it since.
    #[must_use]
    pub fn is_condemned(&self, digest: &str, configuration: &Configuration) -> bool {
        self.inner.ledger().is_condemned(digest, configuration)
    }

    /// How often the slot rolled back by itself.
    #[must_use]
    pub fn automatic_rollbacks(&self) -> u64 {
        self.inner.automatic.load(Ordering::Relaxed)
    }

    /// Whether the generation in force fails too often while there is nothing to go back to.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.inner.ledger().is_failing(Instant::now())
    }

    /// The policy that is asked beside the generation in force, without effect.
    #[must_use]
    pub fn shadows(&self) -> &Shadows {
        &self.inner.shadows
    }

    /// How often the generations of this slot were called.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.inner.calls
    }

    /// The slot as operators see it, now.
    #[must_use]
    pub fn status(&self) -> SlotStatus {
        let mut ledger = self.inner.ledger();
        let now = Instant::now();
        ledger.forget_names(now);
        ledger.status(&self.current(), now)
    }
}

impl SlotInner {
    fn exchange(&self, ledger: &mut Ledger, next: &Arc<Generation>, reason: Reason) {
        let now = Instant::now();
        // Before the pointer moves: a value that is filled under the new naming is covered from the
        // start.
        ledger.enter(next);
        let left = self.current.swap(Arc::clone(next));
        ledger.leave(&left, next, now);
        ledger.trial = Trial::new(now, ledger.tenure.probation, next.counts());
        ledger.record(Activation::of(next, reason));
    }

    /// A panic leaves nothing in the ledger half done.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Overseer for SlotInner {
    /// Only the generation in force is judged: what an older one does in the flights that it still
    /// has is no reason to leave the one that replaced it.
    fn failed(&self, failing: &Generation) {
        if self.current.load().number() != failing.number() {
            return;
        }
        let mut ledger = self.ledger();
        let current = self.current.load_full();
        let now = Instant::now();
        if current.number() != failing.number() || !ledger.trial.is_lost(now, current.counts()) {
            return;
        }
        let counts = current.counts();
        let Some(back) = ledger.fallback(&current) else {
            if ledger.note_failing(now) {
                tracing::error!(
                    policy = current.label(),
                    traps = counts.traps,
                    refused = counts.refused,
                    "the policy fails, and there is nothing to roll back to: reads that it can't \
                     decide are loaded and not stored"
                );
            }
            return;
        };
        ledger.condemn(&current);
        self.automatic.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            policy = back.label(),
            failed = current.label(),
            calls = counts.calls,
            traps = counts.traps,
            refused = counts.refused,
            last = current.summary().failures.first(),
            "the policy failed too often and was rolled back by itself; it comes back when it is \
             pushed again"
        );
        self.exchange(&mut ledger, &back, Reason::automatic(current.number(), counts));
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Slot").field(&self.peek()).finish()
    }
}

#[cfg(test)]
mod tests;
