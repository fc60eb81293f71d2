//! Loads and stores without claiming a lease.
#![no_std]

use policy_base::{Action, Decisions as _, Deviation, Event, Memo, Moment, Policy, Turn};

struct FillsWithoutLease;

policy_base::export!(FillsWithoutLease);

impl Deviation for FillsWithoutLease {
    const NAME: &'static str = "fills-without-lease";

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = builtin.step(memo, moment, event);
        match turn.action {
            Action::Claim(_) => {
                // The built-in policy fills after a load if it believes that it has a lease.
                let granted = builtin.step(turn.memo, moment, Event::LeaseGranted);
                Turn { action: Action::LoadUncached, ..granted }
            }
            _ => turn,
        }
    }
}
