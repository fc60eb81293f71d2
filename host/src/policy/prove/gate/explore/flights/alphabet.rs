//! What can happen to a flight: after each action, every event that a host could deliver.
//!
//! The alphabet must have exactly the events of the cache's driver. An event that the driver can't
//! deliver would blame a policy for what never happens; a missing event would let a policy pass
//! that fails in use.

use std::time::Duration;

use crate::policy::Terms;
use crate::policy::run::guard::{FlightStage, LEASE_MS};
use crate::policy::{Action, Cause, Event, Failure, LoadReport, Sighting};

/// What the host does next; an event follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Pending {
    /// A read begins, with a look or with a bypass.
    Start,
    /// A refresh in the background begins with this sighting.
    Refresh(usize),
    /// An action is carried out.
    Look,
    Claim,
    Wait,
    Load,
    LoadUncached,
    Fill,
}

/// An event, and where the flight stands after it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Happening {
    pub(super) event: Event,
    pub(super) stage: FlightStage,
}

/// How many events are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breadth {
    /// One event of each kind, at few moments: enough to tell machines apart.
    Outline,
    /// Everything that may make a difference.
    Full,
}

/// Everything that can happen to the flights of one machine.
#[derive(Debug)]
pub(super) struct Alphabet {
    pub(super) deadline_ms: u32,
    /// The time left until the deadline at each moment at which decisions are taken, the first one
    /// first.
    pub(super) left_ms: Vec<u32>,
    /// The reports of loads, as far as lifetimes may depend on them.
    pub(super) reports: Vec<LoadReport>,
    start: Vec<Happening>,
    refresh: Vec<Happening>,
    look: Vec<Happening>,
    claim: Vec<Happening>,
    wait: Vec<Happening>,
    load: Vec<Happening>,
    load_uncached: Vec<Happening>,
    fill: Vec<Happening>,
}

impl Alphabet {
    pub(super) fn new(terms: &Terms, deadline: Duration, breadth: Breadth) -> Self {
        let deadline_ms = millis(deadline).max(1);
        let found = sightings(terms, breadth);
        let refresh: Vec<Happening> =
            found.iter().map(|seen| looked(Event::Found(*seen), true)).collect();
        let mut look = refresh.clone();
        look.extend([looked(Event::Absent, false), looked(Event::StoreUnavailable, false)]);
        let mut start = look.clone();
        start.push(Happening { event: Event::Bypassed, stage: FlightStage::Begun });
        let mut claim = refresh.clone();
        claim.push(looked(Event::StoreUnavailable, false));
        claim.push(Happening { event: Event::LeaseGranted, stage: FlightStage::Leased });
        let held =
            |held_ms| Happening { event: Event::LeaseHeld(held_ms), stage: FlightStage::Held };
        claim.extend(held_ms(breadth).into_iter().map(held));
        let settled = |event| Happening { event, stage: FlightStage::Settled };
        let fill = [Event::Filled, Event::FillRejected, Event::StoreUnavailable].map(settled);
        let failures = failures(&found, breadth);
        let reports = reports(deadline_ms);
        let brought = match breadth {
            Breadth::Outline => &reports[..2],
            Breadth::Full => &reports[..],
        };
        Self {
            deadline_ms,
            left_ms: moments(deadline_ms, breadth),
            start,
            refresh,
            look,
            claim,
            wait: vec![looked(Event::Waited, false)],
            load: loads(brought, &failures, true),
            load_uncached: loads(brought, &failures, false),
            fill: fill.to_vec(),
            reports: reports.to_vec(),
        }
    }

    /// Everything that can happen next.
    pub(super) fn after(&self, pending: Pending) -> &[Happening] {
        match pending {
            Pending::Start => &self.start,
            Pending::Refresh(seen) => self.refresh.get(seen..=seen).unwrap_or_default(),
            Pending::Look => &self.look,
            Pending::Claim => &self.claim,
            Pending::Wait => &self.wait,
            Pending::Load => &self.load,
            Pending::LoadUncached => &self.load_uncached,
            Pending::Fill => &self.fill,
        }
    }

    /// What the host does about an action that passed; `None` if the flight ends.
    pub(super) fn carried_out(action: Action) -> Option<Pending> {
        match action {
            Action::Look => Some(Pending::Look),
            Action::Claim(_) => Some(Pending::Claim),
            Action::Wait(_) => Some(Pending::Wait),
            Action::Load => Some(Pending::Load),
            Action::LoadUncached => Some(Pending::LoadUncached),
            Action::Fill(_) => Some(Pending::Fill),
            Action::Answer | Action::AnswerAndRefresh | Action::Fail => None,
        }
    }

    /// The refresh that begins with the envelope of `event`; `None` if no refresh begins with it.
    pub(super) fn refresh_of(&self, event: Event) -> Option<Pending> {
        let seen = self.refresh.iter().position(|happening| happening.event == event)?;
        Some(Pending::Refresh(seen))
    }
}

