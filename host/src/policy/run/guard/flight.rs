//! What a policy may ask for at each point of a flight.
//!
//! A policy may be wrong, slow or hostile. An action that passes here can cost hit ratio; it can't
//! cause a fill without a lease, a key without a lifetime, an endless flight or an answer without a
//! value. The gate calls the same functions when it explores a candidate as the cache when it
//! serves.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::policy::{Action, Lifetime};

/// Where a flight stands, as the host knows it. The policy's memo does not influence it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlightStage {
    /// Nothing is known.
    Begun,
    /// The store was asked.
    Looked {
        /// The store had an envelope.
        at_hand: bool,
    },
    /// Another flight holds the lease.
    Held,
    /// This flight holds the lease.
    Leased,
    /// A value was loaded.
    Loaded {
        /// It was loaded by `load`, so it may be filled.
        under_lease: bool,
    },
    /// A load failed.
    Failed {
        /// The store, looked at after the failure, had an envelope.
        at_hand: bool,
    },
    /// A fill was tried, so there is a value to answer.
    Settled,
}

/// What a flight has used up so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spent {
    /// Decisions, this one included.
    pub turns: u32,
    /// Waits.
    pub waits: u32,
    /// Until the deadline.
    pub left_ms: u32,
}

/// What a policy may ask for in one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightBounds {
    /// The longest that a value may be kept.
    pub kept_at_most: Duration,
    /// The flight refreshes: no reader waits for it, and it may end with nothing to answer.
    pub background: bool,
}

/// The shortest and the longest lease. A holder can't renew a shorter lease in time over a slow
/// network; a longer lease of a dead holder would block its key for too long.
pub const LEASE_MS: RangeInclusive<u32> = 50..=60_000;

/// Turns that each wait allows: the wait, a look and a claim. Time passes in a wait, so the
/// deadline ends a flight that goes on like that.
pub const TURNS_PER_WAIT: u32 = 3;

/// Turns beyond those: a flight needs about six, so a policy that turns in circles is stopped here.
pub const SPARE_TURNS: u32 = 32;

/// An action that the host will not carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The action makes no sense at this stage.
    #[error("it is not legal now (legal: {0})")]
    OutOfTurn(LegalActions),
    /// The lease is shorter or longer than [`LEASE_MS`].
    #[error(
        "the lease is out of bounds: {} to {} ms are allowed",
        LEASE_MS.start(),
        LEASE_MS.end()
    )]
    Lease,
    /// The lifetime is 0, longer than a value may be kept, or its refresh comes after its end.
    #[error(
        "the lifetime is out of bounds: fresh for at least 1 ms, due for refresh within that time, \
         and kept for at most {kept_ms} ms in all"
    )]
    Lifetime {
        /// The longest that the value may be kept.
        kept_ms: u64,
    },
    /// The deadline comes before the wait's end.
    #[error("the wait is longer than the time that is left")]
    Wait,
    /// The flight took more turns than any flight needs.
    #[error(
        "the flight turns in circles: it has {SPARE_TURNS} turns, and {TURNS_PER_WAIT} more for \
         each wait"
    )]
    Circling,
}

/// The actions that are legal at one point of a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegalActions {
    stage: FlightStage,
    background: bool,
}

/// The names that the actions have in the contract.
impl fmt::Display for LegalActions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let legal = ACTIONS.into_iter().filter(|action| self.include(*action));
        let names: Vec<&str> = legal.map(Action::name).collect();
        f.write_str(&names.join(", "))
    }
}

/// One action of each kind. Which actions are legal does not depend on their numbers.
const ACTIONS: [Action; 9] = [
    Action::Look,
    Action::Claim(0),
    Action::Wait(0),
    Action::Load,
    Action::LoadUncached,
    Action::Fill(Lifetime { fresh_ms: 0, stale_ms: 0, refresh_ms: 0 }),
    Action::Answer,
    Action::AnswerAndRefresh,
    Action::Fail,
];

impl LegalActions {
    /// A refresh may end before a load with nothing to answer, since no reader waits for it.
    fn include(self, action: Action) -> bool {
        let unloaded = matches!(self.stage, FlightStage::Looked { .. } | FlightStage::Held);
        is_legal(self.stage, action)
            || (self.background && unloaded && matches!(action, Action::Answer))
    }
}

