//! Runs many schedules, and finds the first one that breaks a promise.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::checker::Violation;
use super::protection::Protection;
use super::schedule::Scene;

/// The schedules to run.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// The seeds; each is one schedule.
    pub seeds: Range<u64>,
    /// A protection to switch off.
    pub missing: Option<Protection>,
    /// Threads, each with schedules of its own.
    pub threads: usize,
}

/// A schedule in which a promise was broken.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its seed.
    pub seed: u64,
    /// Its place among the seeds, from 1.
    pub schedules: u64,
    /// The broken promises.
    pub violations: Vec<Violation>,
}

/// What a campaign did.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Schedules that ran, or were skipped because the missing protection makes no difference in
    /// them.
    pub schedules: u64,
    /// Requests that clients made.
    pub requests: u64,
    /// Operations that reached the store.
    pub store_operations: u64,
    /// How long it took.
    pub took: Duration,
    /// The broken promise with the lowest seed, if there is one.
    pub found: Option<Found>,
}

impl Campaign {
    /// Runs schedules until the seeds are used up, `at_most` requests were made, or a promise is
    /// broken. `progress` is called for every schedule with the number of its requests.
    ///
    /// The result is the same with any number of threads: seeds are given out in their order, and a
    /// seed that was given out is run to its end.
    #[must_use]
    pub fn run(&self, at_most: u64, progress: impl Fn(u64) + Sync) -> Tally {
        let began = Instant::now();
        let (next, stop) = (AtomicU64::new(self.seeds.start), AtomicBool::new(false));
        let (schedules, requests) = (AtomicU64::new(0), AtomicU64::new(0));
        let operations = AtomicU64::new(0);
        let work = || {
            while !stop.load(Ordering::Relaxed) && requests.load(Ordering::Relaxed) < at_most {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.seeds.end {
                    break;
                }
                let scene = Scene { seed, missing: self.missing, detailed: false };
                if !scene.is_worth_running() {
                    schedules.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let outcome = scene.run();
                let made = outcome.requests as u64;
                requests.fetch_add(made, Ordering::Relaxed);
                operations.fetch_add(outcome.store_operations, Ordering::Relaxed);
                schedules.fetch_add(1, Ordering::Relaxed);
                progress(made);
                if !outcome.violations.is_empty() {
                    stop.store(true, Ordering::Relaxed);
                    let schedules = seed - self.seeds.start + 1;
                    return Some(Found { seed, schedules, violations: outcome.violations });
                }
            }
            None
        };
        let found = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads.max(1)).map(|_| scope.spawn(work)).collect();
            let ends = workers.into_iter().map(|worker| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            ends.flatten().min_by_key(|found| found.seed)
        });
        Tally {
            schedules: schedules.into_inner(),
            requests: requests.into_inner(),
            store_operations: operations.into_inner(),
            took: began.elapsed(),
            found,
        }
    }
}

/// Looks for the first schedule of these that breaks a promise without a protection.
#[must_use]
pub fn find(missing: Protection, seeds: Range<u64>) -> Option<Found> {
    Campaign { seeds, missing: Some(missing), threads: 2 }.run(u64::MAX, |_| {}).found
}
