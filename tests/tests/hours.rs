//! Stretches of minutes, in virtual time: several hosts of the real cache over one store and one origin that
//! count what is asked of them. What of it real servers show, they show shortened (`tests/real.rs`).

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