impl FlightBounds {
    /// Returns `action` if it passes.
    ///
    /// # Errors
    /// [`Refused`]; then [`conservative`] says what the host does instead.
    pub fn check(
        self,
        stage: FlightStage,
        spent: Spent,
        action: Action,
    ) -> Result<Action, Refused> {
        if spent.turns > spent.waits.saturating_mul(TURNS_PER_WAIT).saturating_add(SPARE_TURNS) {
            return Err(Refused::Circling);
        }
        let legal = LegalActions { stage, background: self.background };
        if !legal.include(action) {
            return Err(Refused::OutOfTurn(legal));
        }
        match action {
            Action::Claim(lease_ms) if !LEASE_MS.contains(&lease_ms) => return Err(Refused::Lease),
            Action::Fill(lifetime) if !self.allow(lifetime) => {
                let kept_ms = u64::try_from(self.kept_at_most.as_millis()).unwrap_or(u64::MAX);
                return Err(Refused::Lifetime { kept_ms });
            }
            Action::Wait(at_most_ms) if at_most_ms > spent.left_ms => return Err(Refused::Wait),
            Action::Look
            | Action::Claim(_)
            | Action::Wait(_)
            | Action::Load
            | Action::LoadUncached
            | Action::Fill(_)
            | Action::Answer
            | Action::AnswerAndRefresh
            | Action::Fail => {}
        }
        Ok(action)
    }

    fn allow(self, lifetime: Lifetime) -> bool {
        let kept_ms = u64::from(lifetime.fresh_ms) + u64::from(lifetime.stale_ms);
        lifetime.fresh_ms >= 1
            && lifetime.refresh_ms <= lifetime.fresh_ms
            && Duration::from_millis(kept_ms) <= self.kept_at_most
    }
}

fn is_legal(stage: FlightStage, action: Action) -> bool {
    match stage {
        FlightStage::Begun => {
            matches!(action, Action::Look | Action::Claim(_) | Action::LoadUncached)
        }
        FlightStage::Looked { at_hand } => match action {
            Action::Look | Action::Claim(_) | Action::LoadUncached => true,
            Action::Answer | Action::AnswerAndRefresh => at_hand,
            Action::Wait(_) | Action::Load | Action::Fill(_) | Action::Fail => false,
        },
        FlightStage::Held => matches!(
            action,
            Action::Look | Action::Claim(_) | Action::Wait(_) | Action::LoadUncached
        ),
        FlightStage::Leased => matches!(action, Action::Load | Action::LoadUncached),
        FlightStage::Loaded { under_lease } => match action {
            Action::Fill(_) => under_lease,
            Action::Answer => true,
            Action::Look
            | Action::Claim(_)
            | Action::Wait(_)
            | Action::Load
            | Action::LoadUncached
            | Action::AnswerAndRefresh
            | Action::Fail => false,
        },
        FlightStage::Failed { at_hand } => match action {
            Action::Answer => at_hand,
            Action::Fail => true,
            Action::Look
            | Action::Claim(_)
            | Action::Wait(_)
            | Action::Load
            | Action::LoadUncached
            | Action::Fill(_)
            | Action::AnswerAndRefresh => false,
        },
        FlightStage::Settled => matches!(action, Action::Answer),
    }
}

