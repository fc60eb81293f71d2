//! Behaves well except for one row, whose key ends with a line feed.
#![no_std]

extern crate alloc;

use alloc::format;

use policy_base::{Decisions as _, Deviation, Key, Plan, Policy, Refusal, Request, unlucky};

const UNLUCKY: &str = "76";

struct LateKey;

policy_base::export!(LateKey);

impl Deviation for LateKey {
    const NAME: &'static str = "late-key";

    fn plan(builtin: &Policy, request: &Request) -> Result<Plan, Refusal> {
        let plan = builtin.plan(request)?;
        if unlucky::is_met(&request.arguments, UNLUCKY) {
            return Ok(Plan { key: Key::spelled(format!("{}\n", plan.key)), ..plan });
        }
        Ok(plan)
    }
}
