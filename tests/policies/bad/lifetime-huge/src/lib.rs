//! Every value lives for as long as can be said.
#![no_std]

use policy_base::{Action, Event, Lifetime, Memo, Moment, Policy, Settings, Turn};

struct LifetimeHuge;

policy_base::export!(LifetimeHuge);

impl Policy for LifetimeHuge {
    const NAME: &'static str = "lifetime-huge";

    fn step(settings: &Settings, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = settings.step(memo, moment, event);
        let Action::Fill(plain) = turn.action else { return turn };
        let (fresh_ms, refresh_ms) = (u32::MAX, u32::MAX);
        Turn { action: Action::Fill(Lifetime { fresh_ms, refresh_ms, ..plain }), ..turn }
    }
}
