//! Lifetimes depend on the time of day, which the policy asks WASI for.
#![no_std]

use policy_base::{Action, Decisions as _, Deviation, Event, Lifetime, Memo, Moment, Policy, Turn};

mod clock {
    wit_bindgen::generate!({
        inline: "
            package bad:clock;
            world clock { import wasi:clocks/monotonic-clock@0.2.6; }
            package wasi:clocks@0.2.6 { interface monotonic-clock { now: func() -> u64; } }
        ",
        generate_all,
    });
}

struct ReadsTheClock;

policy_base::export!(ReadsTheClock);

impl Deviation for ReadsTheClock {
    const NAME: &'static str = "reads-the-clock";

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = builtin.step(memo, moment, event);
        let Action::Fill(plain) = turn.action else { return turn };
        let odd = clock::wasi::clocks::monotonic_clock::now() % 2 == 1;
        let fresh_ms = if odd { plain.fresh_ms } else { plain.fresh_ms.div_ceil(2) };
        let action = Action::Fill(Lifetime { fresh_ms, refresh_ms: fresh_ms, ..plain });
        Turn { action, ..turn }
    }
}
