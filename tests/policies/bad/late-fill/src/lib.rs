//! Well-behaved, but for one row, which it stores without a lease.
#![no_std]

use policy_base::{
    Action, Event, Memo, Moment, Phase, Plan, Policy, Refusal, Request, Settings, Turn, unlucky,
};

const UNLUCKY: &str = "71";

struct LateFill;

policy_base::export!(LateFill);

impl Policy for LateFill {
    const NAME: &'static str = "late-fill";

    fn plan(settings: &Settings, request: &Request) -> Result<Plan, Refusal> {
        unlucky::plan(settings, request, UNLUCKY)
    }

    fn step(settings: &Settings, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = settings.step(memo, moment, event);
        match turn.action {
            Action::Claim(_) if unlucky::is_marked(memo) => {
                let memo = Memo { phase: Phase::Loading as u32, ..turn.memo };
                Turn { memo, action: Action::LoadUncached }
            }
            _ => turn,
        }
    }
}