fn looked(event: Event, at_hand: bool) -> Happening {
    Happening { event, stage: FlightStage::Looked { at_hand } }
}

fn loads(reports: &[LoadReport], failures: &[Failure], under_lease: bool) -> Vec<Happening> {
    let loaded = |report: &LoadReport| Happening {
        event: Event::Loaded(*report),
        stage: FlightStage::Loaded { under_lease },
    };
    let failed = |failure: &Failure| Happening {
        event: Event::LoadFailed(*failure),
        stage: FlightStage::Failed { at_hand: failure.at_hand.is_some() },
    };
    reports.iter().map(loaded).chain(failures.iter().map(failed)).collect()
}

/// Envelopes on both sides of every limit that the terms set. The first four tell machines apart.
fn sightings(terms: &Terms, breadth: Breadth) -> Vec<Sighting> {
    let ttl_ms = terms.ttl_ms.max(1);
    let revalidate_ms = terms.stale_while_revalidate_ms;
    let on_error_ms = terms.stale_if_error_ms;
    let beyond_ms = revalidate_ms.max(on_error_ms).saturating_add(1);
    let (due, fresh) = (fresh(ttl_ms, 0), fresh(ttl_ms, ttl_ms / 2));
    let mut sightings = vec![fresh, due, stale(ttl_ms, 1), stale(ttl_ms, beyond_ms)];
    if breadth == Breadth::Full {
        let borders = [revalidate_ms, on_error_ms].into_iter();
        let around = borders.flat_map(|border_ms| [border_ms.saturating_sub(1), border_ms]);
        sightings.push(stale(ttl_ms, 0));
        sightings.extend(around.map(|past_ms| stale(ttl_ms, past_ms)));
        sightings.push(stale(ttl_ms, millis(terms.kept_at_most())));
        sightings.push(Sighting { negative: true, ..fresh });
        sightings.push(Sighting { negative: true, ..stale(ttl_ms, 1) });
    }
    let mut different: Vec<Sighting> = Vec::new();
    for sighting in sightings {
        if !different.contains(&sighting) {
            different.push(sighting);
        }
    }
    different
}

/// An envelope with a quarter of its life left, whose refresh is due in `refresh_ms`.
fn fresh(ttl_ms: u32, refresh_ms: u32) -> Sighting {
    let fresh_ms = refresh_ms.saturating_add(ttl_ms / 4).max(1);
    let age_ms = ttl_ms.saturating_sub(fresh_ms);
    Sighting { age_ms, refresh_ms, fresh_ms, past_ms: 0, cost_ms: 20, negative: false }
}

fn stale(ttl_ms: u32, past_ms: u32) -> Sighting {
    let age_ms = ttl_ms.saturating_add(past_ms);
    Sighting { age_ms, refresh_ms: 0, fresh_ms: 0, past_ms, cost_ms: 20, negative: false }
}

/// The first two tell machines apart.
fn reports(deadline_ms: u32) -> [LoadReport; 4] {
    [
        LoadReport { cost_ms: 20, bytes: 200, negative: false },
        LoadReport { cost_ms: 20, bytes: 0, negative: true },
        LoadReport { cost_ms: 0, bytes: 2, negative: false },
        LoadReport { cost_ms: deadline_ms, bytes: u32::MAX, negative: false },
    ]
}

fn failures(seen: &[Sighting], breadth: Breadth) -> Vec<Failure> {
    let failure = |cause, at_hand| Failure { cause, at_hand };
    let with = |cause| seen.iter().map(move |seen| failure(cause, Some(*seen)));
    let mut failures = vec![failure(Cause::Unavailable, None)];
    failures.extend(with(Cause::Timeout));
    if breadth == Breadth::Full {
        for cause in [Cause::Unavailable, Cause::Overloaded, Cause::Rejected] {
            failures.extend(with(cause).take(4));
        }
        let causes = [Cause::Timeout, Cause::Overloaded, Cause::Rejected];
        failures.extend(causes.map(|cause| failure(cause, None)));
    }
    failures
}

/// What may be left of another flight's lease: nothing, the least, the usual, the most.
fn held_ms(breadth: Breadth) -> Vec<u32> {
    match breadth {
        Breadth::Outline => vec![250],
        Breadth::Full => vec![0, 1, 250, *LEASE_MS.end()],
    }
}

fn moments(deadline_ms: u32, breadth: Breadth) -> Vec<u32> {
    let mut left_ms = match breadth {
        Breadth::Outline => vec![deadline_ms, 1],
        Breadth::Full => vec![deadline_ms, deadline_ms / 2, 1, 0],
    };
    left_ms.sort_unstable_by(|one, other| other.cmp(one));
    left_ms.dedup();
    left_ms
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
