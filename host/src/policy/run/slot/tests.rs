mod automatic;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::ledger::HISTORY;
use super::*;
use crate::policy::testing::{Wat, first_step, read};
use crate::policy::{Event, Memo, Trap, Turn};
use crate::read_name::ReadName;

#[test]
fn the_first_generation_is_number_one_and_says_so() {
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    assert_eq!(slot.current().label(), "tiny@1.0.0;generation=1");
}

#[test]
fn an_activation_counts_on_and_keeps_the_generation_before() {
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    let second = slot.activate(newer().passed(), Provenance::Pushed);
    assert_eq!(second.label(), "newer@2.0.0;generation=2");
    assert_eq!(slot.current().number(), 2);
    assert_eq!(slot.previous().unwrap().number(), 1);
}

#[test]
fn a_rollback_brings_the_same_generation_back_under_its_number() {
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    let first = slot.current();
    slot.activate(newer().passed(), Provenance::Pushed);
    let back = slot.rollback().unwrap();
    assert!(Arc::ptr_eq(&first, &back) && Arc::ptr_eq(&first, &slot.current()));
    assert_eq!(slot.previous().unwrap().number(), 2);
    // A number is never given twice.
    assert_eq!(slot.activate(newer().passed(), Provenance::Pushed).number(), 3);
}

#[test]
fn without_an_exchange_there_is_nothing_to_roll_back_to() {
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    assert_eq!(slot.rollback().unwrap_err(), NothingToRollBack);
    assert_eq!(slot.current().number(), 1);
}

#[test]
fn a_request_keeps_its_generation_and_the_last_one_frees_it() {
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    let held = slot.activate(newer().passed(), Provenance::Pushed);
    let weak = Arc::downgrade(&held);
    slot.activate(newer().passed(), Provenance::Pushed);
    slot.activate(newer().passed(), Provenance::Pushed);
    assert!(step(&held).is_ok());
    drop(held);
    assert!(weak.upgrade().is_none(), "a generation that is not in use is kept");
}

#[test]
fn invalidations_name_keys_under_every_component_that_was_in_force() {
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    assert_eq!(numbers(&slot), [1]);
    slot.activate(newer().passed(), Provenance::Pushed);
    assert_eq!(numbers(&slot), [2, 1]);
    slot.activate(newer().passed(), Provenance::Pushed);
    assert_eq!(numbers(&slot), [3, 1], "the same component names keys once");
    slot.rollback().unwrap();
    assert_eq!(numbers(&slot), [2, 1]);
}

#[test]
fn what_stored_nothing_here_may_have_stored_on_another_host() {
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    slot.activate(newer().passed(), Provenance::Pushed);
    assert_eq!(numbers(&slot), [2, 1]);
    // This gives the same names again.
    slot.activate(Wat::default().passed(), Provenance::Pushed);
    slot.activate(newer().passed(), Provenance::Pushed);
    assert_eq!(numbers(&slot), [4, 3]);
}

#[test]
fn names_that_were_learned_are_covered_before_anything_is_stored_under_them() {
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    slot.learn(newer().passed(), Provenance::Pushed);
    assert_eq!((slot.current().number(), numbers(&slot)), (1, vec![1, 2]));
    slot.learn(newer().passed(), Provenance::Pushed);
    assert_eq!(numbers(&slot), [1, 2], "once");
    slot.activate(newer().passed(), Provenance::Pushed);
    assert_eq!(numbers(&slot), [4, 1]);
}

#[tokio::test(start_paused = true)]
async fn names_are_forgotten_when_nothing_that_they_name_can_live() {
    let lasts = Duration::from_secs(3_600);
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    let slot = slot.lasting(Tenure { naming: lasts, ..Tenure::default() });
    tokio::time::advance(10 * lasts).await;
    assert_eq!(numbers(&slot), [1], "what is in force is never forgotten");
    slot.activate(newer().passed(), Provenance::Pushed);
    tokio::time::advance(lasts - Duration::from_millis(1)).await;
    assert_eq!(numbers(&slot), [2, 1]);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(numbers(&slot), [2]);
    slot.rollback().unwrap();
    assert_eq!(numbers(&slot), [1, 2], "and it may come back");
}

