//! A simulated flight: the policy's turns under the guard's checks, without a store or an origin.
//! The caller says what happens.

use std::time::Duration;

use crate::policy::run::guard::{FlightBounds, FlightStage, Refused, Spent, conservative};
use crate::policy::{Action, Decider, Event, Failure, Memo, Moment, Trap};

use super::words;

/// Where a simulated flight stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    pub(crate) memo: Memo,
    pub(crate) stage: FlightStage,
    pub(crate) elapsed_ms: u32,
    pub(crate) deadline_ms: u32,
    bounds: FlightBounds,
    turns: u32,
    waits: u32,
    under_lease: bool,
}

/// A turn, and what the host makes of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decided {
    /// What the host does.
    pub(crate) action: Action,
    /// Why the host does something else than the policy said; `None` if it does what the policy
    /// said.
    pub(crate) instead_of: Option<Overruled>,
}

/// A turn that the host decides by its own rule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Overruled {
    #[error("{}: {refused}", words::action(*action))]
    Refused { action: Action, refused: Refused },
    #[error(transparent)]
    Trap(#[from] Trap),
}

impl Course {
    pub(crate) fn new(memo: Memo, deadline_ms: u32, kept_at_most: Duration) -> Self {
        Self {
            memo,
            stage: FlightStage::Begun,
            elapsed_ms: 0,
            deadline_ms,
            bounds: FlightBounds { kept_at_most, background: false },
            turns: 0,
            waits: 0,
            under_lease: false,
        }
    }

    /// The refresh that begins after this flight has answered.
    pub(crate) fn refresh(&self) -> Self {
        let bounds = FlightBounds { background: true, ..self.bounds };
        let begun = Self::new(self.memo, self.deadline_ms, bounds.kept_at_most);
        Self { bounds, ..begun }
    }

    /// Whether the flight is a refresh, for which no reader waits.
    pub(crate) fn is_background(&self) -> bool {
        self.bounds.background
    }

    /// When the next decision is taken.
    pub(crate) fn moment(&self, entropy: u64) -> Moment {
        let left_ms = self.deadline_ms.saturating_sub(self.elapsed_ms);
        Moment { elapsed_ms: self.elapsed_ms, left_ms, entropy }
    }

    /// Tells the policy what happened, and returns what the host does next.
    pub(crate) fn decide(&mut self, policy: &dyn Decider, entropy: u64, event: Event) -> Decided {
        self.turns += 1;
        self.stage = self.after(event);
        let moment = self.moment(entropy);
        let instead_of = match policy.step(self.memo, moment, event) {
            Err(trap) => trap.into(),
            Ok(turn) => {
                self.memo = turn.memo;
                let (turns, waits) = (self.turns, self.waits);
                let spent = Spent { turns, waits, left_ms: moment.left_ms };
                match self.bounds.check(self.stage, spent, turn.action) {
                    Ok(action) => return self.taking(action, None),
                    Err(refused) => Overruled::Refused { action: turn.action, refused },
                }
            }
        };
        self.taking(conservative(self.stage), Some(instead_of))
    }

    fn taking(&mut self, action: Action, instead_of: Option<Overruled>) -> Decided {
        self.under_lease = action == Action::Load;
        if let Action::Wait(at_most_ms) = action {
            self.waits += 1;
            self.elapsed_ms = self.elapsed_ms.saturating_add(at_most_ms);
        }
        Decided { action, instead_of }
    }

    fn after(&self, event: Event) -> FlightStage {
        match event {
            Event::StoreUnavailable if matches!(self.stage, FlightStage::Loaded { .. }) => {
                FlightStage::Settled
            }
            Event::Absent | Event::StoreUnavailable | Event::Waited => {
                FlightStage::Looked { at_hand: false }
            }
            Event::Found(_) => FlightStage::Looked { at_hand: true },
            Event::Bypassed => FlightStage::Begun,
            Event::LeaseGranted => FlightStage::Leased,
            Event::LeaseHeld(_) => FlightStage::Held,
            Event::Loaded(_) => FlightStage::Loaded { under_lease: self.under_lease },
            Event::LoadFailed(Failure { at_hand, .. }) => {
                FlightStage::Failed { at_hand: at_hand.is_some() }
            }
            Event::Filled | Event::FillRejected => FlightStage::Settled,
        }
    }
}
