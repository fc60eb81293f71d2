//! Behaves well except for one row, which it stores without a lease.
#![no_std]

use policy_base::{
    Action, Decisions as _, Deviation, Event, Memo, Moment, Plan, Policy, Refusal, Request, Turn,
    unlucky,
};

const UNLUCKY: &str = "71";

struct LateFill;

policy_base::export!(LateFill);

impl Deviation for LateFill {
    const NAME: &'static str = "late-fill";

    fn plan(builtin: &Policy, request: &Request) -> Result<Plan, Refusal> {
        unlucky::plan(builtin, request, UNLUCKY)
    }

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = builtin.step(memo, moment, event);
        match turn.action {
            Action::Claim(_) if unlucky::is_marked(memo) => {
                // The built-in policy fills after a load if it believes that it has a lease.
                let granted = builtin.step(turn.memo, moment, Event::LeaseGranted);
                Turn { action: Action::LoadUncached, ..granted }
            }
            _ => turn,
        }
    }
}
