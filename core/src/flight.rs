//! The flight: one read's way through the stampede, as a state machine.
//!
//! ```text
//!            ┌──────────── fresh, or stale and allowed ───────────► Done ┄┄► Refreshing
//!         Looking ──► Claiming ◄──► Waiting
//!            │           ├──► Loading ──► Filling ────────────────► Done
//!            └───────────┴──► LoadingUncached ────────────────────► Done
//! ```
//!
//! A background refresh has the same shape without the waiting: a lease that is held means that
//! another flight loads the value already.
//!
//! The whole machine is [`step`]. It is total: [`astray`] decides for events that no correct host
//! sends.

use crate::lifetime::{self, LifetimeDraw};
use crate::{Action, Event, Failure, LoadReport, Memo, Moment, Sighting, Terms, Turn};

/// How many claims of a flight may be answered with a useless value, one that the flight may not
/// answer, before the flight loads without the store. Each such value is newer than the last one
/// seen, so even a second one is rare: a key that is filled again and again with values that are
/// useless at once has lifetimes shorter than its loads, and no lease helps there.
const USELESS_CLAIMS_MAX: u32 = 3;

/// What the settings say about flights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tuning {
    pub(crate) spread: LifetimeDraw,
    /// How long a lease a claim asks for. A living holder renews it, so this is how long a dead
    /// holder keeps other flights waiting.
    pub(crate) lease_ms: u32,
    /// How long a flight waits for others before it loads on its own; 0 means until its deadline.
    pub(crate) patience_ms: u32,
}

/// Where a flight is. Its number stands in the low [`PHASE_BITS`] of [`Memo::phase`], the count of
/// useless claims in the bits above them. A flight begins at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Looking,
    Claiming,
    Waiting,
    Loading,
    Filling,
    LoadingUncached,
    Refreshing,
    RefreshClaiming,
    RefreshLoading,
    RefreshFilling,
    Done,
}

impl Phase {
    const ALL: [Self; 11] = [
        Self::Looking,
        Self::Claiming,
        Self::Waiting,
        Self::Loading,
        Self::Filling,
        Self::LoadingUncached,
        Self::Refreshing,
        Self::RefreshClaiming,
        Self::RefreshLoading,
        Self::RefreshFilling,
        Self::Done,
    ];

    fn of(memo: Memo) -> Option<Self> {
        let phase = memo.phase & PHASE_MASK;
        Self::ALL.into_iter().find(|known| *known as u32 == phase)
    }
}

const PHASE_BITS: u32 = 4;
const PHASE_MASK: u32 = (1 << PHASE_BITS) - 1;

const _: () = assert!(Phase::ALL.len() <= 1 << PHASE_BITS);

/// How many claims of this flight brought a useless value.
fn useless_claims(memo: Memo) -> u32 {
    memo.phase >> PHASE_BITS
}

/// The memo of a read's first step.
pub(crate) fn begin(terms: u32, note: u32) -> Memo {
    Memo { phase: Phase::Looking as u32, since_ms: 0, terms, note }
}

