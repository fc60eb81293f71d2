//! A flight that never ends: whatever happened, it looks again.
#![no_std]

use policy_base::{Action, Event, Memo, Moment, Policy, Settings, Turn};

struct NeverEnds;

policy_base::export!(NeverEnds);

impl Policy for NeverEnds {
    const NAME: &'static str = "never-ends";

    fn step(_: &Settings, memo: Memo, _: Moment, _: Event) -> Turn {
        Turn { memo, action: Action::Look }
    }
}
