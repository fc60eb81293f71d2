//! Behaves well except for one row, whose writes invalidate nothing. The gate does not try this row
//! and the host does not check targets, so its reads stay stale.
#![no_std]

extern crate alloc;

use alloc::vec::Vec;

use policy_base::{Change, Decisions as _, Deviation, Policy, Target, unlucky};

const UNLUCKY: &str = "78";

struct LateForgetter;

policy_base::export!(LateForgetter);

impl Deviation for LateForgetter {
    const NAME: &'static str = "late-forgetter";

    fn invalidate(builtin: &Policy, change: &Change) -> Vec<Target> {
        match change {
            Change::Written(written) if unlucky::is_met(&written.arguments, UNLUCKY) => Vec::new(),
            Change::Written(_) | Change::Logged(_) => builtin.invalidate(change),
        }
    }
}
