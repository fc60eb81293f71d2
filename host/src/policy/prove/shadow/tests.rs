use std::time::Duration;

use serde_json::json;

use super::queue::QUEUE;
use super::*;
use crate::policy::prove::compare::{Aspect, Example};
use crate::policy::testing::{Altered, builtin_over, builtin_with, read_of};
use crate::policy::{
    Action, Argument, Column, ColumnValue, Event, LoadReport, Manifest, Memo, Moment, NativePolicy,
    Plan, Refusal, Row, RowChange, Slot, Target, Trap, Turn, Written,
};

const LEFT_MS: u32 = 2_000;

#[test]
fn a_shadow_of_the_same_policy_finds_no_difference() {
    let (slot, policy) = slot();
    let report = shadowed(&slot, &policy, Arc::clone(&policy), 3);
    assert_eq!((report.flights, report.traps, report.dropped), (3, 0, 0));
    assert!(report.calls >= 3 * 5 && report.mean_call_us > 0.0, "{report:?}");
    assert!(report.findings.iter().all(|finding| finding.differing == 0), "{report:#?}");
    let aspects: Vec<Aspect> = report.findings.iter().map(|finding| finding.aspect).collect();
    let all = [Aspect::Answer, Aspect::Key, Aspect::Tags, Aspect::Action, Aspect::Lifetime];
    assert_eq!(aspects, all);
}

