//! Every way that a host and its world can lead a flight, up to a depth.
//!
//! The explorer plays the host: after each action it tries every event that the contract allows
//! there, and checks each turn against what the flight has got so far. It takes the step function
//! as an argument, so that tests can give it a broken one and show that it finds the violation.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::tests::*;
use super::*;
use crate::{Cause, Lifetime};

/// Look, claim, wait, claim, wait, claim, load, fill.
const DEPTH: usize = 8;

/// Claim, load, fill, and a step for what comes before and after.
const ENDING_DEPTH: usize = 5;

const DEADLINE_MS: u32 = 2_000;

#[test]
fn every_flight_is_legal_and_can_end() {
    let explored = explore(&|memo, moment, event| step(&TERMS, &TUNING, memo, moment, event));
    assert!(explored.unwrap() > 10_000);
}

#[test]
fn every_flight_with_little_patience_is_legal_and_can_end() {
    let tuning = Tuning { patience_ms: 500, ..TUNING };
    let explored = explore(&|memo, moment, event| step(&TERMS, &tuning, memo, moment, event));
    assert!(explored.unwrap() > 10_000);
}

#[test]
fn a_lease_that_is_never_free_is_waited_for_until_the_deadline_and_no_longer() {
    for (patience_ms, until_ms) in [(0, DEADLINE_MS), (500, 501)] {
        let tuning = Tuning { patience_ms, ..TUNING };
        let mut world = World::new(begin(0, 0));
        world.take(step(&TERMS, &tuning, world.memo, world.moment(), Event::Absent));
        while let Action::Claim(_) = world.last {
            let held = Event::LeaseHeld(300);
            world.take(step(&TERMS, &tuning, world.memo, world.moment(), held));
            if let Action::Wait(_) = world.last {
                world.happened(Event::Waited);
                world.take(step(&TERMS, &tuning, world.memo, world.moment(), Event::Waited));
            }
        }
        assert_eq!((world.last, world.elapsed_ms), (Action::LoadUncached, until_ms));
    }
}

#[test]
fn no_memo_and_no_event_makes_the_machine_store_what_was_not_loaded_under_a_lease() {
    for phase in 0..20 {
        for event in all_events() {
            let turn = step(&TERMS, &TUNING, Memo { phase, ..begin(0, 0) }, moment(0), event);
            let under_lease = [Phase::Loading as u32, Phase::RefreshLoading as u32];
            let loaded =
                matches!(event, Event::Loaded(_)) && under_lease.contains(&(phase & PHASE_MASK));
            assert_eq!(matches!(turn.action, Action::Fill(_)), loaded, "{phase} {event:?}");
        }
    }
}

#[test]
fn the_explorer_finds_a_fill_without_a_lease() {
    let lifetime = Lifetime { fresh_ms: 300_000, stale_ms: 0, refresh_ms: 300_000 };
    assert_found("fill", |event, action| {
        let uncached = matches!((event, action), (Event::Loaded(_), Action::Answer));
        uncached.then_some(Action::Fill(lifetime))
    });
}

#[test]
fn the_explorer_finds_a_load_without_a_lease() {
    assert_found("load", |event, _| matches!(event, Event::LeaseHeld(_)).then_some(Action::Load));
}

#[test]
fn the_explorer_finds_a_wait_past_the_deadline() {
    assert_found("wait", |event, action| {
        let past = matches!((event, action), (Event::LeaseHeld(u32::MAX), Action::Wait(_)));
        past.then_some(Action::Wait(DEADLINE_MS + 1))
    });
}

#[test]
fn the_explorer_finds_a_lifetime_out_of_bounds() {
    let lifetime = Lifetime { fresh_ms: 360_001, stale_ms: 3_600_000, refresh_ms: 300_000 };
    assert_found("lifetime", |_, action| {
        matches!(action, Action::Fill(_)).then_some(Action::Fill(lifetime))
    });
}

#[test]
fn the_explorer_finds_an_answer_out_of_thin_air() {
    assert_found("answer", |event, _| {
        matches!(event, Event::LoadFailed(_)).then_some(Action::Answer)
    });
}