/// One transition.
pub(crate) fn step(
    terms: &Terms,
    tuning: &Tuning,
    memo: Memo,
    moment: Moment,
    event: Event,
) -> Turn {
    use Event as E;
    use Phase as P;
    let Some(phase) = Phase::of(memo) else { return astray(memo, event) };
    let flight = StepArguments { terms, tuning, memo, moment };
    match (phase, event) {
        // ## Looking => Claiming
        (P::Looking, E::Absent | E::Bypassed) => flight.claim(),
        // ## Looking => (Done | Refreshing | Claiming)
        (P::Looking, E::Found(seen)) => flight.answer(seen).unwrap_or_else(|| flight.claim()),
        // ## (Looking | Claiming) => LoadingUncached
        (P::Looking | P::Claiming, E::StoreUnavailable) => flight.load_uncached(),
        // ## Claiming => Loading
        (P::Claiming, E::LeaseGranted) => flight.to(P::Loading, Action::Load),
        // ## Claiming => (Waiting | LoadingUncached)
        (P::Claiming, E::LeaseHeld(held_ms)) => flight.wait(held_ms),
        // ## Claiming => (Done | Refreshing | Claiming | LoadingUncached)
        (P::Claiming, E::Found(seen)) => {
            flight.answer(seen).unwrap_or_else(|| flight.claim_again())
        }
        // ## Waiting => Claiming
        (P::Waiting, E::Waited) => flight.claim(),
        // ## Loading => Filling
        (P::Loading, E::Loaded(report)) => flight.fill(P::Filling, report),
        // ## (Loading | LoadingUncached) => Done
        (P::Loading | P::LoadingUncached, E::LoadFailed(failure)) => flight.end_unloaded(failure),
        // ## LoadingUncached => Done
        (P::LoadingUncached, E::Loaded(_)) => flight.to(P::Done, Action::Answer),
        // ## (Filling | RefreshFilling) => Done
        (P::Filling | P::RefreshFilling, E::Filled | E::FillRejected | E::StoreUnavailable) => {
            flight.to(P::Done, Action::Answer)
        }

        // ## Refreshing => RefreshClaiming
        (P::Refreshing, E::Found(_) | E::Absent) => {
            flight.to(P::RefreshClaiming, Action::Claim(tuning.lease_ms))
        }
        // ## RefreshClaiming => RefreshLoading
        (P::RefreshClaiming, E::LeaseGranted) => flight.to(P::RefreshLoading, Action::Load),
        // ## (Refreshing | RefreshClaiming) => Done: refreshed elsewhere, or the store is unavailable
        (P::RefreshClaiming, E::LeaseHeld(_) | E::Found(_))
        | (P::Refreshing | P::RefreshClaiming, E::StoreUnavailable) => {
            flight.to(P::Done, Action::Answer)
        }
        // ## RefreshLoading => RefreshFilling
        (P::RefreshLoading, E::Loaded(report)) => flight.fill(P::RefreshFilling, report),
        // ## RefreshLoading => Done
        (P::RefreshLoading, E::LoadFailed(_)) => flight.to(P::Done, Action::Fail),

        // ## (any) => (LoadingUncached | Done), for events that no correct host sends
        (
            P::Looking
            | P::Claiming
            | P::Waiting
            | P::Loading
            | P::Filling
            | P::LoadingUncached
            | P::Refreshing
            | P::RefreshClaiming
            | P::RefreshLoading
            | P::RefreshFilling
            | P::Done,
            stray,
        ) => astray(memo, stray),
    }
}

/// The turn for an event that can't have happened: an unknown phase, an event that the last action
/// does not lead to, a flight that has ended, a policy without settings. The policy may neither
/// trap on such an event nor trust it, so it does what is right in every case: a loaded value is
/// answered, a failed load fails, and any other event asks the origin and stores nothing.
pub(crate) fn astray(memo: Memo, event: Event) -> Turn {
    let (phase, action) = match event {
        Event::Loaded(_) | Event::Filled | Event::FillRejected => (Phase::Done, Action::Answer),
        Event::LoadFailed(_) => (Phase::Done, Action::Fail),
        Event::Absent
        | Event::Found(_)
        | Event::Bypassed
        | Event::StoreUnavailable
        | Event::LeaseGranted
        | Event::LeaseHeld(_)
        | Event::Waited => (Phase::LoadingUncached, Action::LoadUncached),
    };
    Turn { memo: Memo { phase: phase as u32, ..memo }, action }
}

/// The arguments of one step.
struct StepArguments<'s> {
    terms: &'s Terms,
    tuning: &'s Tuning,
    memo: Memo,
    moment: Moment,
}

