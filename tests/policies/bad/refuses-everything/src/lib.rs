//! No request is good enough.
#![no_std]

use policy_base::{Plan, Policy, Refusal, Request, Settings};

struct RefusesEverything;

policy_base::export!(RefusesEverything);

impl Policy for RefusesEverything {
    const NAME: &'static str = "refuses-everything";

    fn plan(_: &Settings, _: &Request) -> Result<Plan, Refusal> {
        Err(Refusal::UnknownEntity)
    }
}
