//! What a node says about itself, and what tells that it still has its place.

use std::time::Duration;

use super::Epoch;

/// What a node says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The node's identity; `None` if the server hides it.
    pub epoch: Option<Epoch>,
    /// The node's clock, in ms since the Unix epoch.
    pub now_ms: u64,
    /// Whether the node takes writes and follows no other node.
    pub is_primary: bool,
    /// The node's replicas, or traces of an earlier role.
    pub replicas: Replicas,
    /// The [`Range::version`](super::Range::version) of each range that was asked for, in order; 0 for an empty range.
    pub range_versions: Vec<u64>,
}

/// What tells that a node still has its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// A new connection through the address, as it is resolved now, reached this epoch; `None` if the server
    /// hides its identity.
    Reached(Option<Epoch>),
    /// Other nodes, which were asked so long ago at most, name the node in its place.
    Named {
        /// How old their words are at most.
        ago: Duration,
    },
}

/// What a node shows of other nodes that may take its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replicas {
    /// The node has no replica and never was one.
    None,
    /// The node has replicas of which none is silent, or was a replica itself.
    Answering,
    /// A replica that acknowledged something before is silent.
    Silent,
    /// Others judge whether the node keeps its place, and were asked with [`Store::confirm`](super::Store::confirm).
    Supervised,
}
