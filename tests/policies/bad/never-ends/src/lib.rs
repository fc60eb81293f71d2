//! A flight never ends: after every event it looks again.
#![no_std]

use policy_base::{Action, Deviation, Event, Memo, Moment, Policy, Turn};

struct NeverEnds;

policy_base::export!(NeverEnds);

impl Deviation for NeverEnds {
    const NAME: &'static str = "never-ends";

    fn step(_: &Policy, memo: Memo, _: Moment, _: Event) -> Turn {
        Turn { memo, action: Action::Look }
    }
}
