//! Every value lives a little longer than the one before, so the same step, asked twice, has two
//! answers.
#![no_std]

use core::sync::atomic::{AtomicU32, Ordering};

use policy_base::{Action, Decisions as _, Deviation, Event, Lifetime, Memo, Moment, Policy, Turn};

static FILLS: AtomicU32 = AtomicU32::new(0);

struct CountsItsLifetimes;

policy_base::export!(CountsItsLifetimes);

impl Deviation for CountsItsLifetimes {
    const NAME: &'static str = "counts-its-lifetimes";

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = builtin.step(memo, moment, event);
        let Action::Fill(plain) = turn.action else { return turn };
        let fresh_ms = plain.fresh_ms + FILLS.fetch_add(1, Ordering::Relaxed);
        let action = Action::Fill(Lifetime { fresh_ms, refresh_ms: fresh_ms, ..plain });
        Turn { action, ..turn }
    }
}