#[test]
fn another_namespace_is_reported_as_keys_and_nothing_else() {
    let (slot, policy) = slot();
    let report = shadowed(&slot, &policy, builtin_with(json!({"namespace": "v2"})), 3);
    assert_eq!(differing(&report), [(Aspect::Key, 3)]);
    let example = Example::new(r#"item(id="1")"#.to_owned(), r#""v1:item:1""#, r#""v2:item:1""#);
    assert!(report.findings.iter().any(|finding| finding.examples.contains(&example)));
}

#[test]
fn another_lifetime_is_reported_as_lifetimes_and_nothing_else() {
    let (slot, policy) = slot();
    let longer = builtin_over(json!({}), |item| item.terms.ttl_ms = 90_000);
    let report = shadowed(&slot, &policy, longer, 3);
    assert_eq!(differing(&report), [(Aspect::Lifetime, 3)]);
}

#[test]
fn where_a_flight_parts_it_is_not_followed_further() {
    let (slot, policy) = slot();
    let direct = Altered(builtin_with(json!({})), |event, turn| {
        if event == Event::LeaseGranted { Action::LoadUncached } else { turn.action }
    });
    let report = shadowed(&slot, &policy, Arc::new(direct), 2);
    assert_eq!(differing(&report), [(Aspect::Action, 2)]);
    let action = report.findings.iter().find(|finding| finding.aspect == Aspect::Action).unwrap();
    assert_eq!(action.compared, 4, "the first turn of each and the second");
    let example = &action.examples[0];
    assert_eq!(example.at, "absent → lease-granted");
    assert_eq!((example.old.as_str(), example.new.as_str()), ("load", "load-uncached"));
}

#[test]
fn a_refresh_is_followed_from_the_turn_that_began_it() {
    let (slot, policy) = slot();
    slot.shadows().run(judge(&policy), 1.0, who()).unwrap();
    let plan = named(&policy);
    let mut answered = slot.shadows().follow(|| (read_of("item", Some("1")), plan)).unwrap();
    let due = crate::policy::Sighting {
        age_ms: 59_000,
        refresh_ms: 0,
        fresh_ms: 1_000,
        past_ms: 0,
        cost_ms: 20,
        negative: false,
    };
    let memo = turn(&mut answered, &policy, named(&policy).memo, Event::Found(due));
    let mut refresh = answered.refresh().unwrap();
    let memo = turn(&mut refresh, &policy, memo, Event::Found(due));
    turn(&mut refresh, &policy, memo, Event::LeaseGranted);
    drop((answered, refresh));
    let action = |report: &ShadowReport| {
        let of_action = report.findings.iter().find(|finding| finding.aspect == Aspect::Action);
        of_action.map(|finding| (finding.compared, finding.differing))
    };
    let report = until(&slot, |report| action(report).is_some_and(|(compared, _)| compared >= 3));
    assert_eq!((report.flights, action(&report)), (1, Some((3, 0))), "{report:#?}");
}

#[test]
fn a_shadow_that_traps_ends_itself_and_says_why() {
    let (slot, policy) = slot();
    slot.shadows().run(judge(&(Arc::new(Trapping) as Arc<dyn Decider>)), 1.0, who()).unwrap();
    for id in 0.. {
        fly(&slot, &policy, id);
        if slot.shadows().report().is_some_and(|report| !report.running) {
            break;
        }
    }
    let report = slot.shadows().report().unwrap();
    assert_eq!(report.traps, TRAPS_LIMIT);
    assert!(report.ended.unwrap().starts_with("it trapped 16 times"));
    let trail = slot.shadows().follow(|| (read_of("item", Some("1")), named(&policy)));
    assert!(trail.is_none(), "it is asked no more");
    assert!(slot.shadows().end().is_some());
    assert_eq!(slot.shadows().report(), None);
}

#[test]
fn a_shadow_that_is_slow_loses_comparisons_and_keeps_nobody_waiting() {
    let (slot, policy) = slot();
    let held = Arc::new(std::sync::Mutex::new(()));
    let slow: Arc<dyn Decider> = Arc::new(Held(Arc::clone(&policy), Arc::clone(&held)));
    let hold = held.lock().unwrap();
    slot.shadows().run(judge(&slow), 1.0, who()).unwrap();
    // One flight is being compared, the queue is full, and the rest are lost.
    let more = 50;
    for id in 0..QUEUE + 1 + more {
        fly(&slot, &policy, id);
    }
    let dropped = slot.shadows().report().unwrap().dropped;
    assert!((more as u64..=more as u64 + 1).contains(&dropped), "{dropped}");
    drop(hold);
    let report =
        until(&slot, |report| report.flights + report.dropped == (QUEUE + 1 + more) as u64);
    assert_eq!(report.dropped, dropped);
}

#[test]
fn what_waits_for_a_slow_shadow_is_bounded_in_bytes_as_well() {
    let (slot, policy) = slot();
    let held = Arc::new(std::sync::Mutex::new(()));
    let slow: Arc<dyn Decider> = Arc::new(Held(Arc::clone(&policy), Arc::clone(&held)));
    let hold = held.lock().unwrap();
    slot.shadows().run(judge(&slow), 1.0, who()).unwrap();
    fly(&slot, &policy, 0);
    // Together with the flight, sixteen changes of a megabyte have more than sixteen megabytes.
    let note = Column { name: "note".to_owned(), value: ColumnValue::Text("x".repeat(1 << 20)) };
    let change = renamed(vec![RowChange { before: Vec::new(), after: vec![note] }]);
    for _ in 0..20 {
        slot.shadows().changed(|| change.clone(), &slot.current());
    }
    assert_eq!(slot.shadows().report().unwrap().dropped, 5);
    drop(hold);
    until(&slot, |report| report.changes == 15);
    slot.shadows().changed(|| change.clone(), &slot.current());
    let report = until(&slot, |report| report.changes == 16);
    assert_eq!(report.dropped, 5, "what was compared makes room");
}

#[test]
fn a_sample_takes_about_its_share() {
    let (slot, policy) = slot();
    slot.shadows().run(judge(&policy), 0.25, who()).unwrap();
    let plan = named(&policy);
    let follow = |_: &usize| {
        let flight = || (read_of("item", Some("1")), Arc::clone(&plan));
        slot.shadows().follow(flight).is_some()
    };
    let taken = (0..10_000).filter(follow).count();
    // A quarter, with six standard deviations on each side.
    assert!((2_240..2_760).contains(&taken), "{taken}");
}

#[test]
fn changes_are_compared_under_the_generation_of_their_time() {
    let (slot, policy) = slot();
    let fewer = builtin_over(json!({}), |item| item.writes[0].touches.truncate(1));
    slot.shadows().run(judge(&fewer), 1.0, who()).unwrap();
    slot.shadows().changed(|| renamed(Vec::new()), &slot.current());
    let report = until(&slot, |report| report.changes == 1 && !report.findings.is_empty());
    assert_eq!(differing(&report), [(Aspect::Targets, 1)]);
    drop(policy);
}

/// A policy that traps at every call.
struct Trapping;

impl Decider for Trapping {
    fn plan(&self, _: &Request) -> Result<Result<Plan, Refusal>, Trap> {
        Err(Trap { function: "plan", reason: "unreachable".to_owned() })
    }

    fn row_tags(&self, _: &Request, _: &[Row]) -> Result<Result<Vec<String>, Refusal>, Trap> {
        Err(Trap { function: "row-tags", reason: "unreachable".to_owned() })
    }

    fn step(&self, _: Memo, _: Moment, _: Event) -> Result<Turn, Trap> {
        Err(Trap { function: "step", reason: "unreachable".to_owned() })
    }

    fn invalidate(&self, _: &Change) -> Result<Vec<Target>, Trap> {
        Err(Trap { function: "invalidate", reason: "unreachable".to_owned() })
    }
}

/// A policy whose plans wait for the lock.
struct Held(Arc<dyn Decider>, Arc<std::sync::Mutex<()>>);

impl Decider for Held {
    fn plan(&self, request: &Request) -> Result<Result<Plan, Refusal>, Trap> {
        let _held = self.1.lock().unwrap();
        self.0.plan(request)
    }

    fn row_tags(
        &self,
        request: &Request,
        rows: &[Row],
    ) -> Result<Result<Vec<String>, Refusal>, Trap> {
        self.0.row_tags(request, rows)
    }

    fn step(&self, memo: Memo, moment: Moment, event: Event) -> Result<Turn, Trap> {
        self.0.step(memo, moment, event)
    }

    fn invalidate(&self, change: &Change) -> Result<Vec<Target>, Trap> {
        self.0.invalidate(change)
    }
}

fn slot() -> (Slot, Arc<dyn Decider>) {
    let policy = builtin_with(json!({}));
    let manifest = Manifest { name: "default".to_owned(), version: "0.1.0".to_owned() };
    let native =
        NativePolicy { manifest, configuration: Arc::default(), policy: Arc::clone(&policy) };
    (Slot::native(native), policy)
}

fn shadowed(
    slot: &Slot,
    active: &Arc<dyn Decider>,
    shadow: Arc<dyn Decider>,
    flights: usize,
) -> ShadowReport {
    slot.shadows().run(judge(&shadow), 1.0, who()).unwrap();
    (0..flights).for_each(|id| fly(slot, active, id));
    // The last flight has been compared once the candidate's thread has emptied the queue.
    until(slot, |report| report.flights == flights as u64);
    slot.shadows().end().unwrap()
}

/// A cold read's flight, driven as a host does it.
fn fly(slot: &Slot, active: &Arc<dyn Decider>, id: usize) {
    let request = read_of("item", Some(&(id + 1).to_string()));
    let plan = Named::try_new(active.plan(&request).unwrap().unwrap()).unwrap();
    let mut memo = plan.memo;
    let Some(mut trail) = slot.shadows().follow(|| (request, plan)) else { return };
    let loaded = Event::Loaded(LoadReport { cost_ms: 20, bytes: 100, negative: false });
    for event in [Event::Absent, Event::LeaseGranted, loaded, Event::Filled] {
        memo = turn(&mut trail, active, memo, event);
    }
}

/// A write that renames an item, with the rows that it returned.
fn renamed(rows: Vec<RowChange>) -> Change {
    let id = Argument { name: "id".to_owned(), value: Some("7".to_owned()) };
    let (entity, write) = ("item".to_owned(), "rename".to_owned());
    Change::Written(Written { entity, write, arguments: vec![id], rows })
}

fn turn(trail: &mut Trail, active: &Arc<dyn Decider>, memo: Memo, event: Event) -> Memo {
    let moment = Moment { elapsed_ms: 1, left_ms: LEFT_MS, entropy: 7 };
    let turn = active.step(memo, moment, event).unwrap();
    trail.turn(moment, event, Some(turn.action));
    turn.memo
}

fn judge(policy: &Arc<dyn Decider>) -> Arc<Judge> {
    Arc::new(Judge::new(Arc::clone(policy)))
}

fn named(policy: &Arc<dyn Decider>) -> Arc<Named> {
    let plan = policy.plan(&read_of("item", Some("1"))).unwrap().unwrap();
    Named::try_new(plan).unwrap()
}

fn who() -> [String; 3] {
    ["candidate", "1.0.0", "00"].map(str::to_owned)
}

fn until(slot: &Slot, done: impl Fn(&ShadowReport) -> bool) -> ShadowReport {
    let began = std::time::Instant::now();
    loop {
        let report = slot.shadows().report().unwrap();
        if done(&report) {
            return report;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{report:#?}");
        thread::yield_now();
    }
}

fn differing(report: &ShadowReport) -> Vec<(Aspect, u64)> {
    let differing = report.findings.iter().filter(|finding| finding.differing > 0);
    differing.map(|finding| (finding.aspect, finding.differing)).collect()
}
