//! Every value has a lifetime of 0.
#![no_std]

use policy_base::{Action, Decisions as _, Deviation, Event, Lifetime, Memo, Moment, Policy, Turn};

struct LifetimeZero;

policy_base::export!(LifetimeZero);

impl Deviation for LifetimeZero {
    const NAME: &'static str = "lifetime-zero";

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = builtin.step(memo, moment, event);
        let Action::Fill(plain) = turn.action else { return turn };
        let (fresh_ms, refresh_ms) = (0, 0);
        Turn { action: Action::Fill(Lifetime { fresh_ms, refresh_ms, ..plain }), ..turn }
    }
}
