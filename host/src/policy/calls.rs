//! How often a host asked its policies, over all generations, and how long they took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;

/// A function of the contract that decides something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Plan,
    RowTags,
    Step,
    Invalidate,
}

/// As the labels `function` and `result` name them, in the order of the counters.
const FUNCTIONS: [&str; 4] = ["plan", "row-tags", "step", "invalidate"];
const RESULTS: [&str; 2] = ["ok", "trap"];

/// One call in so many is timed: reading the clock twice takes a good part of what a call does.
const TIMED: u64 = 64;

/// Times kept until somebody takes them; a host that is asked for its metrics every few seconds
/// loses some under full load, which changes no quantile.
const TIMES_KEPT: usize = 4096;

/// One counter for each function and result. They only grow, whatever is activated.
#[derive(Debug)]
pub struct Calls {
    counts: [[AtomicU64; RESULTS.len()]; FUNCTIONS.len()],
    refused: AtomicU64,
    turn: AtomicU64,
    times: ArrayQueue<Duration>,
}

impl Default for Calls {
    fn default() -> Self {
        let (counts, times) = (Default::default(), ArrayQueue::new(TIMES_KEPT));
        Self { counts, refused: AtomicU64::new(0), turn: AtomicU64::new(0), times }
    }
}

impl Calls {
    /// Runs a call and counts it.
    pub(super) fn count<R, E>(
        &self,
        function: Function,
        call: impl FnOnce() -> Result<R, E>,
    ) -> Result<R, E> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let began = turn.is_multiple_of(TIMED).then(Instant::now);
        let answer = call();
        if let Some(began) = began {
            // Full: then there are enough of them.
            let _full = self.times.push(began.elapsed());
        }
        let trapped = usize::from(answer.is_err());
        self.counts[function as usize][trapped].fetch_add(1, Ordering::Relaxed);
        answer
    }

    /// The host did not act upon an answer.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers that the host did not act upon.
    #[must_use]
    pub fn all_refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The times of some calls, each of them once.
    pub fn take_times(&self) -> impl Iterator<Item = Duration> {
        std::iter::from_fn(|| self.times.pop()).take(TIMES_KEPT)
    }

    /// Each function, result and count.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        FUNCTIONS.iter().zip(&self.counts).flat_map(|(function, results)| {
            let results = RESULTS.iter().zip(results);
            results.map(|(result, count)| (*function, *result, count.load(Ordering::Relaxed)))
        })
    }
}
