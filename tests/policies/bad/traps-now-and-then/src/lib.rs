//! Every thousandth step of an instance traps.
#![no_std]

use core::sync::atomic::{AtomicU32, Ordering};

use policy_base::{Decisions as _, Deviation, Event, Memo, Moment, Policy, Turn};

static STEPS: AtomicU32 = AtomicU32::new(0);

struct TrapsNowAndThen;

policy_base::export!(TrapsNowAndThen);

impl Deviation for TrapsNowAndThen {
    const NAME: &'static str = "traps-now-and-then";

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        let step = STEPS.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(!step.is_multiple_of(1_000));
        builtin.step(memo, moment, event)
    }
}
