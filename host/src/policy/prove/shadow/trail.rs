//! A flight's trail: its turns, recorded so that the shadow can be asked the same.

use std::sync::Arc;

use crate::policy::{Action, Event, Moment, Named, Request};

use super::{Shadow, ShadowedCall};

/// Most turns that are recorded: a flight that waits long repeats itself.
const TURNS: usize = 64;

/// Records one flight. When it is dropped, the flight goes to the shadow.
pub(crate) struct Trail {
    shadow: Arc<Shadow>,
    flown: Option<Flown>,
}

/// A flight.
pub(super) struct Flown {
    pub(super) request: Request,
    /// As the policy in force named it.
    pub(super) plan: Arc<Named>,
    /// For a refresh, the turns that led to it, which are compared with the flight that took them;
    /// otherwise empty.
    pub(super) before: Vec<RecordedTurn>,
    pub(super) turns: Vec<RecordedTurn>,
}

/// A turn of the policy in force.
#[derive(Clone, Copy)]
pub(super) struct RecordedTurn {
    pub(super) moment: Moment,
    pub(super) event: Event,
    /// What the policy said, whatever the host made of it; `None` if the policy trapped.
    pub(super) action: Option<Action>,
}

impl Trail {
    pub(super) fn new(shadow: Arc<Shadow>, request: Request, plan: Arc<Named>) -> Self {
        let flown = Flown { request, plan, before: Vec::new(), turns: Vec::new() };
        Self { shadow, flown: Some(flown) }
    }

    /// Notes a turn.
    pub(crate) fn turn(&mut self, moment: Moment, event: Event, action: Option<Action>) {
        if let Some(flown) = self.flown.as_mut().filter(|flown| flown.turns.len() < TURNS) {
            flown.turns.push(RecordedTurn { moment, event, action });
        }
    }

    /// Follows the refresh that this flight begins.
    pub(crate) fn refresh(&self) -> Option<Self> {
        let answered = self.flown.as_ref()?;
        let flown = Flown {
            request: answered.request.clone(),
            plan: Arc::clone(&answered.plan),
            before: answered.turns.clone(),
            turns: Vec::new(),
        };
        Some(Self { shadow: Arc::clone(&self.shadow), flown: Some(flown) })
    }
}

/// However a flight ends, the turns until then are compared.
impl Drop for Trail {
    fn drop(&mut self) {
        if let Some(flown) = self.flown.take().filter(|flown| !flown.turns.is_empty()) {
            self.shadow.ask(ShadowedCall::Flight(flown));
        }
    }
}
