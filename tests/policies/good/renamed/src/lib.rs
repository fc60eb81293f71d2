//! Keys of another form: otherwise the plain policy.
#![no_std]

extern crate alloc;

use alloc::format;

use policy_base::{Plan, Policy, Refusal, Request, Settings};

struct Renamed;

policy_base::export!(Renamed);

impl Policy for Renamed {
    const NAME: &'static str = "renamed";

    fn plan(settings: &Settings, request: &Request) -> Result<Plan, Refusal> {
        let plan = settings.plan(request)?;
        Ok(Plan { key: format!("renamed:{}", plan.key), ..plan })
    }
}
