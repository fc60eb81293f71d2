//! Behaves well except for one row, at whose load it traps.
#![no_std]

use policy_base::{
    Decisions as _, Deviation, Event, Memo, Moment, Plan, Policy, Refusal, Request, Turn, unlucky,
};

const UNLUCKY: &str = "72";

struct LateTrap;

policy_base::export!(LateTrap);

impl Deviation for LateTrap {
    const NAME: &'static str = "late-trap";

    fn plan(builtin: &Policy, request: &Request) -> Result<Plan, Refusal> {
        unlucky::plan(builtin, request, UNLUCKY)
    }

    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        assert!(!(unlucky::is_marked(memo) && matches!(event, Event::Loaded(_))));
        builtin.step(memo, moment, event)
    }
}
