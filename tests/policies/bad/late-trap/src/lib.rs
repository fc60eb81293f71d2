//! Well-behaved, but for one row, at whose load it traps.
#![no_std]

use policy_base::{Event, Memo, Moment, Plan, Policy, Refusal, Request, Settings, Turn, unlucky};

const UNLUCKY: &str = "72";

struct LateTrap;

policy_base::export!(LateTrap);

impl Policy for LateTrap {
    const NAME: &'static str = "late-trap";

    fn plan(settings: &Settings, request: &Request) -> Result<Plan, Refusal> {
        unlucky::plan(settings, request, UNLUCKY)
    }

    fn step(settings: &Settings, memo: Memo, moment: Moment, event: Event) -> Turn {
        assert!(!(unlucky::is_marked(memo) && matches!(event, Event::Loaded(_))));
        settings.step(memo, moment, event)
    }
}
