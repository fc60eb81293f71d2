//! Waits for the longest time that the contract can express.
#![no_std]

use policy_base::{Action, Decisions as _, Deviation, Event, Memo, Moment, Policy, Turn};

struct WaitsTooLong;

policy_base::export!(WaitsTooLong);

impl Deviation for WaitsTooLong {
    const NAME: &'static str = "waits-too-long";

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = builtin.step(memo, moment, event);
        let Action::Wait(_) = turn.action else { return turn };
        Turn { action: Action::Wait(u32::MAX), ..turn }
    }
}