impl StepArguments<'_> {
    fn to(&self, phase: Phase, action: Action) -> Turn {
        let phase = phase as u32 | self.memo.phase & !PHASE_MASK;
        Turn { memo: Memo { phase, ..self.memo }, action }
    }

    fn claim(&self) -> Turn {
        self.to(Phase::Claiming, Action::Claim(self.tuning.lease_ms))
    }

    fn load_uncached(&self) -> Turn {
        self.to(Phase::LoadingUncached, Action::LoadUncached)
    }

    /// The end of the flight; `None` if the value that was seen may not be answered.
    fn answer(&self, seen: Sighting) -> Option<Turn> {
        let fresh = seen.fresh_ms > 0;
        let due = seen.refresh_ms == 0 && self.tuning.spread.early_refresh > 0.0;
        let tolerable = is_stale_within(seen, self.terms.stale_while_revalidate_ms);
        if fresh && !due {
            Some(self.to(Phase::Done, Action::Answer))
        } else if fresh || tolerable {
            // The refresh is a new flight: it has had no useless claim and has not waited.
            let memo = Memo { phase: 0, since_ms: 0, ..self.memo };
            let refresh = StepArguments { memo, ..*self };
            Some(refresh.to(Phase::Refreshing, Action::AnswerAndRefresh))
        } else {
            None
        }
    }

    fn claim_again(&self) -> Turn {
        let useless_claims = useless_claims(self.memo) + 1;
        if useless_claims >= USELESS_CLAIMS_MAX {
            return self.load_uncached();
        }
        let memo = Memo { phase: useless_claims << PHASE_BITS, ..self.memo };
        StepArguments { memo, ..*self }.claim()
    }

    /// Waits for as long as the lease may last, not for a number of polls: a lease that is renewed
    /// belongs to a load that is alive, and waiting for it is right. Only patience or the deadline
    /// ends the waiting.
    fn wait(&self, held_ms: u32) -> Turn {
        // A wait that began at 0 is written as 1, since 0 says that there was none.
        let since_ms = match self.memo.since_ms {
            0 => self.moment.elapsed_ms.max(1),
            since_ms => since_ms,
        };
        let waited_ms = self.moment.elapsed_ms.saturating_sub(since_ms);
        let patience_ms = match self.tuning.patience_ms {
            0 => u32::MAX,
            patience_ms => patience_ms.saturating_sub(waited_ms),
        };
        // At least a millisecond, even if the lease is just running out: without a wait the flight
        // would claim in a busy loop.
        let wait_ms = held_ms.max(1).min(self.moment.left_ms).min(patience_ms);
        if wait_ms == 0 {
            return self.load_uncached();
        }
        let memo = Memo { since_ms, ..self.memo };
        StepArguments { memo, ..*self }.to(Phase::Waiting, Action::Wait(wait_ms))
    }

    fn fill(&self, phase: Phase, report: LoadReport) -> Turn {
        let lifetime = lifetime::draw(self.terms, &self.tuning.spread, report, self.moment.entropy);
        self.to(phase, Action::Fill(lifetime))
    }

    /// A load failed: the value at hand is answered if it is fresh, or stale within what the entity
    /// allows for this case (RFC 5861, `stale-if-error`).
    fn end_unloaded(&self, failure: Failure) -> Turn {
        let will_do = |seen: Sighting| {
            seen.fresh_ms > 0 || is_stale_within(seen, self.terms.stale_if_error_ms)
        };
        let action =
            if failure.at_hand.is_some_and(will_do) { Action::Answer } else { Action::Fail };
        self.to(Phase::Done, action)
    }
}

/// Whether the value stopped being fresh less than `window_ms` ago. `false` for a negative value:
/// that a row did not exist a while ago answers no read.
fn is_stale_within(seen: Sighting, window_ms: u32) -> bool {
    seen.fresh_ms == 0 && seen.past_ms < window_ms && !seen.negative
}

#[cfg(test)]
mod explorer;
#[cfg(test)]
mod tests;
