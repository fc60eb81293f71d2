//! Keys hold the lengths of the arguments instead of their values, so different reads share a key.
#![no_std]

extern crate alloc;

use alloc::format;

use policy_base::{Decisions as _, Deviation, Key, Plan, Policy, Refusal, Request, Subject};

struct CollidingKeys;

policy_base::export!(CollidingKeys);

impl Deviation for CollidingKeys {
    const NAME: &'static str = "colliding-keys";

    fn plan(builtin: &Policy, request: &Request) -> Result<Plan, Refusal> {
        let plan = builtin.plan(request)?;
        let lengths = request.arguments.iter().map(|a| a.value.as_ref().map_or(0, |v| v.len()));
        let length: usize = lengths.sum();
        let name = match &request.subject {
            Subject::Entity(name) => name,
            Subject::Query(query) => &query.sql,
        };
        Ok(Plan { key: Key::spelled(format!("v1:{}:{length}", name.len())), ..plan })
    }
}
