//! Patience without end: it waits for the longest time that can be said.
#![no_std]

use policy_base::{Action, Event, Memo, Moment, Policy, Settings, Turn};

struct WaitsTooLong;

policy_base::export!(WaitsTooLong);

impl Policy for WaitsTooLong {
    const NAME: &'static str = "waits-too-long";

    fn step(settings: &Settings, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = settings.step(memo, moment, event);
        let Action::Wait(_) = turn.action else { return turn };
        Turn { action: Action::Wait(u32::MAX), ..turn }
    }
}
