//! How a read ended: the value and where it came from, or the error.

use std::sync::Arc;

use bytes::Bytes;

use crate::observe::ReadOutcome;
use crate::policy::Generation;
use crate::store::{Envelope, StoreKey};

use super::load::{LoadError, Loaded};
use super::near::Ready;

/// A value on its way to all requests that share it.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) body: Option<Bytes>,
    pub(super) etag: u128,
    pub(super) via: Via,
    /// `None` if the value was not stored.
    pub(super) stored: Option<StoredTimes>,
    pub(super) generation: Arc<Generation>,
}

/// A stored value's times when it was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredTimes {
    /// Time since the value was loaded.
    pub(super) age_ms: u64,
    /// How long the value stays fresh; if negative, for how long it has been stale.
    pub(super) ttl_ms: i64,
}

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The near cache had it.
    Near,
    /// The store had it, fresh.
    Store,
    /// The store had it, stale; a refresh runs.
    Stale,
    /// The store had it, stale, and the load failed.
    StaleIfError,
    /// Another flight, on any host, loaded it while this one claimed the lease or waited.
    Peer,
    /// Loaded and stored.
    Loaded {
        /// Whether an older value was there.
        stale: bool,
    },
    /// Loaded and not stored.
    Uncached(Why),
}

/// Why a loaded value was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The store did not answer, or is not trusted.
    StoreUnavailable,
    /// The fill was rejected because an invalidation came in between, or the stamp or the tags of
    /// the value were not certain.
    FillRejected,
    /// Its rows have more different tags than a value may have.
    TooManyTags,
    /// A tag can't be made of its rows: a column is missing, has a value without a text, or is too
    /// large.
    Untaggable,
    /// The policy's patience ended, or it gave no usable answer.
    Uncached,
}

impl Via {
    /// The outcome that metrics count.
    #[must_use]
    pub fn outcome(self) -> ReadOutcome {
        match self {
            Self::Near => ReadOutcome::Near,
            Self::Store => ReadOutcome::Hit,
            Self::Stale => ReadOutcome::Stale,
            Self::StaleIfError => ReadOutcome::StaleIfError,
            Self::Peer
            | Self::Loaded { .. }
            | Self::Uncached(Why::FillRejected | Why::TooManyTags | Why::Untaggable) => {
                ReadOutcome::Miss
            }
            Self::Uncached(Why::StoreUnavailable | Why::Uncached) => ReadOutcome::Bypass,
        }
    }
}

impl Served {
    pub(super) fn stored(
        envelope: Envelope,
        now_ms: u64,
        via: Via,
        generation: &Arc<Generation>,
    ) -> Self {
        Self {
            body: envelope.body,
            etag: envelope.etag,
            via,
            stored: Some(StoredTimes {
                age_ms: now_ms.saturating_sub(envelope.loaded_at_ms),
                ttl_ms: envelope.fresh_until_ms.cast_signed() - now_ms.cast_signed(),
            }),
            generation: Arc::clone(generation),
        }
    }

    pub(super) fn loaded(loaded: &Loaded, why: Why, generation: &Arc<Generation>) -> Self {
        let (body, generation) = (loaded.body.clone(), Arc::clone(generation));
        Self { body, etag: loaded.etag(), via: Via::Uncached(why), stored: None, generation }
    }
}

/// The answer to a read.
#[derive(Clone)]
pub struct Answer {
    /// JSON text; `None` if there is no such row.
    pub body: Option<Bytes>,
    /// Where the value came from.
    pub via: Via,
    /// Whether another request's flight was shared.
    pub collapsed: bool,
    /// Whether the client asked for a fresh load.
    pub bypass: bool,
    /// Milliseconds since the value was loaded; 0 if it was not stored.
    pub age_ms: u64,
    /// Milliseconds for which the value stays fresh; if negative, for which it has been stale.
    /// `None` if it was not stored.
    pub ttl_ms: Option<i64>,
    /// The read's key; `None` if the policy gave none.
    pub key: Option<StoreKey>,
    /// A digest of the body, equal for equal bodies; `None` if there is no row.
    pub etag: Option<u128>,
    /// The generation that decided.
    pub generation: Arc<Generation>,
    /// What the headers of an answer from the near cache are made of; `None` for every other
    /// answer.
    pub ready: Option<Ready>,
}

/// Why a read has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The entity has no statement and the program bound no closure.
    #[error("this entity is bound to a closure of the program, it can't be read by name")]
    Unbound,
    /// The load failed and there is no stale value that may be served.
    #[error(transparent)]
    Load(LoadError),
    /// No answer by the entity's deadline.
    #[error("no answer by the deadline")]
    Deadline,
    /// The flight ended without an answer: its task panicked, or the host is shutting down.
    #[error("the flight ended without an answer")]
    Nothing,
}
