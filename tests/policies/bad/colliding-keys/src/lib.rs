//! Keys by the length of the arguments: short, readable, and shared.
#![no_std]

extern crate alloc;

use alloc::format;

use policy_base::{Plan, Policy, Refusal, Request, Settings, Subject};

struct CollidingKeys;

policy_base::export!(CollidingKeys);

impl Policy for CollidingKeys {
    const NAME: &'static str = "colliding-keys";

    fn plan(settings: &Settings, request: &Request) -> Result<Plan, Refusal> {
        let plan = settings.plan(request)?;
        let lengths = request.arguments.iter().map(|a| a.value.as_ref().map_or(0, |v| v.len()));
        let length: usize = lengths.sum();
        let name = match &request.subject {
            Subject::Entity(name) => name,
            Subject::Query(query) => &query.sql,
        };
        Ok(Plan { key: format!("v1:{}:{length}", name.len()), ..plan })
    }
}