#[test]
fn the_explorer_finds_a_flight_that_can_not_end() {
    assert_found("end", |event, _| {
        matches!(event, Event::Filled).then_some(Action::Claim(TUNING.lease_ms))
    });
}

/// Runs the explorer over a machine that takes another action where `broken` has one.
fn assert_found(expected: &str, broken: impl Fn(Event, Action) -> Option<Action>) {
    let explored = explore(&|memo, moment, event| {
        let turn = step(&TERMS, &TUNING, memo, moment, event);
        Turn { action: broken(event, turn.action).unwrap_or(turn.action), ..turn }
    });
    let violation = explored.unwrap_err();
    assert!(violation.starts_with(expected), "{violation}");
}

type Step<'s> = &'s dyn Fn(Memo, Moment, Event) -> Turn;

/// How many turns were explored, or the first violation with the events that lead to it.
fn explore(step: Step<'_>) -> Result<usize, String> {
    let mut turns = 0;
    let starts = seen().map(Event::Found).into_iter();
    for event in starts.chain([Event::Absent, Event::Bypassed, Event::StoreUnavailable]) {
        let world = World::new(begin(0, 0));
        turns += visit(step, &world, event, DEPTH)
            .map_err(|(what, trail)| format!("{what}; reversed: {trail:?}"))?;
    }
    Ok(turns)
}

type Violation = (&'static str, Vec<Event>);

fn visit(step: Step<'_>, world: &World, event: Event, depth: usize) -> Result<usize, Violation> {
    let mut next = world.clone();
    next.happened(event);
    let turn = step(next.memo, next.moment(), event);
    next.check(event, turn).map_err(|what| (what, vec![event]))?;
    next.take(turn);
    let extend = |(what, mut trail): Violation| {
        trail.push(event);
        (what, trail)
    };
    if depth == 0 {
        return if next.can_end(step, ENDING_DEPTH) { Ok(1) } else { Err(("end", vec![event])) };
    }
    if turn.action == Action::AnswerAndRefresh {
        let refresh = World { background: true, ..World::new(turn.memo) };
        return visit(step, &refresh, event, depth - 1).map_err(extend);
    }
    let visits = next.events().into_iter().map(|event| visit(step, &next, event, depth - 1));
    visits.sum::<Result<usize, _>>().map(|turns| turns + 1).map_err(extend)
}

/// What the host knows about a flight.
#[derive(Clone)]
struct World {
    memo: Memo,
    last: Action,
    elapsed_ms: u32,
    background: bool,
    at_hand: Option<Sighting>,
    loaded: bool,
}

impl World {
    fn new(memo: Memo) -> Self {
        Self {
            memo,
            last: Action::Look,
            elapsed_ms: 0,
            background: false,
            at_hand: None,
            loaded: false,
        }
    }

    fn moment(&self) -> Moment {
        moment(self.elapsed_ms)
    }

    fn take(&mut self, turn: Turn) {
        self.memo = turn.memo;
        self.last = turn.action;
    }

    /// Applies an event before the policy gets it: time passes, and values come to hand.
    fn happened(&mut self, event: Event) {
        match event {
            Event::Found(seen) => self.at_hand = Some(seen),
            Event::Loaded(report) => {
                self.loaded = true;
                self.elapsed_ms += report.cost_ms;
            }
            Event::Waited => {
                if let Action::Wait(ms) = self.last {
                    self.elapsed_ms = (self.elapsed_ms + ms).min(DEADLINE_MS);
                }
            }
            Event::Absent
            | Event::Bypassed
            | Event::StoreUnavailable
            | Event::LeaseGranted
            | Event::LeaseHeld(_)
            | Event::LoadFailed(_)
            | Event::Filled
            | Event::FillRejected => {}
        }
    }

    fn check(&self, event: Event, turn: Turn) -> Result<(), &'static str> {
        let legal = match turn.action {
            Action::Look => return Err("look twice"),
            Action::Claim(ms) => return if ms == 1_000 { Ok(()) } else { Err("claim") },
            Action::Wait(ms) => {
                return if ms >= 1 && ms <= self.moment().left_ms { Ok(()) } else { Err("wait") };
            }
            Action::Load if event != Event::LeaseGranted => return Err("load without a lease"),
            Action::Fill(_) if self.last != Action::Load => return Err("fill without a lease"),
            Action::Fill(life) => return check_lifetime(event, life),
            Action::Load | Action::LoadUncached | Action::Fail => true,
            Action::Answer => self.background || self.loaded || self.at_hand.is_some(),
            Action::AnswerAndRefresh => !self.background && self.at_hand.is_some(),
        };
        if legal { Ok(()) } else { Err("answer without a value") }
    }

    /// What can happen next.
    fn events(&self) -> Vec<Event> {
        match self.last {
            Action::Look | Action::Answer | Action::AnswerAndRefresh | Action::Fail => vec![],
            Action::Claim(_) => claimed().collect(),
            Action::Wait(_) => vec![Event::Waited],
            Action::Load | Action::LoadUncached => loads(self.at_hand).collect(),
            Action::Fill(_) => vec![Event::Filled, Event::FillRejected, Event::StoreUnavailable],
        }
    }

    /// Whether the flight ends if everything succeeds from here on.
    fn can_end(&self, step: Step<'_>, depth: usize) -> bool {
        let event = match self.last {
            Action::Answer | Action::AnswerAndRefresh | Action::Fail => return true,
            Action::Look => Event::Absent,
            Action::Claim(_) => Event::LeaseGranted,
            Action::Wait(_) => Event::Waited,
            Action::Load | Action::LoadUncached => Event::Loaded(LOADED),
            Action::Fill(_) => Event::Filled,
        };
        let mut next = self.clone();
        next.happened(event);
        next.take(step(next.memo, next.moment(), event));
        depth > 0 && next.can_end(step, depth - 1)
    }
}

