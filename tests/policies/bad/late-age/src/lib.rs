//! Well-behaved, but for one in a thousand of the ages that a value may have: too seldom for the gate,
//! which tries a few.
#![no_std]

use policy_base::{Event, Memo, Moment, Policy, Settings, Turn};

struct LateAge;

policy_base::export!(LateAge);

impl Policy for LateAge {
    const NAME: &'static str = "late-age";

    fn step(settings: &Settings, memo: Memo, moment: Moment, event: Event) -> Turn {
        assert!(!matches!(event, Event::Found(seen) if seen.age_ms % 1_000 == 517));
        settings.step(memo, moment, event)
    }
}
