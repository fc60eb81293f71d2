//! A write makes tags untrue, and reads never: their keys live on.
#![no_std]

extern crate alloc;

use alloc::vec::Vec;

use policy_base::{Change, Policy, Scope, Settings, Target};

struct ForgetsAKey;

policy_base::export!(ForgetsAKey);

impl Policy for ForgetsAKey {
    const NAME: &'static str = "forgets-a-key";

    fn invalidate(settings: &Settings, change: &Change) -> Vec<Target> {
        let mut targets = settings.invalidate(change);
        targets.retain(|target| !matches!(target.scope, Scope::Read(_)));
        targets
    }
}
