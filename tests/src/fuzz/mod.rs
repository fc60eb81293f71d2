//! Inputs that nobody meant: what arrives from clients, servers, files and policies, changed at random, a
//! million times over. No input may panic, and none may take more memory than its target allows.
//!
//! An input is made from valid ones by its number alone, so that a failure is seen again with
//! `fuzz TARGET --seed SEED --input NUMBER`.

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

/// Counts what is allocated, where it is the global allocator.
pub const HEAP: PeakAlloc = PeakAlloc;

/// An input is being tried.
static ATTEMPTING: AtomicBool = AtomicBool::new(false);

/// What panicked since it was looked at last, on any thread.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// An input that broke something.
#[derive(Debug, Clone, Serialize)]
pub struct Broken {
    /// Its number.
    pub input: u64,
    /// The input itself, with everything that is no text escaped.
    pub bytes: String,
    /// What it broke.
    pub what: String,
}

/// What came of a target.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The target's name.
    pub target: &'static str,
    /// Inputs that were tried.
    pub inputs: u64,
    /// Of those, how many were understood: an input that nobody understands tries little.
    pub understood: u64,
    /// The most memory that one of them took, in bytes.
    pub most_bytes: usize,
    /// The first that broke something.
    pub broken: Option<Broken>,
}

/// Tries so many inputs of a target, beginning with the one of this number; ends with the first that breaks
/// something.
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

/// A panic of an attempt is kept with its place instead of being printed, also one of another thread.
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