#[tokio::test(start_paused = true)]
async fn names_that_were_learned_are_forgotten_as_well_unless_they_come_into_force() {
    let (lasts, moment) = (Duration::from_secs(3_600), Duration::from_millis(1));
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    let slot = slot.lasting(Tenure { naming: lasts, ..Tenure::default() });
    slot.learn(newer().passed(), Provenance::Pushed);
    tokio::time::advance(lasts - moment).await;
    assert_eq!(numbers(&slot), [1, 2]);
    slot.learn(newer().passed(), Provenance::Pushed);
    tokio::time::advance(lasts - moment).await;
    assert_eq!(numbers(&slot), [1, 2], "they were learned once more");
    tokio::time::advance(moment).await;
    assert_eq!(numbers(&slot), [1]);
    slot.learn(newer().passed(), Provenance::Pushed);
    slot.activate(newer().passed(), Provenance::Pushed);
    slot.learn(newer().passed(), Provenance::Pushed);
    tokio::time::advance(10 * lasts).await;
    assert_eq!(numbers(&slot), [5]);
    slot.rollback().unwrap();
    assert_eq!(numbers(&slot), [1, 5], "what was in force is named from now on for as long");
}

#[tokio::test(start_paused = true)]
async fn names_that_another_host_fills_under_are_not_forgotten() {
    let (lasts, moment) = (Duration::from_secs(3_600), Duration::from_millis(1));
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    let slot = slot.lasting(Tenure { naming: lasts, ..Tenure::default() });
    let learned = slot.learn(newer().passed(), Provenance::Pushed).policy_id();
    for _ in 0..3 {
        tokio::time::advance(lasts - moment).await;
        slot.note_used(|policy| policy == learned);
        assert_eq!(numbers(&slot), [1, 2]);
    }
    tokio::time::advance(lasts - moment).await;
    slot.note_used(|_| false);
    assert_eq!(numbers(&slot), [1, 2]);
    tokio::time::advance(moment).await;
    assert_eq!(numbers(&slot), [1], "the control");
}

#[test]
fn names_that_are_learned_never_displace_those_in_force() {
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
        slot.learn(Wat { name, ..Wat::default() }.passed(), Provenance::Pushed);
    }
    assert_eq!(numbers(&slot), [1, 4, 5, 6, 7, 8, 9, 10], "the last seven were learned last");
    slot.activate(newer().passed(), Provenance::Pushed);
    assert_eq!(numbers(&slot), [11, 1, 5, 6, 7, 8, 9, 10], "what was left is still named");
}

#[test]
fn what_nobody_can_go_back_to_keeps_neither_plans_nor_instances() {
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    let first = slot.current();
    first.name_read(&user(), || read("user")).unwrap().unwrap();
    slot.activate(newer().passed(), Provenance::Pushed);
    let second = Arc::downgrade(&slot.current());
    slot.activate(other().passed(), Provenance::Pushed);
    assert!(second.upgrade().is_some(), "it is ready");
    let named = slot.naming().into_iter().find(|generation| generation.number() == 1).unwrap();
    assert!(!Arc::ptr_eq(&named, &first));
    assert_eq!((first.summary().plans, named.summary().plans), (1, 0));
    assert!(named.name(&read("user")).unwrap().is_ok(), "it still names");
    let states =
        |slot: &Slot| slot.status().generations.iter().map(|g| g.state).collect::<Vec<_>>();
    assert_eq!(
        states(&slot),
        [GenerationState::Current, GenerationState::Previous, GenerationState::Pinned]
    );
    let weak = Arc::downgrade(&first);
    drop(first);
    assert!(weak.upgrade().is_none(), "its last request has ended");
    assert_eq!(
        states(&slot),
        [GenerationState::Current, GenerationState::Previous, GenerationState::Naming]
    );
}

#[test]
fn a_new_generation_knows_the_hot_plans_before_it_is_in_force() {
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    let name = |slot: &Slot| {
        let read = || read("user");
        slot.current().name_read(&user(), read).unwrap().unwrap()
    };
    let before = name(&slot);
    slot.activate(newer().passed(), Provenance::Pushed);
    assert_eq!(slot.current().summary().plans, 1);
    assert_eq!(name(&slot), before);
    assert_eq!(slot.current().counts().calls, 0, "nothing was asked");
}

#[test]
fn a_thousand_exchanges_leave_what_two_leave() {
    let candidates = [newer().passed(), Wat::default().passed()];
    let slot = Slot::new(candidates[1].clone(), Provenance::BuiltIn);
    let mut replaced = Vec::new();
    for at in 0..1_000 {
        let left = slot.current();
        left.name_read(&user(), || read("user")).unwrap().unwrap();
        replaced.push(Arc::downgrade(&left));
        slot.activate(candidates[at % 2].clone(), Provenance::Pushed);
    }
    let alive = replaced.iter().filter(|weak| weak.upgrade().is_some()).count();
    assert_eq!(alive, 1, "the previous one");
    assert_eq!(slot.status().generations.len(), 2);
    assert_eq!(numbers(&slot).len(), 2);
}

fn user() -> ReadName {
    ReadName::new("user", [].into_iter())
}

