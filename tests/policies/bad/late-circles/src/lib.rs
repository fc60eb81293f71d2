//! Behaves well except for one row, whose flights turn in circles: with the memo of the turn
//! before, a flight gets nowhere.
#![no_std]

use policy_base::{
    Action, Decisions as _, Deviation, Event, Memo, Moment, Plan, Policy, Refusal, Request, Turn,
    unlucky,
};

const UNLUCKY: &str = "74";

struct LateCircles;

policy_base::export!(LateCircles);

impl Deviation for LateCircles {
    const NAME: &'static str = "late-circles";

    fn plan(builtin: &Policy, request: &Request) -> Result<Plan, Refusal> {
        unlucky::plan(builtin, request, UNLUCKY)
    }

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = builtin.step(memo, moment, event);
        match turn.action {
            Action::Claim(_) if unlucky::is_marked(memo) => Turn { memo, action: Action::Look },
            _ => turn,
        }
    }
}
