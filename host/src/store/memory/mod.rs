//! The store inside the process: the embedded default.

mod expiring;
mod ranges;
mod shelves;

use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::listeners::Listeners;
use super::waiters::Waiters;
use super::{
    Beat, Claim, Claimed, Confirmation, Envelope, Epoch, Filled, FloorScope, HostCard, Indexed,
    Intent, LeaseToken, LinkId, Listener, Listing, Marking, Name, Naming, Over, Range, RangeId,
    Removed, Remover, Replicas, Store, StoreError, StoreTag, Tracked,
};
use ranges::Ranges;
use shelves::Shelves;

/// How many values are kept by default.
const DEFAULT_ENTRIES: usize = 100_000;

/// The bytes that values may take up, and as much again for their tags: little beside the memory of
/// a server.
const BYTES: usize = 256 << 20;

/// The only link of a memory store.
const LINK: LinkId = LinkId(1);

/// A store that lives and dies with its process. It is bounded by a number of entries and of bytes;
/// over either limit, the entry that ends soonest is removed first. It never fails.
pub struct MemoryStore {
    shelves: Mutex<Shelves>,
    ranges: Mutex<Ranges>,
    waiters: Waiters,
    listeners: Listeners,
    epoch: Epoch,
    started: Instant,
    started_ms: u64,
}

impl MemoryStore {
    /// A store with room for `entries` values (at least one), as many leases and marks, and eight
    /// times as many tag memberships.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        Self {
            shelves: Mutex::new(Shelves::new(entries, BYTES)),
            ranges: Mutex::default(),
            waiters: Waiters::default(),
            listeners: Listeners::default(),
            epoch: Epoch(rand::random()),
            started: Instant::now(),
            started_ms: wall_clock_ms(),
        }
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ranges(&self) -> MutexGuard<'_, Ranges> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells waiters and listeners of changed names. To be called after the change, without the
    /// lock on the shelves.
    fn changed(&self, names: &[Name]) {
        for name in names {
            self.waiters.wake(name);
            self.listeners.changed(name.as_str());
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(DEFAULT_ENTRIES)
    }
}

