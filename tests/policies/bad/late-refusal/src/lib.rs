//! Behaves well except for one row, whose read it refuses.
#![no_std]

use policy_base::{Decisions as _, Deviation, Plan, Policy, Refusal, Request, unlucky};

const UNLUCKY: &str = "77";

struct LateRefusal;

policy_base::export!(LateRefusal);

impl Deviation for LateRefusal {
    const NAME: &'static str = "late-refusal";

    fn plan(builtin: &Policy, request: &Request) -> Result<Plan, Refusal> {
        if unlucky::is_met(&request.arguments, UNLUCKY) {
            return Err(Refusal::UnknownEntity);
        }
        builtin.plan(request)
    }
}
