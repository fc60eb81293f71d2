//! Well-behaved, but for one row, over which it thinks for ever.
#![no_std]

use policy_base::{Event, Memo, Moment, Plan, Policy, Refusal, Request, Settings, Turn, unlucky};

const UNLUCKY: &str = "73";

struct LateLoop;

policy_base::export!(LateLoop);

impl Policy for LateLoop {
    const NAME: &'static str = "late-loop";

    fn plan(settings: &Settings, request: &Request) -> Result<Plan, Refusal> {
        unlucky::plan(settings, request, UNLUCKY)
    }

    fn step(settings: &Settings, memo: Memo, moment: Moment, event: Event) -> Turn {
        if unlucky::is_marked(memo) && matches!(event, Event::Loaded(_)) {
            loop {
                core::hint::spin_loop();
            }
        }
        settings.step(memo, moment, event)
    }
}
