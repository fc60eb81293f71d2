//! Behaves well except for one row, for which it loops for ever.
#![no_std]

use policy_base::{
    Decisions as _, Deviation, Event, Memo, Moment, Plan, Policy, Refusal, Request, Turn, unlucky,
};

const UNLUCKY: &str = "73";

struct LateLoop;

policy_base::export!(LateLoop);

impl Deviation for LateLoop {
    const NAME: &'static str = "late-loop";

    fn plan(builtin: &Policy, request: &Request) -> Result<Plan, Refusal> {
        unlucky::plan(builtin, request, UNLUCKY)
    }

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        if unlucky::is_marked(memo) && matches!(event, Event::Loaded(_)) {
            loop {
                core::hint::spin_loop();
            }
        }
        builtin.step(memo, moment, event)
    }
}
