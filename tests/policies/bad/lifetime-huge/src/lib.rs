//! Every value lives for the longest time that the contract can express.
#![no_std]

use policy_base::{Action, Decisions as _, Deviation, Event, Lifetime, Memo, Moment, Policy, Turn};

struct LifetimeHuge;

policy_base::export!(LifetimeHuge);

impl Deviation for LifetimeHuge {
    const NAME: &'static str = "lifetime-huge";

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = builtin.step(memo, moment, event);
        let Action::Fill(plain) = turn.action else { return turn };
        let (fresh_ms, refresh_ms) = (u32::MAX, u32::MAX);
        Turn { action: Action::Fill(Lifetime { fresh_ms, refresh_ms, ..plain }), ..turn }
    }
}
