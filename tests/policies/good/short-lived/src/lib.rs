//! A quarter of the lifetime: otherwise the plain policy.
#![no_std]

use policy_base::{Action, Event, Lifetime, Memo, Moment, Policy, Settings, Turn};

struct ShortLived;

policy_base::export!(ShortLived);

impl Policy for ShortLived {
    const NAME: &'static str = "short-lived";

    fn step(settings: &Settings, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = settings.step(memo, moment, event);
        let Action::Fill(whole) = turn.action else { return turn };
        let fresh_ms = whole.fresh_ms.div_ceil(4);
        let action = Action::Fill(Lifetime { fresh_ms, refresh_ms: fresh_ms, ..whole });
        Turn { action, ..turn }
    }
}
