//! The walk through a flight, turn by turn, where the events are assumed.

use std::time::Duration;

use serde::Serialize;

use crate::cache::Entropy;
use crate::policy::prove::compare::{self, Decided, Spread, spread, words};
use crate::policy::{Action, Cause, Decider, Event, Failure, LoadReport, Memo, Sighting};

/// How long a load is assumed to take if no envelope says how long one took.
const COST_MS: u32 = 20;

/// How long the lease lasts that another host is assumed to hold.
const HELD_MS: u32 = 1_000;

/// The largest number of turns that are shown; the guard ends a flight that goes in circles before.
const TURNS: usize = 100;

/// A flight under an assumption.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainedFlight {
    /// `now`, or the assumption under which the flight would go like this.
    pub when: &'static str,
    /// The flight's turns, in order.
    pub turns: Vec<ExplainedTurn>,
}

/// One turn.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainedTurn {
    /// What happened.
    pub event: String,
    /// What the host does next.
    pub action: String,
    /// What the policy wanted, and why the host does something else; `None` if the host does what
    /// it wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<String>,
    /// For a fill: how the lifetimes spread over random bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetimes: Option<Spread>,
}

/// What was seen in the store, and the entity's times.
pub(super) struct StoreView {
    pub(super) reachable: bool,
    pub(super) found: Option<Sighting>,
    pub(super) bytes: usize,
    pub(super) held_ms: Option<u32>,
    pub(super) ttl_ms: u32,
    /// How long a stale value may be answered while it is refreshed.
    pub(super) stale_ms: u32,
}

/// The events that are assumed.
pub(super) struct Assumed {
    when: &'static str,
    first: Event,
    held_ms: Option<u32>,
    loaded: Event,
    filled: Event,
}

/// The flight that is walked: its policy, plan and limits.
pub(super) struct ExplainQuestion<'a> {
    pub(super) policy: &'a dyn Decider,
    pub(super) memo: Memo,
    pub(super) deadline_ms: u32,
    pub(super) kept_at_most: Duration,
    pub(super) entropy: &'a dyn Entropy,
}

impl Assumed {
    /// The events as they would be now, and under every other assumption.
    pub(super) fn all(seen: &StoreView) -> Vec<Self> {
        let first = match seen.found {
            _ if !seen.reachable => Event::StoreUnavailable,
            Some(found) => Event::Found(found),
            None => Event::Absent,
        };
        let now = Self {
            when: "now",
            first,
            held_ms: seen.held_ms,
            loaded: seen.loaded(false),
            filled: Event::Filled,
        };
        let absent = Self { first: Event::Absent, held_ms: None, ..now };
        let mut all = Vec::new();
        let failed = |at_hand| Event::LoadFailed(Failure { cause: Cause::Unavailable, at_hand });
        let other = |when| Self { when, ..absent };
        if seen.found.is_some() || !seen.reachable || seen.held_ms.is_some() {
            all.push(other("if nothing were stored"));
        }
        if seen.held_ms.is_none() {
            let held_ms = Some(HELD_MS);
            all.push(Self { held_ms, ..other("if another host were loading it") });
        }
        let loaded = seen.loaded(true);
        all.push(Self { loaded, ..other("if there were no such row") });
        all.push(Self { loaded: failed(None), ..other("if the load failed") });
        if let Some(stale) = seen.stale() {
            let (first, loaded) = (Event::Found(stale), failed(Some(stale)));
            all.push(Self { first, loaded, ..other("if it were stale and the load failed") });
        }
        let filled = Event::FillRejected;
        all.push(Self { filled, ..other("if a write came in between") });
        if seen.reachable {
            let first = Event::StoreUnavailable;
            all.push(Self { first, ..other("if the store did not answer") });
        }
        let first = Event::Bypassed;
        all.push(Self { first, ..other("if the client wanted it fresh (no-cache)") });
        all.insert(0, now);
        all
    }
}

impl StoreView {
    fn loaded(&self, negative: bool) -> Event {
        let cost_ms = self.found.map_or(COST_MS, |found| found.cost_ms);
        let bytes = if negative { 0 } else { u32::try_from(self.bytes).unwrap_or(u32::MAX) };
        Event::Loaded(LoadReport { cost_ms, bytes, negative })
    }

    /// The stored value, aged a moment past the time in which it may be answered while it is
    /// refreshed.
    fn stale(&self) -> Option<Sighting> {
        let found = self.found.filter(|found| !found.negative)?;
        let past_ms = self.stale_ms.saturating_add(1).max(found.past_ms);
        Some(Sighting { refresh_ms: 0, fresh_ms: 0, past_ms, ..found })
    }

    /// The value that the holder of the lease has filled meanwhile.
    fn filled_by_another(&self) -> Event {
        let (cost_ms, ttl_ms) = (COST_MS, self.ttl_ms);
        let (refresh_ms, fresh_ms) = (ttl_ms, ttl_ms);
        let found =
            Sighting { age_ms: 0, refresh_ms, fresh_ms, past_ms: 0, cost_ms, negative: false };
        Event::Found(found)
    }
}

impl ExplainQuestion<'_> {
    /// The flight, and after it the refresh that it begins.
    pub(super) fn walk(&self, assumed: &Assumed, seen: &StoreView) -> Vec<ExplainedFlight> {
        let course = compare::Course::new(self.memo, self.deadline_ms, self.kept_at_most);
        let (turns, refresh) = self.turns(course, assumed.first, assumed, seen);
        let mut courses = vec![ExplainedFlight { when: assumed.when, turns }];
        if let Some((refresh, found)) = refresh {
            let (turns, _) = self.turns(refresh, found, assumed, seen);
            courses.push(ExplainedFlight { when: "the refresh that this begins", turns });
        }
        courses
    }

    fn turns(
        &self,
        mut course: compare::Course,
        first: Event,
        assumed: &Assumed,
        seen: &StoreView,
    ) -> (Vec<ExplainedTurn>, Option<(compare::Course, Event)>) {
        let (mut turns, mut event) = (Vec::new(), first);
        let (mut held_ms, mut waited) = (assumed.held_ms, false);
        while turns.len() < TURNS {
            let before = course;
            #[expect(clippy::cast_possible_truncation, reason = "half of the bits are enough")]
            let entropy = self.entropy.bits() as u64;
            let decided = course.decide(self.policy, entropy, event);
            turns.push(self.told(&before, event, &decided));
            event = match decided.action {
                Action::Look => assumed.first,
                Action::Claim(_) => match held_ms.take() {
                    Some(held_ms) => Event::LeaseHeld(held_ms),
                    None if waited => seen.filled_by_another(),
                    None => Event::LeaseGranted,
                },
                Action::Wait(_) => {
                    waited = true;
                    Event::Waited
                }
                Action::Load | Action::LoadUncached => assumed.loaded,
                Action::Fill(_) => assumed.filled,
                Action::AnswerAndRefresh => return (turns, Some((course.refresh(), event))),
                Action::Answer | Action::Fail => break,
            };
        }
        (turns, None)
    }

    fn told(&self, before: &compare::Course, event: Event, decided: &Decided) -> ExplainedTurn {
        let lifetimes = decided
            .action
            .lifetime()
            .and_then(|_| Spread::of(&spread(self.policy, before.memo, before.moment(0), event)));
        ExplainedTurn {
            event: words::event(event),
            action: words::action(decided.action),
            instead_of: decided.instead_of.as_ref().map(ToString::to_string),
            lifetimes,
        }
    }
}
