//! What happened in a flight, turn by turn, for the shadow to be asked the same.

use std::sync::Arc;

use crate::policy::{Action, Event, Moment, Named, Request};

use super::{Asked, Shadow};

/// Turns that are followed: a flight that waits long repeats itself.
const TURNS: usize = 64;

/// Follows one flight; when it ends, the shadow hears of it.
pub(crate) struct Trail {
    shadow: Arc<Shadow>,
    flown: Option<Flown>,
}

/// A flight.
pub(super) struct Flown {
    pub(super) request: Request,
    /// As the policy in force named it.
    pub(super) plan: Arc<Named>,
    /// Of a refresh: the turns that led to it, which have been compared already.
    pub(super) before: Vec<Turned>,
    pub(super) turns: Vec<Turned>,
}

/// A turn of the policy in force.
#[derive(Clone, Copy)]
pub(super) struct Turned {
    pub(super) moment: Moment,
    pub(super) event: Event,
    /// What it said, whatever the host made of it; none: it trapped.
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
            flown.turns.push(Turned { moment, event, action });
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

/// However a flight ends, what happened until then has happened.
impl Drop for Trail {
    fn drop(&mut self) {
        if let Some(flown) = self.flown.take().filter(|flown| !flown.turns.is_empty()) {
            self.shadow.ask(Asked::Flight(flown));
        }
    }
}
