//! Every value is over when it is stored.
#![no_std]

use policy_base::{Action, Event, Lifetime, Memo, Moment, Policy, Settings, Turn};

struct LifetimeZero;

policy_base::export!(LifetimeZero);

impl Policy for LifetimeZero {
    const NAME: &'static str = "lifetime-zero";

    fn step(settings: &Settings, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = settings.step(memo, moment, event);
        let Action::Fill(plain) = turn.action else { return turn };
        let (fresh_ms, refresh_ms) = (0, 0);
        Turn { action: Action::Fill(Lifetime { fresh_ms, refresh_ms, ..plain }), ..turn }
    }
}
