//! Writes invalidate tags but no reads, whose keys live on.
#![no_std]

extern crate alloc;

use alloc::vec::Vec;

use policy_base::{Change, Decisions as _, Deviation, Policy, Scope, Target};

struct ForgetsAKey;

policy_base::export!(ForgetsAKey);

impl Deviation for ForgetsAKey {
    const NAME: &'static str = "forgets-a-key";

    fn invalidate(builtin: &Policy, change: &Change) -> Vec<Target> {
        let mut targets = builtin.invalidate(change);
        targets.retain(|target| !matches!(target.scope, Scope::Read(_)));
        targets
    }
}
