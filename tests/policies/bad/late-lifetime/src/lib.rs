//! Behaves well except for one row, which it wants to keep for ever.
#![no_std]

use policy_base::{
    Action, Decisions as _, Deviation, Event, Lifetime, Memo, Moment, Plan, Policy, Refusal,
    Request, Turn, unlucky,
};

const UNLUCKY: &str = "75";

struct LateLifetime;

policy_base::export!(LateLifetime);

impl Deviation for LateLifetime {
    const NAME: &'static str = "late-lifetime";

    fn plan(builtin: &Policy, request: &Request) -> Result<Plan, Refusal> {
        unlucky::plan(builtin, request, UNLUCKY)
    }

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = builtin.step(memo, moment, event);
        match turn.action {
            Action::Fill(plain) if unlucky::is_marked(memo) => {
                let (fresh_ms, refresh_ms) = (u32::MAX, u32::MAX);
                Turn { action: Action::Fill(Lifetime { fresh_ms, refresh_ms, ..plain }), ..turn }
            }
            _ => turn,
        }
    }
}
