//! Well-behaved, but for one row, for which it turns in circles.
#![no_std]

use policy_base::{
    Action, Event, Memo, Moment, Plan, Policy, Refusal, Request, Settings, Turn, unlucky,
};

const UNLUCKY: &str = "74";

struct LateCircles;

policy_base::export!(LateCircles);

impl Policy for LateCircles {
    const NAME: &'static str = "late-circles";

    fn plan(settings: &Settings, request: &Request) -> Result<Plan, Refusal> {
        unlucky::plan(settings, request, UNLUCKY)
    }

    fn step(settings: &Settings, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = settings.step(memo, moment, event);
        match turn.action {
            Action::Claim(_) if unlucky::is_marked(memo) => Turn { action: Action::Look, ..turn },
            _ => turn,
        }
    }
}
