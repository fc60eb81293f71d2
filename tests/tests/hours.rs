//! Minutes and hours in virtual time: several hosts with the real cache, over a store and an origin
//! that count their requests. `tests/real.rs` shows the same shortened, with real servers.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "hours/fleet.rs"]
mod fleet;
#[path = "hours/host.rs"]
mod host;
#[path = "hours/outage.rs"]
mod outage;
#[path = "hours/rolling.rs"]
mod rolling;
#[path = "hours/rows.rs"]
mod rows;
#[path = "hours/store.rs"]
mod store;
#[path = "hours/tags.rs"]
mod tags;
