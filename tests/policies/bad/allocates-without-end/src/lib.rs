//! Every plan allocates until there is no memory left.
#![no_std]

extern crate alloc;

use alloc::vec::Vec;
use core::hint::black_box;

use policy_base::{Decisions as _, Deviation, Plan, Policy, Refusal, Request};

struct AllocatesWithoutEnd;

policy_base::export!(AllocatesWithoutEnd);

impl Deviation for AllocatesWithoutEnd {
    const NAME: &'static str = "allocates-without-end";

    fn plan(builtin: &Policy, request: &Request) -> Result<Plan, Refusal> {
        let mut kept: Vec<Vec<u8>> = Vec::new();
        while black_box(true) {
            kept.push(black_box(Vec::with_capacity(1 << 16)));
        }
        builtin.plan(request)
    }
}
