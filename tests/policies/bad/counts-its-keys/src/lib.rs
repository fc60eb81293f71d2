//! A counter in the instance is part of the key: no read is found again.
#![no_std]

extern crate alloc;

use alloc::format;
use core::sync::atomic::{AtomicU32, Ordering};

use policy_base::{Plan, Policy, Refusal, Request, Settings};

static CALLS: AtomicU32 = AtomicU32::new(0);

struct CountsItsKeys;

policy_base::export!(CountsItsKeys);

impl Policy for CountsItsKeys {
    const NAME: &'static str = "counts-its-keys";

    fn plan(settings: &Settings, request: &Request) -> Result<Plan, Refusal> {
        let plan = settings.plan(request)?;
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        Ok(Plan { key: format!("{}:{call}", plan.key), ..plan })
    }
}
