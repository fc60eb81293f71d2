//! A counter in the instance is part of every key, so no stored value is found again.
#![no_std]

extern crate alloc;

use alloc::format;
use core::sync::atomic::{AtomicU32, Ordering};

use policy_base::{Decisions as _, Deviation, Key, Plan, Policy, Refusal, Request};

static CALLS: AtomicU32 = AtomicU32::new(0);

struct CountsItsKeys;

policy_base::export!(CountsItsKeys);

impl Deviation for CountsItsKeys {
    const NAME: &'static str = "counts-its-keys";

    fn plan(builtin: &Policy, request: &Request) -> Result<Plan, Refusal> {
        let plan = builtin.plan(request)?;
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        Ok(Plan { key: Key::spelled(format!("{}:{call}", plan.key)), ..plan })
    }
}
