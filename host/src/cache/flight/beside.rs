//! Background flights, for which no request waits: refreshes of what was answered, and probes whether the
//! origin answers loads again.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::answer::{ReadError, Served};
use super::state::FlightState;
use super::{Action, Flight};
use crate::policy::prove::shadow::Trail;

impl Flight {
    /// The flight that refreshes in the background what this one has just answered, and its first action. The
    /// policy is told again of the value that it wanted refreshed.
    pub(in super::super) fn refresh(&self) -> (Self, Action) {
        let mut flight = self.beside();
        flight.memo = self.memo;
        flight.trail = self.trail.as_ref().and_then(Trail::refresh);
        let found = match &self.state {
            FlightState::Looked(found) => found.clone(),
            FlightState::Begun
            | FlightState::Held
            | FlightState::Leased(..)
            | FlightState::Loaded(..)
            | FlightState::Failed(_)
            | FlightState::Settled(..) => None,
        };
        let event = flight.looked(found);
        let action = flight.decide(event);
        (flight, action)
    }

    /// The background flight that finds out whether the origin answers loads again, and its first action.
    pub(in super::super) fn probe(&self) -> (Self, Action) {
        let mut flight = self.beside();
        let event = flight.looked(None);
        let action = flight.decide(event);
        (flight, action)
    }

    /// A background flight of the same read that begins now.
    fn beside(&self) -> Self {
        let (generation, plan) = (Arc::clone(&self.generation), Arc::clone(&self.plan));
        let (cache, read) = (Arc::clone(&self.cache), Arc::clone(&self.read));
        let mut flight = Self::new(cache, read, generation, plan, Instant::now());
        flight.bounds.background = true;
        flight.seen_ms = self.seen_ms;
        flight
    }

    /// Notes whether a background flight failed: after a failure the next refresh has to wait.
    pub(in super::super) fn note_refresh(&self, shared: &Result<Served, ReadError>) {
        if !self.bounds.background {
            return;
        }
        let (pauses, name) = (&self.cache.pauses, &self.place().name);
        if self.last_error.is_some() || matches!(shared, Err(ReadError::Deadline)) {
            pauses.failed(name, self.cache.entropy.bits());
        } else {
            pauses.succeeded(name);
        }
    }
}
