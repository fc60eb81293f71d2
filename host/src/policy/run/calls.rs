//! How often a host asked its policies, over all generations, and how long they took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::observe::Histogram;

/// A function of the contract that decides something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Function {
    Plan,
    RowTags,
    Step,
    Invalidate,
}

/// The values of the labels `function` and `result`, in the order of the counters.
const FUNCTIONS: [&str; 4] = ["plan", "row-tags", "step", "invalidate"];
const RESULTS: [&str; 2] = ["ok", "trap"];

/// One call in so many is timed: reading the clock twice takes a good part of what a call does.
const TIMED: u64 = 64;

/// Bounds in ns, from a step of a compiled policy to the deadline of an interpreted one.
const TIMES: [u64; 12] = [
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
];

/// Counters for each function and result. They are never reset, whichever generation comes into
/// force.
#[derive(Debug)]
pub struct Calls {
    counts: [[AtomicU64; RESULTS.len()]; FUNCTIONS.len()],
    refused: AtomicU64,
    turn: AtomicU64,
    times: Histogram,
}

impl Default for Calls {
    fn default() -> Self {
        let (counts, times) = (Default::default(), Histogram::new(&TIMES));
        Self { counts, refused: AtomicU64::new(0), turn: AtomicU64::new(0), times }
    }
}

impl Calls {
    /// Runs a call and counts it.
    pub(in crate::policy) fn count<R, E>(
        &self,
        function: Function,
        call: impl FnOnce() -> Result<R, E>,
    ) -> Result<R, E> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let began = turn.is_multiple_of(TIMED).then(Instant::now);
        let answer = call();
        if let Some(began) = began {
            self.times.record(began.elapsed());
        }
        let trapped = usize::from(answer.is_err());
        self.counts[function as usize][trapped].fetch_add(1, Ordering::Relaxed);
        answer
    }

    /// Counts an answer that the host did not act upon.
    pub(in crate::policy) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers that the host did not act upon.
    #[must_use]
    pub fn all_refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The times of one call in `TIMED`.
    #[must_use]
    pub fn times(&self) -> &Histogram {
        &self.times
    }

    /// Each function, result and count.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        FUNCTIONS.iter().zip(&self.counts).flat_map(|(function, results)| {
            let results = RESULTS.iter().zip(results);
            results.map(|(result, count)| (*function, *result, count.load(Ordering::Relaxed)))
        })
    }
}
