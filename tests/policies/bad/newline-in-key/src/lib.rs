//! Every key ends with a line feed, as if it was read with the input.
#![no_std]

extern crate alloc;

use alloc::format;

use policy_base::{Decisions as _, Deviation, Key, Plan, Policy, Refusal, Request};

struct NewlineInKey;

policy_base::export!(NewlineInKey);

impl Deviation for NewlineInKey {
    const NAME: &'static str = "newline-in-key";

    fn plan(builtin: &Policy, request: &Request) -> Result<Plan, Refusal> {
        let plan = builtin.plan(request)?;
        Ok(Plan { key: Key::spelled(format!("{}\n", plan.key)), ..plan })
    }
}
