//! A slot that rolls back by itself.

use super::super::*;
use crate::policy::run::trial::{PROBATION_CALLS, PROBATION_FAILURES, WINDOW, WINDOW_FAILURES};
use crate::policy::testing::first_step;
use crate::policy::{
    Action, Change, Configuration, Event, Memo, Moment, Plan, Refusal, Request, Row, Target, Trap,
    Turn,
};
use serde_json::{Map, Value};

#[test]
fn a_policy_that_traps_every_thousandth_call_is_rolled_back_by_itself() {
    let slot = Slot::native(healthy("one"));
    slot.activate_native(traps_every(1_000, "two"));
    for call in 1..1_000 * PROBATION_FAILURES {
        step(&slot);
        assert_eq!(slot.current().number(), 2, "after {call} calls");
    }
    step(&slot);
    assert_eq!(slot.current().number(), 1);
    assert_eq!(slot.automatic_rollbacks(), 1);
    let reason = slot.status().activations[0].reason;
    let Reason::RolledBackAutomatically { failed, calls, traps, refused } = reason else {
        panic!("{reason:?}");
    };
    assert_eq!((failed, calls, traps, refused), (2, 5_000, PROBATION_FAILURES, 0));
}

#[test]
fn a_healthy_policy_stays() {
    let slot = Slot::native(healthy("one"));
    slot.activate_native(healthy("two"));
    (0..3 * PROBATION_CALLS).for_each(|_| step(&slot));
    assert_eq!(slot.current().number(), 2);
}

#[test]
fn refused_answers_count_like_traps() {
    let slot = Slot::native(healthy("one"));
    let second = slot.activate_native(healthy("two"));
    for _ in 0..PROBATION_FAILURES {
        assert_eq!(slot.current().number(), 2);
        second.refused(&"the lifetime is out of bounds");
    }
    assert_eq!(slot.current().number(), 1);
}

#[test]
fn failures_of_an_older_generation_leave_the_one_in_force_alone() {
    let slot = Slot::native(healthy("one"));
    let second = slot.activate_native(healthy("two"));
    slot.activate_native(healthy("three"));
    (0..100).for_each(|_| second.refused(&"a flight that is not over"));
    assert_eq!(slot.current().number(), 3);
    assert_eq!(slot.automatic_rollbacks(), 0);
    // The control: the same failures of the generation in force.
    let third = slot.current();
    (0..100).for_each(|_| third.refused(&"now"));
    assert_eq!((slot.current().number(), slot.automatic_rollbacks()), (2, 1));
}

#[test]
fn what_was_rolled_back_by_itself_is_remembered_until_somebody_insists() {
    let slot = Slot::native(healthy("one"));
    let second = slot.activate_native(healthy("two"));
    assert!(!slot.is_condemned("", &named("two")));
    fail(&second);
    assert!(slot.is_condemned("", &named("two")) && !slot.is_condemned("", &named("one")));
    let shown = slot.status().generations.into_iter().find(|g| g.condemned).unwrap();
    assert_eq!((shown.summary.generation, shown.state), (2, GenerationState::Previous));
    let again = slot.activate_native(healthy("two"));
    assert!(!slot.is_condemned("", &named("two")));
    fail(&again);
    assert!(slot.is_condemned("", &named("two")), "and it is on probation again");
    assert_eq!(slot.current().number(), 1);
}

#[test]
fn the_slot_never_goes_forth_to_what_failed() {
    let slot = Slot::native(healthy("one"));
    let first = slot.current();
    fail(&slot.activate_native(healthy("two")));
    for _ in 0..10 * WINDOW_FAILURES {
        first.refused(&"it fails as well");
    }
    assert_eq!(slot.current().number(), 1);
    assert!(slot.is_failing(), "there is nothing to go back to");
    assert_eq!(slot.automatic_rollbacks(), 1);
}