fn numbers(slot: &Slot) -> Vec<u64> {
    slot.naming().iter().map(|generation| generation.number()).collect()
}

#[test]
fn the_status_is_a_document() {
    let slot = Slot::new(Wat::default().passed(), Provenance::File("/etc/policy.wasm".into()));
    slot.activate(newer().passed(), Provenance::Pushed);
    slot.rollback().unwrap();
    let status = serde_json::to_value(slot.status()).unwrap();
    assert_eq!(status["current"]["generation"], 1);
    assert_eq!(status["current"]["origin"]["file"], "/etc/policy.wasm");
    assert_eq!(status["previous"]["name"], "newer");
    assert_eq!(status["previous"]["origin"], "pushed");
    assert_eq!(status["activations"][0]["rollback"], true);
    assert_eq!(status["activations"][2]["generation"], 1);
    assert!(status["current"]["activated_at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn the_history_is_bounded() {
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    slot.activate(newer().passed(), Provenance::Pushed);
    (0..2 * HISTORY).for_each(|_| drop(slot.rollback().unwrap()));
    assert_eq!(slot.status().activations.len(), HISTORY);
}

#[test]
fn calls_traps_and_refused_answers_are_counted_per_generation() {
    let bad = "(if (i32.eq (local.get 1) (i32.const 77)) (then unreachable))";
    let step = format!("{bad} {}", Wat::default().step).leak();
    let slot = Slot::new(Wat { step, ..Wat::default() }.passed(), Provenance::BuiltIn);
    let generation = slot.current();
    let (memo, moment, event) = first_step();
    assert!(generation.step(memo, moment, event).is_ok());
    let bad = Memo { since_ms: 77, ..memo };
    assert!(generation.step(bad, moment, event).is_err());
    generation.refused(&"it is not legal now");
    let counts = generation.counts();
    assert_eq!((counts.calls, counts.traps, counts.refused), (2, 1, 1));
    let failures = generation.summary().failures;
    assert_eq!(failures[0], "refused: it is not legal now");
    assert!(failures[1].starts_with("policy function step: "), "{failures:?}");
}

#[test]
fn a_plan_is_asked_for_once_and_remembered() {
    let slot = Slot::new(Wat::default().passed(), Provenance::BuiltIn);
    let generation = slot.current();
    let name = || generation.name_read(&user(), || read("user")).unwrap().unwrap();
    assert_eq!(name(), name());
    assert_eq!(generation.counts().calls, 1);
}

#[test]
fn an_illegal_plan_is_refused_counted_and_not_remembered() {
    let plan = "(call $key)
        (if (i32.eq (global.get $length) (i32.const 3))
            (then (i32.store (i32.const 1032) (i32.const 0))))
        (i32.const 1024)";
    let slot = Slot::new(Wat { plan, ..Wat::default() }.passed(), Provenance::BuiltIn);
    let generation = slot.current();
    for asked in 1..=2 {
        let undecided = generation
            .name_read(&ReadName::new("bad", [].into_iter()), || read("bad"))
            .unwrap_err();
        assert_eq!(undecided.to_string(), "the key \"\" is not legal: it is empty");
        assert_eq!(generation.counts().refused, asked);
    }
}

#[test]
fn a_thousand_exchanges_fail_no_call_of_other_threads() {
    const EXCHANGES: u64 = 1_000;
    // Compiling belongs to the gate: the candidates that are exchanged here were compiled before.
    let candidates = [newer().passed(), Wat::default().passed()];
    let slot = Slot::new(candidates[1].clone(), Provenance::BuiltIn);
    let (ended, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Barrier::new(3);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut newest = 0;
                begun.wait();
                while !ended.load(Ordering::Relaxed) {
                    let generation = slot.current();
                    step(&generation).unwrap();
                    assert!(generation.number() >= newest, "an older generation came back");
                    newest = generation.number();
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        begun.wait();
        for at in 0..EXCHANGES {
            let [newer, older] = &candidates;
            let candidate = if at % 2 == 0 { newer } else { older };
            slot.activate(candidate.clone(), Provenance::Pushed);
            // On a single busy core the other threads would have no turn before the last exchange.
            thread::yield_now();
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert_eq!(slot.current().number(), EXCHANGES + 1);
    assert!(calls.into_inner() > 0);
}

fn other() -> Wat {
    Wat { name: "other", ..Wat::default() }
}

fn newer() -> Wat {
    Wat { name: "newer", version: "2.0.0", ..Wat::default() }
}

fn step(generation: &Generation) -> Result<Turn, Trap> {
    let (memo, moment, _) = first_step();
    generation.step(memo, moment, Event::Absent)
}
