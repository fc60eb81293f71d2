//! What a policy makes of a trace: its real decisions, in virtual time, over a simple model of store
//! and origin.
//!
//! The model: accesses come at an even rate; one host asks; the store forgets nothing before its
//! time and answers at once; what a load takes is drawn from what it is told, and the origin never
//! fails. So it says nothing of outages, evictions and overload, and of hit ratio and loads what matters:
//! which access meets which lifetime. A trace has no rows, so tags that depend on them are not
//! known here, and a write does not reach what carries no other tag.

mod thing;
mod world;

use std::time::Duration;

use serde::Serialize;

use super::{Change, Policy, Request};
use world::World;

/// How a trace becomes requests.
pub struct Terms<'a> {
    /// Accesses in a second.
    pub rate: f64,
    /// The share of accesses that are writes of the thing instead of reads, 0 to 1.
    pub writes: f64,
    /// What loads take, all equally likely; none: nothing.
    pub costs_ms: &'a [u32],
    /// The entity's deadline.
    pub deadline_ms: u32,
    /// The longest that its values may be kept.
    pub kept_at_most: Duration,
    /// The read of a thing.
    pub read: &'a dyn Fn(u32) -> Request,
    /// Its write; none: the entity has none, and the access is a read.
    pub write: &'a dyn Fn(u32) -> Option<Change>,
}

/// What a trace comes to under a policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Prediction {
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Things that were read.
    pub distinct: u64,
    /// Reads that the store answered, stale ones included.
    pub hits: u64,
    /// Those of them that were stale.
    pub stale_hits: u64,
    /// Reads that waited for a load of somebody else's.
    pub collapsed: u64,
    /// Loads of the origin.
    pub loads: u64,
    /// Those of them that nobody waited for.
    pub refreshes: u64,
    /// Decisions that a host takes by its own rule: there was none, or none that it carries out.
    pub undecided: u64,
    /// Hits over reads.
    pub hit_ratio: f64,
    /// Virtual time from the first access to the last.
    pub seconds: f64,
}

/// Plays `accesses` under `policy`.
#[must_use]
pub fn predict(policy: &dyn Policy, accesses: &[u32], terms: &Terms<'_>) -> Prediction {
    let mut world = World::new(policy, terms);
    for (at, &thing) in (0_u32..).zip(accesses) {
        world.access(thing, (f64::from(at) * 1e6 / terms.rate) as u64);
    }
    world.end()
}

#[cfg(test)]
mod tests;
