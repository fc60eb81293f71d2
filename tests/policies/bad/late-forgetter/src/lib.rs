//! Well-behaved, but for one row, whose writes it forgets: what the gate does not try and the host
//! does not check makes reads stale.
#![no_std]

extern crate alloc;

use alloc::vec::Vec;

use policy_base::{Change, Policy, Settings, Target, unlucky};

const UNLUCKY: &str = "78";

struct LateForgetter;

policy_base::export!(LateForgetter);

impl Policy for LateForgetter {
    const NAME: &'static str = "late-forgetter";

    fn invalidate(settings: &Settings, change: &Change) -> Vec<Target> {
        if unlucky::is_met(&change.arguments, UNLUCKY) {
            return Vec::new();
        }
        settings.invalidate(change)
    }
}
