//! A step without an end.
#![no_std]

use core::hint::spin_loop;

use policy_base::{Event, Memo, Moment, Policy, Settings, Turn};

struct LoopsForever;

policy_base::export!(LoopsForever);

impl Policy for LoopsForever {
    const NAME: &'static str = "loops-forever";

    fn step(settings: &Settings, memo: Memo, moment: Moment, event: Event) -> Turn {
        if matches!(event, Event::LeaseGranted) {
            loop {
                spin_loop();
            }
        }
        settings.step(memo, moment, event)
    }
}
