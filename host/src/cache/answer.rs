//! How a read ended: the value and the words for where it came from, or the error.

use std::sync::Arc;

use bytes::Bytes;

use crate::observe::ReadOutcome;
use crate::policy::Generation;
use crate::store::{Envelope, Key};

use super::load::{LoadError, Loaded};
use super::near::Ready;

/// A value on its way to everybody who shares it.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) body: Option<Bytes>,
    pub(super) etag: u128,
    pub(super) via: Via,
    /// `None` when the value was not stored.
    pub(super) stored: Option<Stored>,
    pub(super) generation: Arc<Generation>,
}

/// A stored value's times when it was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    /// Since it was loaded.
    pub(super) age_ms: u64,
    /// How long it stays fresh; negative: since when it is stale.
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
    /// Another host loaded it while we asked for the lease or waited.
    Peer,
    /// Loaded and stored. `stale`: an older value was there.
    Loaded {
        /// An older value was there.
        stale: bool,
    },
    /// Loaded and not stored.
    Uncached(Why),
}

/// Why a loaded value was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The store does not answer, or is not trusted.
    StoreUnavailable,
    /// An invalidation came in between.
    FillRejected,
    /// Its rows have more different tags than a value may have.
    TooManyTags,
    /// A tag can't be made of its rows: the database has a value there that has no text.
    Untaggable,
    /// The policy's patience ended, or it gave no usable answer.
    Uncached,
}

impl Via {
    /// The label of the metric.
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
            stored: Some(Stored {
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
    /// JSON text; none: there is no such row.
    pub body: Option<Bytes>,
    /// Where it came from.
    pub via: Via,
    /// Another request's work was shared.
    pub collapsed: bool,
    /// The client asked for a fresh load.
    pub bypass: bool,
    /// Milliseconds since the value was loaded; 0 when it just was.
    pub age_ms: u64,
    /// Milliseconds that it stays fresh; negative: since when it is stale. None: not stored.
    pub ttl_ms: Option<i64>,
    /// Its name in the store; none when the policy gave none.
    pub key: Option<Key>,
    /// Names the content: equal for equal bodies. None when there is no row.
    pub etag: Option<u128>,
    /// The generation that decided.
    pub generation: Arc<Generation>,
    /// What its headers are made of, of an answer from the near cache.
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
