//! Well-behaved, but for one row, whose writes it forgets: what the gate does not try and the host
//! does not check makes reads stale.
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
