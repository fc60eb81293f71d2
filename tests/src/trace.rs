//! Recorded access streams in the form that the host reads, and where one lies.

use std::io::Write as _;
use std::path::{Path, PathBuf};

pub use corral_host::trace::{Trace, TraceError};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The recorded product pages of a shop, if they lie beside the project.
const WEB12: &str = "../shared/traces/web12.trace.xz";

/// The recorded product pages, if they lie beside this checkout.
#[must_use]
pub fn beside_the_project() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(WEB12);
    path.exists().then_some(path)
}

/// Says on stderr that the recorded product pages are absent, and what is done instead.
pub fn tell_of_absence(instead: &str) {
    // Past the capture of the test framework, which shows nothing of a test that passes.
    let _told = writeln!(std::io::stderr(), "{WEB12} is absent: {instead}");
}

/// A generated trace: things are accessed in proportion to the inverse of their rank, like web
/// traffic. The same seed gives the same trace.
#[must_use]
pub fn synthetic(accesses: usize, things: u32, seed: u64) -> Trace {
    let mut sums: Vec<f64> = Vec::new();
    for rank in 1..=things {
        sums.push(sums.last().unwrap_or(&0.0) + 1.0 / f64::from(rank));
    }
    let total = sums.last().copied().unwrap_or(0.0);
    let mut random = StdRng::seed_from_u64(seed);
    let mut draw = || {
        let at = random.random_range(0.0..total);
        // Products are numbered from 1.
        1 + sums.partition_point(|sum| *sum <= at) as u32
    };
    Trace::from((0..accesses).map(|_| draw()).collect::<Vec<u32>>())
}
