//! Where the generation in force stands. Reading it is one atomic load; exchanging it is one store.
//!
//! Whoever holds a generation keeps it: a request begins and ends under the same one, whatever is
//! activated in between. The generation before the current one is kept ready, so that a rollback
//! is the same pointer moving back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};
use serde::Serialize;

use super::calls::Calls;
use super::gate::Passed;
use super::generation::{Generation, Origin, Parts, Summary, rfc3339};
use super::shadow::Shadows;
use super::{Manifest, Policy};

/// How many activations an operator can look back on.
const HISTORY: usize = 64;

/// How many differing namings an invalidation covers: every one costs it a round of calls, and more
/// than a few policies that name keys differently are not exchanged within one lifetime.
const NAMINGS: usize = 8;

/// The generation in force, and the one before it.
pub struct Slot {
    current: ArcSwap<Generation>,
    ledger: Mutex<Ledger>,
    calls: Arc<Calls>,
    shadows: Shadows,
}

/// A policy that is code of this process, for tests and embedders. It passes no gate.
pub struct NativePolicy {
    /// Who it is.
    pub manifest: Manifest,
    /// Its settings, as JSON: policies of equal settings name alike.
    pub settings: String,
    /// Itself.
    pub policy: Arc<dyn Policy>,
}

impl NativePolicy {
    fn into_parts(self) -> Parts {
        let Self { manifest, settings, policy } = self;
        Parts { manifest, digest: String::new(), origin: Origin::BuiltIn, settings, policy }
    }
}

/// What only an exchange touches.
struct Ledger {
    previous: Option<Arc<Generation>>,
    /// One generation of each component and settings that was in force, newest last: keys that
    /// they named may still live.
    namings: Vec<Arc<Generation>>,
    newest: u64,
    history: VecDeque<Activation>,
}

/// A generation came into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activation {
    /// Its number.
    pub generation: u64,
    /// Its policy, `name@version`.
    pub policy: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// When, RFC 3339.
    #[serde(serialize_with = "rfc3339")]
    pub at: SystemTime,
    /// By moving back rather than by a new component.
    pub rollback: bool,
}

/// The slot as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// In force.
    pub current: Summary,
    /// What a rollback would bring back.
    pub previous: Option<Summary>,
    /// The last activations, newest first.
    pub activations: Vec<Activation>,
}

/// No generation came before the one in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is nothing to roll back to: no other policy was active in this process")]
pub struct NothingToRollBack;

impl Slot {
    /// A slot whose first generation is `passed`.
    #[must_use]
    pub fn new(passed: Passed, origin: Origin) -> Self {
        Self::holding(passed.into_parts(origin))
    }

    /// A slot over a policy that needs no gate: code of this process, for tests and embedders.
    #[must_use]
    pub fn native(native: NativePolicy) -> Self {
        Self::holding(native.into_parts())
    }

    fn holding(parts: Parts) -> Self {
        let calls = Arc::new(Calls::default());
        let first = Arc::new(Generation::new(1, parts, Arc::clone(&calls)));
        let ledger = Ledger {
            previous: None,
            namings: vec![Arc::clone(&first)],
            newest: 1,
            history: VecDeque::from([Activation::of(&first, false)]),
        };
        Self {
            current: ArcSwap::new(first),
            ledger: Mutex::new(ledger),
            calls,
            shadows: Shadows::default(),
        }
    }

    /// The generation in force, for a whole request.
    #[must_use]
    pub fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// The generation in force, for a look: cheaper than [`Slot::current`] and not to be kept.
    #[must_use]
    pub fn peek(&self) -> Guard<Arc<Generation>> {
        self.current.load()
    }

    /// What a rollback would bring back.
    #[must_use]
    pub fn previous(&self) -> Option<Arc<Generation>> {
        self.ledger().previous.clone()
    }

    /// The generation in force, and behind it every other whose keys may still live: an
    /// invalidation names keys under all of them (race J). Generations of one component and
    /// settings name alike and count once.
    #[must_use]
    pub fn naming(&self) -> Vec<Arc<Generation>> {
        let ledger = self.ledger();
        let current = self.current();
        let others = ledger.namings.iter().filter(|other| !other.names_like(&current)).cloned();
        std::iter::once(Arc::clone(&current)).chain(others).collect()
    }

    /// Puts a policy in force. Numbers only grow; the generation before stays ready.
    pub fn activate(&self, passed: Passed, origin: Origin) -> Arc<Generation> {
        self.put_in_force(passed.into_parts(origin))
    }

    /// [`Slot::activate`] for a policy that needs no gate.
    pub fn activate_native(&self, native: NativePolicy) -> Arc<Generation> {
        self.put_in_force(native.into_parts())
    }

    fn put_in_force(&self, parts: Parts) -> Arc<Generation> {
        let mut ledger = self.ledger();
        ledger.newest += 1;
        let next = Arc::new(Generation::new(ledger.newest, parts, Arc::clone(&self.calls)));
        self.exchange(&mut ledger, &next, false);
        next
    }

    /// Puts the previous generation in force again, under its old number; the one it replaces
    /// becomes the previous one.
    ///
    /// # Errors
    /// [`NothingToRollBack`] before the first exchange.
    pub fn rollback(&self) -> Result<Arc<Generation>, NothingToRollBack> {
        let mut ledger = self.ledger();
        let back = ledger.previous.take().ok_or(NothingToRollBack)?;
        self.exchange(&mut ledger, &back, true);
        Ok(back)
    }

    /// What is asked beside the generation in force, without effect.
    #[must_use]
    pub fn shadows(&self) -> &Shadows {
        &self.shadows
    }

    /// How often its generations were asked.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The slot as operators see it, now.
    #[must_use]
    pub fn status(&self) -> Status {
        let ledger = self.ledger();
        Status {
            current: self.current().summary(),
            previous: ledger.previous.as_ref().map(|previous| previous.summary()),
            activations: ledger.history.iter().rev().cloned().collect(),
        }
    }

    fn exchange(&self, ledger: &mut Ledger, next: &Arc<Generation>, rollback: bool) {
        // Before the pointer moves: whoever fills under the new naming finds it covered.
        ledger.namings.retain(|other| !other.names_like(next));
        ledger.namings.push(Arc::clone(next));
        if ledger.namings.len() > NAMINGS {
            let forgotten = ledger.namings.remove(0);
            tracing::warn!(
                policy = forgotten.label(),
                "too many policies that name keys differently came into force within one lifetime: \
                 what this one named is no longer invalidated, so don't go back to it"
            );
        }
        ledger.previous = Some(self.current.swap(Arc::clone(next)));
        if ledger.history.len() == HISTORY {
            ledger.history.pop_front();
        }
        ledger.history.push_back(Activation::of(next, rollback));
    }

    /// Nothing in the ledger is left half done by a panic.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Activation {
    fn of(generation: &Generation, rollback: bool) -> Self {
        let manifest = generation.manifest();
        Self {
            generation: generation.number(),
            policy: format!("{}@{}", manifest.name, manifest.version),
            digest: generation.digest().to_owned(),
            at: SystemTime::now(),
            rollback,
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Slot").field(&self.peek()).finish()
    }
}

#[cfg(test)]
mod tests;