fn check_lifetime(event: Event, life: Lifetime) -> Result<(), &'static str> {
    let negative = matches!(event, Event::Loaded(LoadReport { negative: true, .. }));
    let (bounds, stale_ms) =
        if negative { (24_000..=36_000, 0) } else { (240_000..=360_000, 3_600_000) };
    let legal = bounds.contains(&life.fresh_ms)
        && life.stale_ms == stale_ms
        && (1..=life.fresh_ms).contains(&life.refresh_ms);
    if legal { Ok(()) } else { Err("lifetime out of bounds") }
}

const LOADED: LoadReport = LoadReport { cost_ms: 100, bytes: 10, negative: false };

fn seen() -> [Sighting; 7] {
    [FRESH, DUE, STALE, OLD, TOO_OLD, NO_SUCH_ROW, NO_SUCH_ROW_THEN]
}

fn claimed() -> impl Iterator<Item = Event> {
    let leases = [0, 1, 700, u32::MAX].map(Event::LeaseHeld);
    let others = [Event::LeaseGranted, Event::StoreUnavailable];
    seen().map(Event::Found).into_iter().chain(leases).chain(others)
}

fn loads(at_hand: Option<Sighting>) -> impl Iterator<Item = Event> {
    let failed = [Cause::Unavailable, Cause::Rejected]
        .map(|cause| Event::LoadFailed(Failure { cause, at_hand }));
    let loaded = [LOADED, LoadReport { negative: true, ..LOADED }].map(Event::Loaded);
    loaded.into_iter().chain(failed)
}

fn all_events() -> impl Iterator<Item = Event> {
    let rest = [Event::Absent, Event::Bypassed, Event::Waited, Event::Filled, Event::FillRejected];
    claimed().chain(loads(None)).chain(loads(Some(OLD))).chain(rest)
}

fn moment(elapsed_ms: u32) -> Moment {
    let left_ms = DEADLINE_MS.saturating_sub(elapsed_ms);
    Moment { elapsed_ms, left_ms, entropy: 0x5EED }
}
