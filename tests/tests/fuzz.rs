//! Random inputs, in a short run. The command `fuzz` tries ten million.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::panic)]

use corral_tests::fuzz::{HEAP, Report, Target, run, targets};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = HEAP;

/// Inputs of all targets together.
const INPUTS: u64 = 100_000;

/// Memory and panics are counted for the whole process, so the targets take turns in one test.
#[test]
fn no_input_panics_or_takes_more_memory_than_its_target_allows() {
    for target in &mut targets() {
        let inputs = INPUTS * target.share() / 100;
        let Report { target, understood, broken, .. } =
            run(target.as_mut(), rand::random(), 0, inputs);
        assert!(broken.is_none(), "{target}: {broken:#?}");
        assert!(understood > 0, "{target}: no input was ever understood");
    }
    for (target, what) in [("panics", "on purpose"), ("takes", "bytes were allocated")] {
        let report = run(&mut Control(target), 1, 0, 10_000);
        let broken = report.broken.unwrap_or_else(|| panic!("{target} stays hidden"));
        assert!(broken.what.contains(what), "{broken:?}");
        let again = run(&mut Control(target), 1, broken.input, 1);
        assert_eq!(again.broken.unwrap().bytes, broken.bytes, "its number is the input");
    }
}

/// A target that some inputs break.
struct Control(&'static str);

impl Target for Control {
    fn name(&self) -> &'static str {
        self.0
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        vec![b"length 10".to_vec()]
    }

    fn words(&self) -> &'static [&'static str] {
        &["x"]
    }

    fn share(&self) -> u64 {
        1
    }

    fn attempt(&mut self, bytes: &[u8]) -> bool {
        if bytes.contains(&b'x') && bytes.contains(&b'4') {
            match self.0 {
                "panics" => panic!("on purpose"),
                _ => drop(Vec::<u8>::with_capacity(8 << 20)),
            }
        }
        true
    }
}
