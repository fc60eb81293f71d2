//! A step without an end.
#![no_std]

use core::hint::spin_loop;

use policy_base::{Decisions as _, Deviation, Event, Memo, Moment, Policy, Turn};

struct LoopsForever;

policy_base::export!(LoopsForever);

impl Deviation for LoopsForever {
    const NAME: &'static str = "loops-forever";

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        if matches!(event, Event::LeaseGranted) {
            loop {
                spin_loop();
            }
        }
        builtin.step(memo, moment, event)
    }
}
