//! One kept answer.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::beside::Beside;
use crate::policy::Generation;
use crate::store::{HashSlot, StoreKey};

use super::versions::Version;
use super::{Answer, NearCandidate};
use crate::cache::answer::Via;

/// An answer that may be given again.
pub(super) struct Entry {
    pub(super) version: Version,
    pub(super) slot: HashSlot,
    /// The word that has to be in force.
    pub(super) word: u64,
    pub(super) until: Instant,
    pub(super) generation: Arc<Generation>,
    key: StoreKey,
    body: Option<Bytes>,
    etag: u128,
    /// The moment at which `age_ms` and `fresh_ms` were measured.
    at: Instant,
    age_ms: u64,
    fresh_ms: u64,
    status: Box<str>,
    beside: Beside,
}

/// What an answer's headers are made of, prepared once per entry.
#[derive(Clone)]
pub struct Ready(Arc<Entry>);

impl Ready {
    /// Where a face, such as HTTP, keeps what it makes of the answer.
    #[must_use]
    pub fn beside(&self) -> &Beside {
        &self.0.beside
    }

    /// What follows the `ttl` in `Cache-Status`: `; key="…"; detail=near`.
    #[must_use]
    pub fn status(&self) -> &str {
        &self.0.status
    }
}

impl Entry {
    pub(super) fn new(
        version: Version,
        until: Instant,
        at: Instant,
        found: &NearCandidate<'_>,
    ) -> Self {
        let NearCandidate { key, slot, envelope, generation, now_ms, .. } = *found;
        Self {
            version,
            slot,
            word: envelope.stamp.word,
            until,
            generation: Arc::clone(generation),
            key: key.clone(),
            body: envelope.body.clone(),
            etag: envelope.etag,
            at,
            age_ms: now_ms.saturating_sub(envelope.loaded_at_ms),
            fresh_ms: envelope.fresh_until_ms.saturating_sub(now_ms),
            status: ["; key=\"", &*key.escaped(), "\"; detail=near"].concat().into_boxed_str(),
            beside: Beside::default(),
        }
    }

    /// The answer as it is to be given at `now`.
    pub(super) fn answer(self: Arc<Self>, now: Instant) -> Answer {
        let since = now.saturating_duration_since(self.at).as_millis();
        let since_ms = u64::try_from(since).unwrap_or(u64::MAX >> 1);
        Answer {
            body: self.body.clone(),
            via: Via::Near,
            collapsed: false,
            bypass: false,
            age_ms: self.age_ms.saturating_add(since_ms),
            ttl_ms: Some(self.fresh_ms.cast_signed().saturating_sub_unsigned(since_ms)),
            key: Some(self.key.clone()),
            etag: self.body.is_some().then_some(self.etag),
            generation: Arc::clone(&self.generation),
            ready: Some(Ready(self)),
        }
    }

    /// Bytes in memory, estimated generously: with the allocations' headers and the entry's place
    /// in the table.
    pub(super) fn bytes(&self) -> usize {
        const TABLE: usize = 64;
        const ALLOCATIONS: usize = 128;
        // One header's value, with what holds it.
        const BESIDE: usize = 128;
        let texts = self.status.len() + BESIDE + self.key.as_str().len();
        let fixed = size_of::<Self>() + TABLE + ALLOCATIONS;
        fixed + texts + self.body.as_ref().map_or(0, Bytes::len)
    }
}
