//! Why claim anything? Loads at once, and stores.
#![no_std]

use policy_base::{Action, Event, Memo, Moment, Phase, Policy, Settings, Turn};

struct FillsWithoutLease;

policy_base::export!(FillsWithoutLease);

impl Policy for FillsWithoutLease {
    const NAME: &'static str = "fills-without-lease";

    fn step(settings: &Settings, memo: Memo, moment: Moment, event: Event) -> Turn {
        let turn = settings.step(memo, moment, event);
        match turn.action {
            Action::Claim(_) => {
                let memo = Memo { phase: Phase::Loading as u32, ..turn.memo };
                Turn { memo, action: Action::LoadUncached }
            }
            _ => turn,
        }
    }
}
