//! Refuses every request.
#![no_std]

use policy_base::{Deviation, Plan, Policy, Refusal, Request};

struct RefusesEverything;

policy_base::export!(RefusesEverything);

impl Deviation for RefusesEverything {
    const NAME: &'static str = "refuses-everything";

    fn plan(_: &Policy, _: &Request) -> Result<Plan, Refusal> {
        Err(Refusal::UnknownEntity)
    }
}
