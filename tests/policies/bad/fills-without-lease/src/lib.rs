//! Why claim anything? Loads at once, and stores.
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
                // Told of a lease, the built-in policy fills what comes.
                let granted = builtin.step(turn.memo, moment, Event::LeaseGranted);
                Turn { action: Action::LoadUncached, ..granted }
            }
            _ => turn,
        }
    }
}