#[test]
fn a_policy_put_in_force_twice_is_left_for_the_one_before_it() {
    let slot = Slot::native(healthy("one"));
    slot.activate_native(healthy("two"));
    let again = slot.activate_native(healthy("two"));
    let fallback =
        slot.status().generations.into_iter().find(|g| g.state == GenerationState::Fallback);
    assert_eq!(fallback.unwrap().summary.generation, 1);
    fail(&again);
    assert_eq!(slot.current().number(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_proven_policy_is_rolled_back_for_its_rate_alone() {
    let slot = Slot::native(healthy("one"));
    let second = slot.activate_native(healthy("two"));
    assert!(probation(&slot).is_some());
    (0..PROBATION_CALLS).for_each(|_| step(&slot));
    tokio::time::advance(Tenure::default().probation).await;
    assert_eq!(probation(&slot), None);
    for _ in 0..10 * WINDOW_FAILURES {
        second.refused(&"one caller's request");
        tokio::time::advance(WINDOW / 5).await;
    }
    assert_eq!(slot.current().number(), 2, "few, however long it goes on");
    (0..WINDOW_FAILURES).for_each(|_| second.refused(&"everybody's requests"));
    assert_eq!(slot.current().number(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failing_policy_with_nothing_before_it_stays_and_says_so_for_a_while() {
    let slot = Slot::native(healthy("one"));
    let first = slot.current();
    (0..WINDOW_FAILURES).for_each(|_| first.refused(&"no"));
    assert!(slot.is_failing());
    assert_eq!(slot.current().number(), 1);
    tokio::time::advance(WINDOW).await;
    assert!(!slot.is_failing());
}

#[test]
fn many_threads_that_fail_at_once_roll_back_once() {
    let slot = Slot::native(healthy("one"));
    slot.activate_native(healthy("two"));
    let third = slot.activate_native(healthy("three"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1_000).for_each(|_| third.refused(&"no")));
        }
    });
    assert_eq!((slot.current().number(), slot.automatic_rollbacks()), (2, 1));
}

fn fail(generation: &Generation) {
    (0..PROBATION_FAILURES).for_each(|_| generation.refused(&"no"));
}

fn probation(slot: &Slot) -> Option<crate::policy::Probation> {
    slot.status().generations[0].probation
}

fn step(slot: &Slot) {
    let (memo, moment, event) = first_step();
    let _turn = slot.current().step(memo, moment, event);
}

/// A configuration that differs from another in its name.
fn named(name: &str) -> Configuration {
    let settings = Map::from_iter([("name".to_owned(), Value::from(name))]);
    Configuration { settings, ..Configuration::default() }
}

fn healthy(settings: &str) -> NativePolicy {
    traps_every(u64::MAX, settings)
}

fn traps_every(nth: u64, settings: &str) -> NativePolicy {
    let manifest = Manifest { name: "native".into(), version: "1.0.0".into() };
    let policy = Arc::new(Trapping { nth, calls: AtomicU64::new(0) });
    NativePolicy { manifest, configuration: Arc::new(named(settings)), policy }
}

/// Decides as little as a policy can; every `nth` step traps.
struct Trapping {
    nth: u64,
    calls: AtomicU64,
}

impl Decider for Trapping {
    fn plan(&self, _: &Request) -> Result<Result<Plan, Refusal>, Trap> {
        Err(trap())
    }

    fn row_tags(&self, _: &Request, _: &[Row]) -> Result<Result<Vec<String>, Refusal>, Trap> {
        Err(trap())
    }

    fn step(&self, memo: Memo, _: Moment, _: Event) -> Result<Turn, Trap> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if call.is_multiple_of(self.nth) {
            return Err(trap());
        }
        Ok(Turn { memo, action: Action::LoadUncached })
    }

    fn invalidate(&self, _: &Change) -> Result<Vec<Target>, Trap> {
        Err(trap())
    }
}

fn trap() -> Trap {
    Trap { function: "step", reason: "unreachable".into() }
}
