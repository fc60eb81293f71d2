//! Single-flight: per read and host there is never more than one load at a time.
//!
//! A flight answers in rounds; a round answers the requests that are *aboard*. One rule says which requests
//! share an observation (a look, a claim, a load). Requests that were waiting when the observation *began*
//! **board** it. Requests that join later are **late**: they share it only if they joined before the fill was
//! sent, the fill was accepted and the stamp is in force, which proves that no invalidation came in between
//! (race M). All other requests wait for the next round.
//!
//! A request for a value that is loaded after the request began (`no-cache`) boards only an observation that
//! can bring no older value.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::answer::{ReadError, Served};
use crate::name::Place;
use crate::observe::Metrics;

type SharedAnswer = Result<Served, ReadError>;

/// A request that waits for a flight.
struct FlightWaiter {
    reply: oneshot::Sender<SharedAnswer>,
    /// Set if the request wants no value that was loaded before this time, by the store's clock.
    since_ms: Option<u64>,
}

/// An observation that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Observation {
    /// A look: it may find a value of any age.
    Look,
    /// A claim: it finds only values that were loaded after `seen_ms`.
    Claim { seen_ms: u64 },
    /// A load.
    Load,
}

/// What the requests that are left for the next round want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextRound {
    /// Any value that may be answered.
    Any,
    /// At least one request wants a value that is loaded from now on. `since_ms` is the store's clock when
    /// the last such request came: a value that was loaded after it serves all of them.
    Fresh { since_ms: u64 },
}

impl Observation {
    fn serves(self, waiter: &FlightWaiter) -> bool {
        match (waiter.since_ms, self) {
            (None, _) | (Some(_), Self::Load) => true,
            (Some(_), Self::Look) => false,
            (Some(since_ms), Self::Claim { seen_ms }) => since_ms <= seen_ms,
        }
    }
}

/// The flights of one host, by name and fingerprint.
pub(super) struct Flights {
    /// Requests that wait for a flight and have not boarded. An entry exists as long as its flight does.
    waiting: Mutex<HashMap<Place, Vec<FlightWaiter>>>,
    metrics: Arc<Metrics>,
}

/// What joining gives.
pub(super) struct Joined {
    pub(super) answer: oneshot::Receiver<SharedAnswer>,
    /// Set if there was no flight: the caller has to start it.
    pub(super) start: Option<Boarding>,
}

impl Flights {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { waiting: Mutex::default(), metrics }
    }

    /// Joins the flight of a read, or begins one. With `since_ms`, only a value loaded after it is wanted.
    pub(super) fn join(self: &Arc<Self>, place: &Place, since_ms: Option<u64>) -> Joined {
        let (reply, answer) = oneshot::channel();
        let waiter = FlightWaiter { reply, since_ms };
        let mut flights = self.lock();
        if let Some(waiting) = flights.get_mut(place) {
            waiting.push(waiter);
            self.metrics.coalesced.add(1);
            return Joined { answer, start: None };
        }
        flights.insert(place.clone(), vec![waiter]);
        self.metrics.flights.up();
        Joined { answer, start: Some(Boarding::new(Arc::clone(self), place.clone())) }
    }

    /// Begins a flight for which no request waits yet; `None` if the read has a flight already.
    pub(super) fn refresh(self: &Arc<Self>, place: &Place) -> Option<Boarding> {
        let mut flights = self.lock();
        if flights.contains_key(place) {
            return None;
        }
        flights.insert(place.clone(), Vec::new());
        self.metrics.flights.up();
        Some(Boarding::new(Arc::clone(self), place.clone()))
    }

    /// Flights in progress.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Vec<FlightWaiter>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The requests of one flight: those aboard, those that came late, and access to those that wait. If it is
/// dropped before the flight has landed, the flight ends and the requests that still wait get no answer; only
/// a panic or the end of the host can cause that.
pub(super) struct Boarding {
    flights: Arc<Flights>,
    place: Place,
    aboard: Vec<FlightWaiter>,
    /// Requests that came during the load; they share it if its fill is accepted.
    late: Vec<FlightWaiter>,
    open: bool,
}

impl Boarding {
    fn new(flights: Arc<Flights>, place: Place) -> Self {
        Self { flights, place, aboard: Vec::new(), late: Vec::new(), open: true }
    }

    /// An observation begins: every waiting request that it can serve boards it.
    pub(super) fn board(&mut self, observation: Observation) {
        let mut joined = self.arrivals(|waiter| observation.serves(waiter));
        self.aboard.append(&mut joined);
    }

    /// A fill is about to be sent: the requests that came since the load began share it if it is accepted.
    pub(super) fn admit_late(&mut self) {
        self.late = self.arrivals(|waiter| waiter.since_ms.is_none());
    }

    /// The fill was accepted or rejected: the late requests come aboard, or wait for the next round.
    pub(super) fn settle(&mut self, accepted: bool) {
        let late = std::mem::take(&mut self.late);
        if accepted {
            self.aboard.extend(late);
        } else {
            self.postpone(late);
        }
    }

    /// The round's time is over. That is the time of the request that began the round: requests that came
    /// later have time left and take part in the next round.
    pub(super) fn disembark(&mut self) {
        let mut everybody = std::mem::take(&mut self.aboard);
        everybody.append(&mut self.late);
        self.postpone(everybody);
    }

    fn postpone(&self, mut waiters: Vec<FlightWaiter>) {
        if let Some(waiting) = self.flights.lock().get_mut(&self.place) {
            waiters.append(waiting);
            *waiting = waiters;
        }
    }

    fn arrivals(&self, comes: impl Fn(&FlightWaiter) -> bool) -> Vec<FlightWaiter> {
        let mut flights = self.flights.lock();
        let Some(waiting) = flights.get_mut(&self.place) else { return Vec::new() };
        waiting.extract_if(.., |waiter| comes(waiter)).collect()
    }

    /// Answers the requests aboard. `Some` if other requests wait: the flight goes on with another round.
    pub(super) fn land(&mut self, shared: &SharedAnswer) -> Option<NextRound> {
        for waiter in self.aboard.drain(..) {
            // A caller that went away needs no answer.
            let _gone = waiter.reply.send(shared.clone());
        }
        let mut flights = self.flights.lock();
        let waiting = flights.get_mut(&self.place);
        let next = waiting.and_then(|waiting| {
            waiting.retain(|waiter| !waiter.reply.is_closed());
            let since_ms = waiting.iter().filter_map(|waiter| waiter.since_ms).max();
            let next = since_ms.map_or(NextRound::Any, |since_ms| NextRound::Fresh { since_ms });
            (!waiting.is_empty()).then_some(next)
        });
        if next.is_none() {
            flights.remove(&self.place);
            self.open = false;
            self.flights.metrics.flights.down();
        }
        next
    }

    /// Whether any request still wants this flight's answer.
    pub(super) fn is_wanted(&self) -> bool {
        let wanted = |waiters: &Vec<FlightWaiter>| waiters.iter().any(|w| !w.reply.is_closed());
        wanted(&self.aboard) || self.flights.lock().get(&self.place).is_some_and(wanted)
    }
}

impl Drop for Boarding {
    fn drop(&mut self) {
        if self.open {
            self.flights.lock().remove(&self.place);
            self.flights.metrics.flights.down();
        }
    }
}
