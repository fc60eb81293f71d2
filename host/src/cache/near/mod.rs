//! The near cache: answers of this process, in front of the store.
//!
//! ```text
//! reserve → tracked get → keep          an answer, bound to the version of its name before the get
//! look → answer                         while that version stands and the answer's stamp is in force
//! changed, all_changed → new versions   what was kept or reserved before is never answered again
//! ```
//!
//! The notification of a change may overtake the answer to a get that was sent before the change. So an entry
//! carries the version from before its get: a change that is heard later, even while the answer is on its
//! way, ends the entry.

mod entry;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Weighter};
use tokio::time::Instant;

use crate::policy::Generation;
use crate::read_name::ReadName;
use crate::store::{Envelope, HashSlot, Listener, Name, StoreKey};

use super::answer::Answer;
use entry::Entry;
pub use entry::Ready;
use versions::{Version, Versions};

/// The bytes of a typical entry, to size the table at the start.
const TYPICAL_BYTES: u64 = 512;

/// The answers that this process keeps.
pub(super) struct Near {
    /// `None` if the near cache is off.
    kept: Option<NearEntries>,
}

/// The near cache: answers, and what is known of their names.
struct NearEntries {
    entries: Cache<ReadName, Arc<Entry>, NearWeight, DefaultHashBuilder>,
    versions: Versions,
}

/// A place for the answer to a get that is not yet sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    version: Version,
    /// When the ticket was given: what the get will answer was true at this moment or later.
    since: Instant,
}

/// A value from the store, which the near cache may answer again.
pub(super) struct NearCandidate<'a> {
    pub(super) key: &'a StoreKey,
    pub(super) slot: HashSlot,
    pub(super) envelope: &'a Envelope,
    pub(super) generation: &'a Arc<Generation>,
    /// The store's clock.
    pub(super) now_ms: u64,
    /// How long an answer may be kept.
    pub(super) at_most: Duration,
}

impl Near {
    /// A near cache for entries of `bytes` in all; 0 switches it off.
    pub(super) fn new(bytes: u64) -> Self {
        let kept = (bytes > 0).then(|| {
            let items = usize::try_from(bytes / TYPICAL_BYTES).unwrap_or(usize::MAX);
            let hasher = DefaultHashBuilder::default();
            let entries = Cache::with(items, bytes, NearWeight, hasher, Default::default());
            NearEntries { entries, versions: Versions::new() }
        });
        Self { kept }
    }

    /// The answer to a read under `generation`, if one may be given now, and the slot of its name.
    /// `is_in_force` tells whether the word of a stamp is in force there.
    pub(super) fn look(
        &self,
        read: &ReadName,
        generation: &Generation,
        is_in_force: impl Fn(HashSlot, u64) -> bool,
        now: Instant,
    ) -> Option<(Answer, HashSlot)> {
        let kept = self.kept.as_ref()?;
        let entry = kept.entries.get(read)?;
        let stands = kept.stands(&entry, generation, now) && is_in_force(entry.slot, entry.word);
        let slot = entry.slot;
        stands.then(|| (entry.answer(now), slot))
    }

    /// Ends every entry that was kept until now.
    pub(super) fn forget_all(&self) {
        self.all_changed();
    }

    /// The ticket for an answer, to be asked for before the get of `name` is sent. `None` if the near cache
    /// is off.
    pub(super) fn reserve(&self, name: &Name) -> Option<Ticket> {
        let version = self.kept.as_ref()?.versions.of(name.as_str());
        Some(Ticket { version, since: Instant::now() })
    }

    /// Keeps what a get brought, unless it has changed since the ticket was given. Keeps it no longer than to
    /// the early-refresh point: from there on the policy decides.
    pub(super) fn keep(&self, ticket: Ticket, read: &ReadName, found: &NearCandidate<'_>) {
        let NearCandidate { envelope, now_ms, at_most, .. } = *found;
        let fresh_ms = envelope.refresh_at_ms.min(envelope.fresh_until_ms).saturating_sub(now_ms);
        let now = Instant::now();
        let until = (ticket.since + at_most).min(now + Duration::from_millis(fresh_ms));
        let Some(kept) = self.kept.as_ref().filter(|_| now < until) else { return };
        if kept.versions.stands(ticket.version) {
            let entry = Arc::new(Entry::new(ticket.version, until, now, found));
            kept.entries.insert(read.clone(), entry);
        }
    }

    /// Removes the entries that can't be answered any more.
    pub(super) fn sweep(&self, generation: &Generation) {
        if let Some(kept) = &self.kept {
            let now = Instant::now();
            kept.entries.retain(|_, entry| kept.stands(entry, generation, now));
        }
    }

    /// The number of entries and their bytes, including entries that are not yet swept.
    pub(super) fn size(&self) -> (usize, u64) {
        self.kept.as_ref().map_or((0, 0), |kept| (kept.entries.len(), kept.entries.weight()))
    }
}

impl NearEntries {
    fn stands(&self, entry: &Entry, generation: &Generation, now: Instant) -> bool {
        now < entry.until
            && entry.generation.number() == generation.number()
            && self.versions.stands(entry.version)
    }
}

impl Listener for Near {
    fn changed(&self, name: &str) {
        if let Some(kept) = &self.kept {
            kept.versions.renew(name);
        }
    }

    fn all_changed(&self) {
        if let Some(kept) = &self.kept {
            kept.versions.renew_all();
        }
    }
}

/// Bytes on the heap, roughly.
#[derive(Clone)]
struct NearWeight;

impl Weighter<ReadName, Arc<Entry>> for NearWeight {
    fn weight(&self, read: &ReadName, entry: &Arc<Entry>) -> u64 {
        (read.bytes() + entry.bytes()) as u64
    }
}

#[cfg(test)]
mod tests;
