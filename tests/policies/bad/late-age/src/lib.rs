//! Behaves well except for one in a thousand of the ages that a value may have: too seldom for the
//! gate, which tries a few.
#![no_std]

use policy_base::{Decisions as _, Deviation, Event, Memo, Moment, Policy, Turn};

struct LateAge;

policy_base::export!(LateAge);

impl Deviation for LateAge {
    const NAME: &'static str = "late-age";

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        assert!(!matches!(event, Event::Found(seen) if seen.age_ms % 1_000 == 517));
        builtin.step(memo, moment, event)
    }
}
