use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use super::*;
use crate::policy::Limits;
use crate::policy::prove::gate::{Conditions, examine};
use crate::policy::testing::{Wat, engine, entities, first_step, read};

/// Traps if `since_ms` is 77, which the gate never passes.
const TRAPS_AT_77: &str = "(if (i32.eq (local.get 1) (i32.const 77)) (then unreachable))
    (i32.store8 (i32.const 1168) (i32.const 6)) (i32.const 1152)";
const LOOPS_AT_77: &str =
    "(if (i32.eq (local.get 1) (i32.const 77)) (then (loop $ever (br $ever))))
    (i32.store8 (i32.const 1168) (i32.const 6)) (i32.const 1152)";
const GROWS_AT_77: &str = "(if (i32.eq (local.get 1) (i32.const 77))
        (then (loop $ever (drop (memory.grow (i32.const 16))) (br $ever))))
    (i32.store8 (i32.const 1168) (i32.const 6)) (i32.const 1152)";

#[test]
fn a_trap_costs_one_instance_and_later_calls_succeed() {
    let pool = pool(TRAPS_AT_77, Limits { warm_instances: 1, ..Limits::default() });
    let created = pool.created();
    let trap = bad_step(&pool).unwrap_err();
    assert_eq!(trap.function, "step");
    assert!(trap.reason.contains("unreachable"), "{trap}");
    assert!(good_step(&pool).is_ok());
    assert_eq!(pool.created(), created + 1, "the poisoned instance was used again");
    assert!(good_step(&pool).is_ok());
    assert_eq!(pool.created(), created + 1, "a healthy instance was not used again");
}

#[test]
fn an_endless_loop_ends_in_its_time() {
    // Without a ticking epoch the loop would never end, so another thread has to run it.
    const LONG: Duration = Duration::from_secs(20);
    let pool = pool(LOOPS_AT_77, Limits::default());
    let (ended, end) = mpsc::channel();
    let began = Instant::now();
    thread::spawn({
        let pool = Arc::clone(&pool);
        move || ended.send(bad_step(&pool))
    });
    let trap = end.recv_timeout(LONG).expect("the loop ends").unwrap_err();
    assert_eq!(trap.reason, "it did not end within its time (10ms, policy.limits.call)");
    assert!(began.elapsed() >= Limits::CALL);
    assert!(good_step(&pool).is_ok());
}

#[test]
fn a_memory_hog_is_stopped_at_the_limit() {
    let pool = pool(GROWS_AT_77, Limits::default());
    let trap = bad_step(&pool).unwrap_err();
    assert!(trap.reason.contains("memory"), "{trap}");
    assert!(good_step(&pool).is_ok());
}

#[test]
fn an_answer_larger_than_allowed_is_a_trap() {
    // Entities whose names have 5 bytes get a key that is the whole memory.
    let plan = "(call $key)
        (if (i32.eq (global.get $length) (i32.const 5)) (then
            (i32.store (i32.const 1028) (i32.const 0))
            (i32.store (i32.const 1032) (i32.const 200000))))
        (i32.const 1024)";
    let limits = Limits { answer_bytes: 100_000, ..Limits::default() };
    let pool = pool_of(&Wat { plan, ..Wat::default() }, limits);
    assert!(pool.plan(&read("short and good")).is_ok());
    let trap = pool.plan(&read("large")).unwrap_err();
    assert!(trap.reason.contains("too much data"), "{trap}");
}

#[test]
fn a_worn_out_instance_is_replaced() {
    let pool = pool(TRAPS_AT_77, Limits { calls_per_instance: 10, ..Limits::default() });
    let created = pool.created();
    for _ in 0..100 {
        good_step(&pool).unwrap();
    }
    assert!((created + 9..=created + 12).contains(&pool.created()), "{}", pool.created());
}

#[test]
fn a_new_instance_is_configured_before_it_decides() {
    // A policy that decides only after a call of `configure`.
    let wat = Wat {
        configure: "(i32.store8 (i32.const 300) (i32.const 1)) (i32.const 1024)",
        step: "(if (i32.eqz (i32.load8_u (i32.const 300))) (then unreachable))
            (i32.store8 (i32.const 1168) (i32.const 6)) (i32.const 1152)",
        ..Wat::default()
    };
    let pool = pool_of(&wat, Limits { calls_per_instance: 1, ..Limits::default() });
    for _ in 0..4 {
        good_step(&pool).unwrap();
    }
}

#[test]
fn a_pinned_instance_that_failed_is_not_entered_again_though_no_other_can_be_made() {
    let configure = "(if (local.get 1) (then unreachable)) (i32.const 1024)";
    let wat = Wat { configure, step: TRAPS_AT_77, ..Wat::default() };
    let pool = pool_of(&wat, Limits::default());
    // With entities, this policy can't be configured.
    let configuration = Configuration { entities: entities(), ..Configuration::default() };
    let barren = InstancePool::new(&pool.engine, pool.pre.clone(), Arc::new(configuration));
    let pinned = Pinned::new(&barren, pool.take().unwrap());
    let (memo, moment, event) = first_step();
    let step = |since_ms| pinned.step(Memo { since_ms, ..memo }, moment, event);
    assert!(step(0).is_ok());
    assert_eq!(step(77).unwrap_err().function, "step", "the failure itself is told");
    assert_eq!(step(0).unwrap_err().function, "configure");
    assert_eq!(step(0).unwrap_err().function, "configure");
}

#[test]
fn threads_share_the_pool_without_making_instances_beyond_their_number() {
    const THREADS: u64 = 4;
    let limits = Limits { warm_instances: 8, ..Limits::default() };
    let pool = pool(TRAPS_AT_77, limits);
    let before = pool.created();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..2_000).for_each(|_| _ = good_step(&pool).unwrap()));
        }
    });
    assert!(pool.created() <= before + THREADS, "{}", pool.created());
}

fn pool(step: &'static str, limits: Limits) -> Arc<InstancePool> {
    pool_of(&Wat { step, ..Wat::default() }, limits)
}

fn pool_of(wat: &Wat, limits: Limits) -> Arc<InstancePool> {
    let engine = if limits == Limits::default() { engine() } else { Engine::new(limits).unwrap() };
    Arc::clone(examine(&engine, &wat.component(), &Conditions::default()).unwrap().pool())
}

fn good_step(pool: &InstancePool) -> Result<Turn, Trap> {
    let (memo, moment, event) = first_step();
    pool.step(memo, moment, event)
}

fn bad_step(pool: &InstancePool) -> Result<Turn, Trap> {
    let (memo, moment, event) = first_step();
    pool.step(Memo { since_ms: 77, ..memo }, moment, event)
}
