//! A stored value with its metadata: a short versioned binary header and then the body as JSON text.

use bytes::Bytes;

/// A stored value. Times are the store's clock, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// When the load began that brought it (no later than that).
    pub loaded_at_ms: u64,
    /// From when on a hit refreshes it in the background; never past `fresh_until_ms`.
    pub refresh_at_ms: u64,
    /// Until when it is fresh.
    pub fresh_until_ms: u64,
    /// Until when it is kept.
    pub stale_until_ms: u64,
    /// What the load cost.
    pub cost_ms: u32,
    /// The generation that decided its lifetime, as numbered by the host that filled it.
    pub generation: u64,
    /// The value as JSON text; none: the origin has no such row.
    pub body: Option<Bytes>,
}

/// Bytes that are no envelope of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an envelope of this version")]
pub struct Unreadable;
