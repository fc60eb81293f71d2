//! The near cache: answers of this process, in front of the store.
//!
//! ```text
//! reserve → tracked get → keep        an answer, bound to the stamp of its key as it was before the get
//! look → answer                       while that stamp stands, and for as long as the entity allows
//! changed, all_changed → new stamps   what was kept or reserved before is never answered again
//! ```
//!
//! Word of a change may overtake the answer to a get that was sent before it. So an entry counts from
//! before its get: whatever is heard from then on, also while the answer is on its way, ends it.

mod entry;
mod stamps;

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Weighter};
use tokio::time::Instant;

use crate::policy::Generation;
use crate::read_name::ReadName;
use crate::store::{Envelope, Key, Listener};

use super::answer::Answer;
use entry::Entry;
pub use entry::{Ready, etag_header};
use stamps::{Stamp, Stamps};

/// What a typical entry weighs, to size the table at the start.
const TYPICAL_BYTES: u64 = 512;

/// The answers that this process keeps.
pub(super) struct Near {
    /// None: the near cache is off.
    kept: Option<Kept>,
}

struct Kept {
    entries: Cache<ReadName, Arc<Entry>, Weight, DefaultHashBuilder>,
    stamps: Stamps,
}

/// A place for the answer to a get that is not yet sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    stamp: Stamp,
    /// What the get will answer was true no earlier than this.
    since: Instant,
}

/// What shall be answered again.
pub(super) struct Found<'a> {
    pub(super) key: &'a Key,
    pub(super) envelope: &'a Envelope,
    pub(super) generation: &'a Arc<Generation>,
    /// The store's clock.
    pub(super) now_ms: u64,
    /// How long an answer may be kept.
    pub(super) at_most: Duration,
}

impl Near {
    /// Room for entries of so many bytes; 0: it is off.
    pub(super) fn new(bytes: u64) -> Self {
        let kept = (bytes > 0).then(|| {
            let items = usize::try_from(bytes / TYPICAL_BYTES).unwrap_or(usize::MAX);
            let hasher = DefaultHashBuilder::default();
            let entries = Cache::with(items, bytes, Weight, hasher, Default::default());
            Kept { entries, stamps: Stamps::new() }
        });
        Self { kept }
    }

    /// The answer to a read under `generation`, if there is one that may be given now.
    pub(super) fn look(
        &self,
        read: &ReadName,
        generation: &Generation,
        now: Instant,
    ) -> Option<Answer> {
        let kept = self.kept.as_ref()?;
        let entry = kept.entries.get(read)?;
        kept.stands(&entry, generation, now).then(|| entry.answer(now))
    }

    /// Asked for before the get of `key` is sent. None: its answer can't be kept.
    pub(super) fn reserve(&self, key: &Key) -> Option<Ticket> {
        let stamp = self.kept.as_ref()?.stamps.of(key.as_str());
        Some(Ticket { stamp, since: Instant::now() })
    }

    /// Keeps what a get brought, unless it is known to have changed since the ticket was given. Past
    /// its early-refresh point it is for the policy to decide.
    pub(super) fn keep(&self, ticket: Ticket, read: &ReadName, found: &Found<'_>) {
        let Found { envelope, now_ms, at_most, .. } = *found;
        let fresh_ms = envelope.refresh_at_ms.min(envelope.fresh_until_ms).saturating_sub(now_ms);
        let now = Instant::now();
        let until = (ticket.since + at_most).min(now + Duration::from_millis(fresh_ms));
        let Some(kept) = self.kept.as_ref().filter(|_| now < until) else { return };
        if kept.stamps.stands(ticket.stamp) {
            let entry = Arc::new(Entry::new(ticket.stamp, until, now, found));
            kept.entries.insert(read.clone(), entry);
        }
    }

    /// Makes room of what can't be answered any more.
    pub(super) fn sweep(&self, generation: &Generation) {
        if let Some(kept) = &self.kept {
            let now = Instant::now();
            kept.entries.retain(|_, entry| kept.stands(entry, generation, now));
        }
    }

    /// How many entries there are, and their bytes; those not yet swept included.
    pub(super) fn size(&self) -> (usize, u64) {
        self.kept.as_ref().map_or((0, 0), |kept| (kept.entries.len(), kept.entries.weight()))
    }
}

impl Kept {
    fn stands(&self, entry: &Entry, generation: &Generation, now: Instant) -> bool {
        now < entry.until
            && entry.generation.number() == generation.number()
            && self.stamps.stands(entry.stamp)
    }
}

impl Listener for Near {
    fn changed(&self, key: &str) {
        if let Some(kept) = &self.kept {
            kept.stamps.renew(key);
        }
    }

    fn all_changed(&self) {
        if let Some(kept) = &self.kept {
            kept.stamps.renew_all();
        }
    }
}

/// Bytes on the heap, roughly.
#[derive(Clone)]
struct Weight;

impl Weighter<ReadName, Arc<Entry>> for Weight {
    fn weight(&self, read: &ReadName, entry: &Arc<Entry>) -> u64 {
        (read.bytes() + entry.bytes()) as u64
    }
}

#[cfg(test)]
mod tests;
