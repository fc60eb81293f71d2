//! Random inputs: bytes as clients, servers, files and policies could send them, changed at random,
//! millions of times. No input may cause a panic, and none may take more memory than its target
//! allows.
//!
//! An input is made from valid ones by its number alone, so that a failure is repeated by `fuzz
//! TARGET --seed SEED --input NUMBER`.

mod decisions;
mod http;
mod mutate;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use peak_alloc::PeakAlloc;
use serde::Serialize;

pub use mutate::Mutator;
pub use targets::{Target, targets};

/// Counts allocations, if it is the global allocator.
pub const HEAP: PeakAlloc = PeakAlloc;

/// Whether an input is being tried.
static ATTEMPTING: AtomicBool = AtomicBool::new(false);

/// The panics since the last look, on any thread.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// An input that broke something.
#[derive(Debug, Clone, Serialize)]
pub struct Broken {
    /// Its number.
    pub input: u64,
    /// The input itself; bytes that are not text are escaped.
    pub bytes: String,
    /// What it broke.
    pub what: String,
}

/// The result of a target.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The target's name.
    pub target: &'static str,
    /// Inputs that were tried.
    pub inputs: u64,
    /// How many of them were understood: an input that is not understood tests little.
    pub understood: u64,
    /// The most memory that one input took, in bytes.
    pub most_bytes: usize,
    /// The first input that broke something.
    pub broken: Option<Broken>,
}

/// Tries so many inputs of a target, beginning with the one of number `first`. Ends with the first
/// one that breaks something.
pub fn run(target: &mut dyn Target, seed: u64, first: u64, inputs: u64) -> Report {
    note_panics();
    let mutator = Mutator::new(target.samples(), target.words());
    let mut report =
        Report { target: target.name(), inputs: 0, understood: 0, most_bytes: 0, broken: None };
    for input in first..first + inputs {
        let bytes = mutator.input(seed, input);
        let (understood, taken, panics) = attempt(target, &bytes);
        report.inputs += 1;
        report.understood += u64::from(understood);
        report.most_bytes = report.most_bytes.max(taken);
        let what = match (panics.first(), taken > target.most_bytes()) {
            (Some(panic), _) => panic.clone(),
            (None, true) => format!("{taken} bytes were allocated for it"),
            (None, false) => continue,
        };
        report.broken = Some(Broken { input, bytes: bytes.escape_ascii().to_string(), what });
        break;
    }
    report
}

/// Whether the target understood the input, how much memory that took, and what panicked.
fn attempt(target: &mut dyn Target, bytes: &[u8]) -> (bool, usize, Vec<String>) {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    ATTEMPTING.store(true, Ordering::SeqCst);
    let understood = catch_unwind(AssertUnwindSafe(|| target.attempt(bytes))).unwrap_or(false);
    ATTEMPTING.store(false, Ordering::SeqCst);
    let taken = HEAP.peak_usage().saturating_sub(before);
    let panics = std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner));
    (understood, taken, panics)
}

/// Keeps a panic of an attempt with its place instead of printing it, on any thread.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if ATTEMPTING.load(Ordering::SeqCst) {
                PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
            } else {
                usual(panic);
            }
        }));
    });
}