fn over<T>(answer: T) -> Result<Over<T>, StoreError> {
    Ok(Over { link: LINK, answer })
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, name: &Name) -> Result<Over<Option<Envelope>>, StoreError> {
        over(self.shelves().get(name, self.now_ms()))
    }

    async fn get_tracked(&self, name: &Name) -> Result<Over<Tracked>, StoreError> {
        over(Tracked { envelope: self.shelves().get(name, self.now_ms()), heard: true })
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.listeners.add(listener);
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Over<Claimed>, StoreError> {
        over(self.shelves().claim(claim, self.now_ms()))
    }

    async fn fill(
        &self,
        name: &Name,
        token: LeaseToken,
        envelope: &Envelope,
    ) -> Result<Over<Filled>, StoreError> {
        let filled = self.shelves().fill(name, token, envelope, self.now_ms());
        if filled == Filled::Stored {
            self.changed(std::slice::from_ref(name));
        }
        over(filled)
    }

    async fn renew(
        &self,
        name: &Name,
        token: LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        Ok(self.shelves().renew(name, token, lease, self.now_ms()))
    }

    async fn release(&self, name: &Name, token: LeaseToken) -> Result<bool, StoreError> {
        let released = self.shelves().release(name, token, self.now_ms());
        if released {
            self.waiters.wake(name);
        }
        Ok(released)
    }

    async fn lease_left(&self, name: &Name) -> Result<Option<Duration>, StoreError> {
        Ok(self.shelves().lease_remaining(name, self.now_ms()))
    }

    async fn index(
        &self,
        name: &Name,
        tags: &[StoreTag],
        expires_at_ms: u64,
    ) -> Result<Over<Indexed>, StoreError> {
        let (indexed, displaced) = self.shelves().index(name, tags, expires_at_ms, self.now_ms());
        self.changed(&displaced);
        over(indexed)
    }

    async fn remove(&self, names: &[Name]) -> Result<Over<Removed>, StoreError> {
        let removed = self.shelves().remove(names, self.now_ms());
        self.changed(names);
        over(removed)
    }

    async fn walk(
        &self,
        tags: &[StoreTag],
        marking: Marking,
        remover: &dyn Remover,
    ) -> Result<Over<()>, StoreError> {
        for tag in tags {
            let walk = self.shelves().begin_walk(tag, marking, self.now_ms());
            let gone = remover.remove_members(&walk.names()).await;
            self.shelves().end_walk(tag, walk, &gone);
        }
        over(())
    }

    async fn announce(
        &self,
        _range: RangeId,
        intent: &Intent,
        hold: Duration,
    ) -> Result<Over<()>, StoreError> {
        self.shelves().announce(intent, hold, self.now_ms());
        over(())
    }

    async fn withdraw(&self, _range: RangeId, intent: &Intent) -> Result<(), StoreError> {
        self.shelves().withdraw(intent);
        Ok(())
    }

    async fn due(
        &self,
        _ranges: &[RangeId],
        hold: Duration,
    ) -> Result<Vec<(RangeId, Intent)>, StoreError> {
        let due = self.shelves().due(hold, self.now_ms());
        Ok(due.into_iter().map(|intent| (RangeId::FIRST, intent)).collect())
    }

    async fn settled(&self, name: &Name, at_most: Duration) {
        let mut waiter = self.waiters.register(name);
        let remaining = self.shelves().lease_remaining(name, self.now_ms());
        if let Some(remaining) = remaining {
            // Whether the time is over or the waiter was woken, the caller looks again.
            let _ = timeout(remaining.min(at_most), waiter.woken()).await;
        }
    }

    async fn beat(&self, _ranges: &[RangeId]) -> Result<Over<Beat>, StoreError> {
        over(Beat {
            epoch: Some(self.epoch),
            now_ms: self.now_ms(),
            is_primary: true,
            replicas: Replicas::None,
            range_versions: vec![self.ranges().version()],
        })
    }

    async fn confirm(&self) -> Result<Confirmation, StoreError> {
        Ok(Confirmation::Reached(Some(self.epoch)))
    }

    async fn relinked(&self, _since: LinkId) {
        std::future::pending().await
    }

    fn relink(&self, _why: &str) {}

    async fn read_ranges(&self, _ranges: &[RangeId]) -> Result<Over<Vec<Range>>, StoreError> {
        over(vec![self.ranges().read(self.now_ms())])
    }

    async fn publish(
        &self,
        _ranges: &[RangeId],
        namings: &[Naming],
    ) -> Result<Over<Vec<Range>>, StoreError> {
        over(vec![self.ranges().publish(namings, self.now_ms())])
    }

    async fn raise(
        &self,
        _ranges: &[RangeId],
        scopes: &[FloorScope],
    ) -> Result<Over<()>, StoreError> {
        self.ranges().raise(scopes);
        over(())
    }

    async fn note_watched(&self, _ranges: &[RangeId], epoch: Epoch) -> Result<(), StoreError> {
        self.ranges().note_watched(epoch);
        Ok(())
    }

    async fn note_known(
        &self,
        _range: RangeId,
        _namings: &[(FloorScope, u64)],
    ) -> Result<(), StoreError> {
        Ok(())
    }

    async fn enlist(&self, card: &HostCard) -> Result<Listing, StoreError> {
        Ok(Listing { alive: vec![card.clone()], was_listed: true, is_alone: true })
    }

    async fn delist(&self, _id: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn note(&self, of: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.ranges().note(of, self.now_ms()))
    }

    async fn write_note(&self, of: &str, note: &[u8], lasts: Duration) -> Result<(), StoreError> {
        let now_ms = self.now_ms();
        self.ranges().write_note(of, note, until_ms(now_ms, lasts), now_ms);
        Ok(())
    }

    async fn replace_note(
        &self,
        of: &str,
        read: Option<&[u8]>,
        note: &[u8],
        lasts: Duration,
    ) -> Result<bool, StoreError> {
        let now_ms = self.now_ms();
        let mut ranges = self.ranges();
        let is_as_read = ranges.note(of, now_ms).as_deref() == read;
        if is_as_read {
            ranges.write_note(of, note, until_ms(now_ms, lasts), now_ms);
        }
        Ok(is_as_read)
    }

    fn now_ms(&self) -> u64 {
        self.started_ms + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }

    fn kind(&self) -> &'static str {
        "memory"
    }

    fn unreadable(&self) -> u64 {
        0
    }
}

/// The end of what is kept for `lasts` from now on.
fn until_ms(now_ms: u64, lasts: Duration) -> u64 {
    now_ms.saturating_add(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX))
}

/// This machine's clock, in milliseconds since the Unix epoch.
pub(crate) fn wall_clock_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX / 2)
}
