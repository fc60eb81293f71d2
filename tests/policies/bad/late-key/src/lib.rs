//! Well-behaved, but for one row, whose key ends with a line feed.
#![no_std]

extern crate alloc;

use alloc::format;

use policy_base::{Plan, Policy, Refusal, Request, Settings, unlucky};

const UNLUCKY: &str = "76";

struct LateKey;

policy_base::export!(LateKey);

impl Policy for LateKey {
    const NAME: &'static str = "late-key";

    fn plan(settings: &Settings, request: &Request) -> Result<Plan, Refusal> {
        let plan = settings.plan(request)?;
        if unlucky::is_met(&request.arguments, UNLUCKY) {
            return Ok(Plan { key: format!("{}\n", plan.key), ..plan });
        }
        Ok(plan)
    }
}
