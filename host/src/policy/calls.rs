//! How often a host asked its policies, over all generations.

use std::sync::atomic::{AtomicU64, Ordering};

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

/// One counter for each function and result. They only grow, whatever is activated.
#[derive(Debug, Default)]
pub struct Calls([[AtomicU64; RESULTS.len()]; FUNCTIONS.len()]);

impl Calls {
    pub(super) fn count(&self, function: Function, trapped: bool) {
        self.0[function as usize][usize::from(trapped)].fetch_add(1, Ordering::Relaxed);
    }

    /// Each function, result and count.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        FUNCTIONS.iter().zip(&self.0).flat_map(|(function, results)| {
            let results = RESULTS.iter().zip(results);
            results.map(|(result, count)| (*function, *result, count.load(Ordering::Relaxed)))
        })
    }
}
