//! Well-behaved while it is young: from its ten thousandth step on, an instance traps.
#![no_std]

use core::sync::atomic::{AtomicU32, Ordering};

use policy_base::{Event, Memo, Moment, Policy, Settings, Turn};

static STEPS: AtomicU32 = AtomicU32::new(0);

struct TurnsSour;

policy_base::export!(TurnsSour);

impl Policy for TurnsSour {
    const NAME: &'static str = "turns-sour";

    fn step(settings: &Settings, memo: Memo, moment: Moment, event: Event) -> Turn {
        assert!(STEPS.fetch_add(1, Ordering::Relaxed) < 10_000);
        settings.step(memo, moment, event)
    }
}
