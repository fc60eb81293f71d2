//! A line feed that was read with the input, at the end of every key.
#![no_std]

extern crate alloc;

use alloc::format;

use policy_base::{Plan, Policy, Refusal, Request, Settings};

struct NewlineInKey;

policy_base::export!(NewlineInKey);

impl Policy for NewlineInKey {
    const NAME: &'static str = "newline-in-key";

    fn plan(settings: &Settings, request: &Request) -> Result<Plan, Refusal> {
        let plan = settings.plan(request)?;
        Ok(Plan { key: format!("{}\n", plan.key), ..plan })
    }
}