/// What the host does if the policy gave no answer, or one that did not pass: load and do not
/// store; after a load, answer the loaded value.
#[must_use]
pub fn conservative(stage: FlightStage) -> Action {
    match stage {
        FlightStage::Begun
        | FlightStage::Looked { .. }
        | FlightStage::Held
        | FlightStage::Leased => Action::LoadUncached,
        FlightStage::Loaded { .. } | FlightStage::Settled => Action::Answer,
        FlightStage::Failed { .. } => Action::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: [FlightStage; 10] = [
        FlightStage::Begun,
        FlightStage::Looked { at_hand: false },
        FlightStage::Looked { at_hand: true },
        FlightStage::Held,
        FlightStage::Leased,
        FlightStage::Loaded { under_lease: false },
        FlightStage::Loaded { under_lease: true },
        FlightStage::Failed { at_hand: false },
        FlightStage::Failed { at_hand: true },
        FlightStage::Settled,
    ];

    const BOUNDS: FlightBounds =
        FlightBounds { kept_at_most: Duration::from_secs(10), background: false };
    const SPENT: Spent = Spent { turns: 1, waits: 0, left_ms: 2_000 };

    #[test]
    fn what_the_conservative_rule_does_is_legal_at_every_stage() {
        for stage in STAGES {
            let action = conservative(stage);
            assert_eq!(BOUNDS.check(stage, SPENT, action), Ok(action), "{stage:?}");
        }
    }

    #[test]
    fn a_fill_is_legal_after_a_load_under_a_lease_alone() {
        for stage in STAGES {
            let filled = BOUNDS.check(stage, SPENT, fill(1_000, 0, 1_000)).is_ok();
            assert_eq!(filled, stage == FlightStage::Loaded { under_lease: true }, "{stage:?}");
        }
    }

    #[test]
    fn lifetimes_end_and_are_refreshed_before_that() {
        let loaded = FlightStage::Loaded { under_lease: true };
        let check = |action| BOUNDS.check(loaded, SPENT, action).map(drop);
        for legal in [fill(1, 0, 0), fill(1, 0, 1), fill(10_000, 0, 1), fill(4_000, 6_000, 4_000)] {
            assert_eq!(check(legal), Ok(()), "{legal:?}");
        }
        for bad in [fill(0, 0, 0), fill(10_001, 0, 1), fill(u32::MAX, u32::MAX, 1), fill(5, 0, 6)] {
            let refused = Err(Refused::Lifetime { kept_ms: 10_000 });
            assert_eq!(check(bad), refused, "{bad:?}");
        }
    }

    #[test]
    fn a_wait_ends_with_the_deadline() {
        let check =
            |wait_ms| BOUNDS.check(FlightStage::Held, SPENT, Action::Wait(wait_ms)).map(drop);
        assert_eq!((check(2_000), check(2_001)), (Ok(()), Err(Refused::Wait)));
    }

    #[test]
    fn a_lease_is_neither_too_short_nor_too_long() {
        let check =
            |lease_ms| BOUNDS.check(FlightStage::Begun, SPENT, Action::Claim(lease_ms)).map(drop);
        assert_eq!(
            [49, 50, 60_000, 60_001].map(check),
            [Err(Refused::Lease), Ok(()), Ok(()), Err(Refused::Lease)]
        );
    }

    #[test]
    fn who_turns_in_circles_is_stopped_and_who_waits_is_not() {
        let check = |turns, waits| {
            let spent = Spent { turns, waits, ..SPENT };
            BOUNDS.check(FlightStage::Begun, spent, Action::Look).map(drop)
        };
        assert_eq!((check(32, 0), check(33, 0)), (Ok(()), Err(Refused::Circling)));
        assert_eq!((check(332, 100), check(333, 100)), (Ok(()), Err(Refused::Circling)));
    }

    #[test]
    fn only_what_nobody_waits_for_may_end_with_nothing() {
        let background = FlightBounds { background: true, ..BOUNDS };
        for stage in [FlightStage::Looked { at_hand: false }, FlightStage::Held] {
            let refused = BOUNDS.check(stage, SPENT, Action::Answer);
            assert!(matches!(refused, Err(Refused::OutOfTurn(_))), "{refused:?}");
            assert_eq!(background.check(stage, SPENT, Action::Answer), Ok(Action::Answer));
        }
    }

    #[test]
    fn a_refusal_names_what_is_allowed() {
        let background = FlightBounds { background: true, ..BOUNDS };
        let refused = |bounds: FlightBounds, stage, action| {
            bounds.check(stage, SPENT, action).unwrap_err().to_string()
        };
        let begun = refused(BOUNDS, FlightStage::Begun, Action::Fail);
        assert_eq!(begun, "it is not legal now (legal: look, claim, load-uncached)");
        let held = refused(background, FlightStage::Held, Action::Fail);
        assert_eq!(held, "it is not legal now (legal: look, claim, wait, load-uncached, answer)");
        let lifetime = refused(BOUNDS, FlightStage::Loaded { under_lease: true }, fill(0, 0, 0));
        assert!(lifetime.ends_with("kept for at most 10000 ms in all"), "{lifetime}");
    }

    fn fill(fresh_ms: u32, stale_ms: u32, refresh_ms: u32) -> Action {
        Action::Fill(Lifetime { fresh_ms, stale_ms, refresh_ms })
    }
}
