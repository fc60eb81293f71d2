//! Loads every second value that the store has: it breaks no rule, and costs the origin half of all reads.
#![no_std]

use policy_base::{Action, Decisions as _, Deviation, Event, Memo, Moment, Policy, Turn};

struct Bypasses;

policy_base::export!(Bypasses);

impl Deviation for Bypasses {
    const NAME: &'static str = "bypasses";

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        match event {
            Event::Found(_) if moment.entropy.is_multiple_of(2) => {
                Turn { memo, action: Action::LoadUncached }
            }
            event => builtin.step(memo, moment, event),
        }
    }
}
