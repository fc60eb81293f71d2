//! What a policy makes of a trace: its real decisions, in virtual time, over a simple model of
//! store and origin.
//!
//! The model: accesses come at an even rate; one host asks; the store keeps everything until its
//! time is over and answers at once; a load's time is drawn from a given list, and the origin never
//! fails. So the model says nothing about outages, evictions and overload, but it says which access
//! meets which lifetime, on which hit ratio and loads depend. A trace has no rows, so the model
//! does not know tags that depend on rows, and a write does not reach a value that carries no other
//! tag.

mod thing;
mod world;

use std::time::Duration;

use serde::Serialize;

use super::{Change, Decider, Request};
use world::TraceWorld;

/// How a trace becomes requests.
pub struct TraceTerms<'a> {
    /// Accesses in a second.
    pub rate: f64,
    /// The share of accesses that are writes of the thing instead of reads, 0 to 1.
    pub writes: f64,
    /// How long loads take, all equally likely. Empty if they take no time.
    pub costs_ms: &'a [u32],
    /// The entity's deadline.
    pub deadline_ms: u32,
    /// The longest that its values may be kept.
    pub kept_at_most: Duration,
    /// The read of a thing.
    pub read: &'a dyn Fn(u32) -> Request,
    /// The write of a thing; `None` if the entity has no write; then the access is a read.
    pub write: &'a dyn Fn(u32) -> Option<Change>,
}

/// What a policy makes of a trace.
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
    /// Reads that waited for another read's load.
    pub collapsed: u64,
    /// Loads of the origin.
    pub loads: u64,
    /// Those of them that refreshed in the background.
    pub refreshes: u64,
    /// Decisions that a host takes by its own rule, since the policy gave none or one that the host
    /// does not carry out.
    pub undecided: u64,
    /// Hits over reads.
    pub hit_ratio: f64,
    /// Virtual time from the first access to the last.
    pub seconds: f64,
}

/// Plays `accesses` under `policy`.
#[must_use]
pub fn predict(policy: &dyn Decider, accesses: &[u32], terms: &TraceTerms<'_>) -> Prediction {
    let mut world = TraceWorld::new(policy, terms);
    for (at, &thing) in (0_u32..).zip(accesses) {
        world.access(thing, (f64::from(at) * 1e6 / terms.rate) as u64);
    }
    world.end()
}

#[cfg(test)]
mod tests;
