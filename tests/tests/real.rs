//! What real servers do, shortened: they come back with older data, fall behind, are two servers at
//! a time, and report a failure of a commit whose outcome they don't know. The command `scenario
//! real` plays these in full.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "real/balanced.rs"]
mod balanced;
#[path = "real/campaign.rs"]
mod campaign;
#[path = "real/cluster.rs"]
mod cluster;
#[path = "real/commits.rs"]
mod commits;
#[path = "real/common.rs"]
mod common;
#[path = "real/debt.rs"]
mod debt;
#[path = "real/failovers.rs"]
mod failovers;
#[path = "real/flushed.rs"]
mod flushed;
#[path = "real/frozen.rs"]
mod frozen;
#[path = "real/large.rs"]
mod large;
#[path = "real/moves.rs"]
mod moves;
#[path = "real/names.rs"]
mod names;
#[path = "real/restarts.rs"]
mod restarts;
#[path = "real/rolling.rs"]
mod rolling;
#[path = "real/sentinels.rs"]
mod sentinels;
#[path = "real/sessions.rs"]
mod sessions;
#[path = "real/spelling.rs"]
mod spelling;
#[path = "real/tags.rs"]
mod tags;
