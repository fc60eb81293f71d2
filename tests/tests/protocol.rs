//! The cache's protocol, claim by claim: several hosts over one store in one process. The store,
//! the origin and, where it matters, the policy do what the test tells them.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "protocol/away.rs"]
mod away;
#[path = "protocol/failing.rs"]
mod failing;
#[path = "protocol/host.rs"]
mod host;
#[path = "protocol/hostile.rs"]
mod hostile;
#[path = "protocol/near.rs"]
mod near;
#[path = "protocol/outage.rs"]
mod outage;
#[path = "protocol/scripted.rs"]
mod scripted;
#[path = "protocol/sharing.rs"]
mod sharing;
#[path = "protocol/stampede.rs"]
mod stampede;
#[path = "protocol/truth.rs"]
mod truth;
#[path = "protocol/world.rs"]
mod world;
#[path = "protocol/writing.rs"]
mod writing;
