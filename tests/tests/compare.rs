//! Comparing, explaining and shadowing a policy, end to end: `corral` as a process over a real
//! Redis and a real Postgres.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "compare/common.rs"]
mod common;
#[path = "compare/diff.rs"]
mod diff;
#[path = "compare/explain.rs"]
mod explain;
#[path = "compare/push.rs"]
mod push;
#[path = "compare/shadow.rs"]
mod shadow;
