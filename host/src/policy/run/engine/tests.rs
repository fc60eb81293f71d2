#[cfg(target_os = "linux")]
use std::process::{Command, Output};

use super::*;
use crate::policy::behind;

const BUSY: Duration = Duration::from_millis(7);

fn budget() -> Budget {
    Budget::new(&Limits { call: Duration::from_millis(10), ..Limits::default() })
}

#[test]
fn the_ticker_ends_with_its_engine() {
    let engine = Engine::new(Limits::default()).unwrap();
    let weak = engine.inner.weak();
    drop(engine);
    // Only the ticker holds the engine now, and only for moments.
    while weak.upgrade().is_some() {
        thread::yield_now();
    }
}

#[test]
fn all_memories_of_an_instance_share_one_limit() {
    let mut budget = Budget::new(&Limits { memory_bytes: 100, ..Limits::default() });
    assert!(budget.memory_growing(0, 60, None).unwrap());
    assert!(budget.memory_growing(0, 30, None).unwrap());
    assert!(budget.memory_growing(60, 70, None).unwrap());
    assert_eq!(budget.memory_bytes(), 100);
    let refused = budget.memory_growing(30, 31, None).unwrap_err().to_string();
    assert_eq!(refused, "its memory would grow to 101 bytes, policy.limits.memory allows 100");
    assert_eq!(budget.memory_bytes(), 100);
}

#[test]
fn a_call_that_keeps_the_processor_ends_at_its_second_deadline() {
    let mut budget = budget();
    assert!(budget.may_go_on(BUSY));
    assert!(!budget.may_go_on(BUSY * 2));
}

#[test]
fn a_call_that_was_preempted_goes_on_but_not_for_ever() {
    let mut budget = budget();
    for _ in 0..PATIENCE {
        assert!(budget.may_go_on(BUSY));
    }
    assert!(!budget.may_go_on(BUSY));
}

#[test]
fn a_call_of_the_gate_may_be_preempted_for_longer_but_not_for_ever() {
    behind(|| {
        let mut budget = budget();
        for _ in 0..patience(PATIENCE) {
            assert!(budget.may_go_on(BUSY));
        }
        assert!(!budget.may_go_on(BUSY));
    });
}

#[test]
fn a_thread_that_waits_uses_no_processor_time_and_one_that_works_does() {
    let before = processor_time();
    let began = std::time::Instant::now();
    thread::sleep(BUSY);
    let waited = processor_time() - before;
    assert!(waited < began.elapsed() / 2, "{waited:?}");
    while processor_time() - before < BUSY {
        std::hint::spin_loop();
    }
}

/// Runs the test before this one again, in a process that sees as little of `/proc` as in some
/// containers.
#[cfg(target_os = "linux")]
#[test]
fn processor_time_is_measured_where_proc_is_hidden_as_well() {
    const AGAIN: &str = "a_thread_that_waits_uses_no_processor_time_and_one_that_works_does";
    // Root may hide `/proc` as it is; another user may hide it as the root of a user namespace of
    // its own.
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let works =
        |way: &&[&str]| hidden(way, Path::new("true"), &[]).is_ok_and(|o| o.status.success());
    let Some(way) = ways.into_iter().find(works) else {
        eprintln!("skipped: this machine lets no user hide /proc, not even from its own processes");
        return;
    };
    let (_crate, module) = module_path!().split_once("::").unwrap();
    let again = format!("{module}::{AGAIN}");
    let output =
        hidden(way, &std::env::current_exe().unwrap(), &["--exact", again.as_str()]).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{errors}");
}

/// Runs a program that sees nothing under `/proc`.
#[cfg(target_os = "linux")]
fn hidden(way: &[&str], program: &Path, arguments: &[&str]) -> io::Result<Output> {
    const HIDE: &str = "mount -t tmpfs none /proc && test ! -e /proc/self && exec \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    command.args(way).args(["sh", "-c", HIDE]).arg(program).args(arguments).output()
}

#[test]
fn an_overrun_is_not_held_against_the_next_call() {
    let mut budget = budget();
    assert!(budget.may_go_on(BUSY));
    budget.begin();
    assert!(budget.may_go_on(BUSY * 2));
}

#[test]
fn a_deadline_leaves_at_least_its_time() {
    assert_eq!(ticks(TICK), 2);
    assert_eq!(ticks(TICK + Duration::from_micros(1)), 3);
}
