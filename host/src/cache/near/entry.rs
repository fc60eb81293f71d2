//! One kept answer.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::policy::Generation;
use crate::store::Key;

use super::stamps::Stamp;
use super::{Answer, Found};
use crate::cache::answer::Via;

/// The texts of an answer's headers, made once.
#[derive(Debug, Clone)]
pub struct Ready {
    /// `"1f…"`, quoted; none: there is no row.
    pub etag: Option<Bytes>,
    /// What follows the `ttl` in `Cache-Status`: `; key="…"; detail=near`.
    pub status: Box<str>,
    /// `name@version;generation=7`.
    pub policy: Bytes,
}

/// An answer that may be given again.
pub(super) struct Entry {
    pub(super) stamp: Stamp,
    pub(super) until: Instant,
    pub(super) generation: Arc<Generation>,
    key: Key,
    body: Option<Bytes>,
    etag: u128,
    /// When its age and the rest of its freshness were these.
    at: Instant,
    age_ms: u64,
    fresh_ms: u64,
    ready: Arc<Ready>,
}

impl Entry {
    pub(super) fn new(stamp: Stamp, until: Instant, at: Instant, found: &Found<'_>) -> Self {
        let Found { key, envelope, generation, now_ms, .. } = *found;
        Self {
            stamp,
            until,
            generation: Arc::clone(generation),
            key: key.clone(),
            body: envelope.body.clone(),
            etag: envelope.etag,
            at,
            age_ms: now_ms.saturating_sub(envelope.loaded_at_ms),
            fresh_ms: envelope.fresh_until_ms.saturating_sub(now_ms),
            ready: Arc::new(Ready::new(found)),
        }
    }

    /// The answer as it is to be given at `now`.
    pub(super) fn answer(&self, now: Instant) -> Answer {
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
            ready: Some(Arc::clone(&self.ready)),
        }
    }

    /// In memory, with the allocations' headers and its place in the table, generously.
    pub(super) fn bytes(&self) -> usize {
        const TABLE: usize = 64;
        const ALLOCATIONS: usize = 128;
        let Ready { etag, status, policy } = &*self.ready;
        let texts = status.len() + policy.len() + etag.as_ref().map_or(0, Bytes::len);
        let fixed = size_of::<Self>() + size_of::<Ready>() + TABLE + ALLOCATIONS;
        fixed + texts + self.key.as_str().len() + self.body.as_ref().map_or(0, Bytes::len)
    }
}

impl Ready {
    fn new(found: &Found<'_>) -> Self {
        let mut status = String::with_capacity(found.key.as_str().len() + 24);
        // Writing to a string can't fail.
        let _infallible = write!(status, "; key={}; detail=near", found.key.quoted());
        let etag = found.envelope.body.is_some().then(|| quoted_etag(found.envelope.etag));
        Self {
            etag: etag.map(Bytes::from),
            status: status.into_boxed_str(),
            policy: Bytes::copy_from_slice(found.generation.label().as_bytes()),
        }
    }
}

/// An entity tag as `ETag` carries it (RFC 9110).
#[must_use]
pub fn quoted_etag(etag: u128) -> String {
    format!("\"{etag:032x}\"")
}
