//! The near cache: answers of this process, in front of the store.
//!
//! ```text
//! reserve → tracked get → keep          an answer, bound to the version of its name before the get
//! look → answer                         while that version stands and its stamp is in force
//! changed, all_changed → new versions   what was kept or reserved before is never answered again
//! ```
//!
//! Word of a change may overtake the answer to a get that was sent before it. So an entry counts from
//! before its get: whatever is heard from then on, also while the answer is on its way, ends it.

mod entry;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Weighter};
use tokio::time::Instant;

use crate::policy::Generation;
use crate::read_name::ReadName;
use crate::store::{Envelope, Key, Listener, Name};

use super::answer::Answer;
use entry::Entry;
pub use entry::Ready;
use versions::{Version, Versions};

/// What a typical entry weighs, to size the table at the start.
const TYPICAL_BYTES: u64 = 512;

/// The answers that this process keeps.
pub(super) struct Near {
    /// `None` if the near cache is off.
    kept: Option<Kept>,
}

struct Kept {
    entries: Cache<ReadName, Arc<Entry>, Weight, DefaultHashBuilder>,
    versions: Versions,
}

/// A place for the answer to a get that is not yet sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    version: Version,
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
            Kept { entries, versions: Versions::new() }
        });
        Self { kept }
    }

    /// The answer to a read under `generation`, if there is one that may be given now. `is_in_force` tells
    /// whether a stamp's word is.
    pub(super) fn look(
        &self,
        read: &ReadName,
        generation: &Generation,
        is_in_force: impl Fn(u64) -> bool,
        now: Instant,
    ) -> Option<Answer> {
        let kept = self.kept.as_ref()?;
        let entry = kept.entries.get(read)?;
        let stands = kept.stands(&entry, generation, now) && is_in_force(entry.word);
        stands.then(|| entry.answer(now))
    }

    /// Answers nothing that was kept until now.
    pub(super) fn forget_all(&self) {
        self.all_changed();
    }

    /// Asked for before the get of `name` is sent. `None`: its answer can't be kept.
    pub(super) fn reserve(&self, name: &Name) -> Option<Ticket> {
        let version = self.kept.as_ref()?.versions.of(name.as_str());
        Some(Ticket { version, since: Instant::now() })
    }

    /// Keeps what a get brought, unless it is known to have changed since the ticket was given. Past
    /// its early-refresh point it is for the policy to decide.
    pub(super) fn keep(&self, ticket: Ticket, read: &ReadName, found: &Found<'_>) {
        let Found { envelope, now_ms, at_most, .. } = *found;
        let fresh_ms = envelope.refresh_at_ms.min(envelope.fresh_until_ms).saturating_sub(now_ms);
        let now = Instant::now();
        let until = (ticket.since + at_most).min(now + Duration::from_millis(fresh_ms));
        let Some(kept) = self.kept.as_ref().filter(|_| now < until) else { return };
        if kept.versions.stands(ticket.version) {
            let entry = Arc::new(Entry::new(ticket.version, until, now, found));
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
struct Weight;

impl Weighter<ReadName, Arc<Entry>> for Weight {
    fn weight(&self, read: &ReadName, entry: &Arc<Entry>) -> u64 {
        (read.bytes() + entry.bytes()) as u64
    }
}

#[cfg(test)]
mod tests;
