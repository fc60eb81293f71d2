//! Work that no request waits for, on threads behind the ones that serve: threads of lower priority.
//!
//! Compiling a component and exploring its behaviour keep every processor busy for tens of milliseconds, and
//! for seconds in the case of an interpreter. At the priority of requests, requests would be slower for that
//! time. The threads here take the processor time that requests leave, and a small share of what requests
//! could use. A candidate that was seen before needs a few milliseconds, for which an operator waits; that
//! work does not belong here.

use std::cell::Cell;
use std::sync::LazyLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// How much nicer these threads are than the process. Of a processor that both kinds want, such a thread gets
/// a third of what a thread that serves gets. With 10 it would get a tenth, and a candidate would wait twice
/// as long under full load.
#[cfg(target_os = "linux")]
const NICER: i32 = 5;

/// How many times longer a thread behind may be kept from running than a thread that serves, since it gets a
/// third of the processor.
const LONGER: u32 = 3;

thread_local! {
    static BEHIND: Cell<bool> = const { Cell::new(false) };
}

/// The compiler runs within the pool and finds the pool by that, so its parallel work stays there.
static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let builder = ThreadPoolBuilder::new()
        .thread_name(|index| format!("corral-gate-{index}"))
        .start_handler(|_| go_behind());
    builder
        .build()
        .inspect_err(|error| {
            tracing::warn!(%error, "policies are compiled and examined at the priority of requests");
        })
        .ok()
});

/// Runs `work` on threads of low priority and waits for it, so never call it on a thread that serves. A panic
/// goes to the caller.
pub(crate) fn behind<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    match &*POOL {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// How often an event that shows that this thread is kept from running may happen to it, if it may happen
/// `serving` times to a thread that serves.
pub(in crate::policy) fn patience(serving: u32) -> u32 {
    if BEHIND.get() { serving * LONGER } else { serving }
}

fn go_behind() {
    BEHIND.set(true);
    #[cfg(target_os = "linux")]
    if let Err(error) = lower() {
        tracing::warn!(%error, "a thread of the gate runs at the priority of requests");
    }
}

/// Linux has a priority for every thread; elsewhere the priority is the whole process's.
#[cfg(target_os = "linux")]
fn lower() -> rustix::io::Result<()> {
    use rustix::process::{getpriority_process, setpriority_process};
    const NICEST: i32 = 19;
    setpriority_process(None, (getpriority_process(None)? + NICER).min(NICEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_done_behind_is_of_low_priority_and_what_it_does_in_parallel_too() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let all = behind(|| rayon::broadcast(|_| nice()));
        assert!(all.iter().all(|&behind| behind == (before + NICER).min(19)), "{all:?}");
        assert_eq!(nice(), before, "the caller keeps its own");
    }

    #[test]
    fn who_is_behind_may_be_kept_waiting_for_longer() {
        assert_eq!((patience(5), behind(|| patience(5))), (5, 5 * LONGER));
    }

    #[test]
    fn a_panic_is_the_callers_and_the_threads_go_on() {
        let caught = std::panic::catch_unwind(|| behind(|| panic!("a defect")));
        assert!(caught.is_err());
        assert_eq!(behind(|| 7), 7);
    }
}
