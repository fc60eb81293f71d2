//! Well-behaved, but for one row, of which it does not want to hear.
#![no_std]

use policy_base::{Plan, Policy, Refusal, Request, Settings, unlucky};

const UNLUCKY: &str = "77";

struct LateRefusal;

policy_base::export!(LateRefusal);

impl Policy for LateRefusal {
    const NAME: &'static str = "late-refusal";

    fn plan(settings: &Settings, request: &Request) -> Result<Plan, Refusal> {
        if unlucky::is_met(&request.arguments, UNLUCKY) {
            return Err(Refusal::UnknownEntity);
        }
        settings.plan(request)
    }
}
