//! The store inside the process: the embedded default.

mod expiring;
mod shelves;

use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::time::{Instant, timeout};

use super::listeners::Listeners;
use super::waiters::Waiters;
use super::{
    Claim, Claimed, Envelope, Filled, Indexed, Intent, Key, Listener, Removed, Store, StoreError,
    Tag, Token, Tracked,
};
use shelves::Shelves;

/// How many values are kept unless said otherwise: some hundred megabytes of ordinary rows.
const DEFAULT_ENTRIES: usize = 100_000;

/// A store that lives and dies with its process. It is bounded by a number of entries; over it,
/// whatever ends soonest goes first. It never fails.
pub struct MemoryStore {
    shelves: Mutex<Shelves>,
    waiters: Waiters,
    listeners: Listeners,
    started: Instant,
    started_ms: u64,
}

impl MemoryStore {
    /// Room for `entries` values (at least one), as many leases and marks, and eight times as
    /// many tag memberships.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        Self {
            shelves: Mutex::new(Shelves::new(entries)),
            waiters: Waiters::default(),
            listeners: Listeners::default(),
            started: Instant::now(),
            started_ms: wall_clock_ms(),
        }
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After the shelves were changed, and while they are not locked.
    fn changed(&self, keys: &[Key]) {
        for key in keys {
            self.waiters.wake(key);
            self.listeners.changed(key.as_str());
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(DEFAULT_ENTRIES)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &Key) -> Result<Option<Envelope>, StoreError> {
        Ok(self.shelves().get(key, self.now_ms()))
    }

    async fn get_tracked(&self, key: &Key) -> Result<Tracked, StoreError> {
        Ok(Tracked { envelope: self.get(key).await?, heard: true })
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.listeners.add(listener);
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, StoreError> {
        Ok(self.shelves().claim(claim, self.now_ms()))
    }

    async fn fill(
        &self,
        key: &Key,
        token: Token,
        envelope: &Envelope,
    ) -> Result<Filled, StoreError> {
        let filled = self.shelves().fill(key, token, envelope, self.now_ms());
        if filled == Filled::Stored {
            self.changed(std::slice::from_ref(key));
        }
        Ok(filled)
    }

    async fn renew(&self, key: &Key, token: Token, lease: Duration) -> Result<bool, StoreError> {
        Ok(self.shelves().renew(key, token, lease, self.now_ms()))
    }

    async fn release(&self, key: &Key, token: Token) -> Result<bool, StoreError> {
        let released = self.shelves().release(key, token, self.now_ms());
        if released {
            self.waiters.wake(key);
        }
        Ok(released)
    }

    async fn lease_left(&self, key: &Key) -> Result<Option<Duration>, StoreError> {
        Ok(self.shelves().lease_remaining(key, self.now_ms()))
    }

    async fn invalidate_keys(&self, keys: &[Key]) -> Result<Removed, StoreError> {
        let removed = self.shelves().invalidate(keys, self.now_ms());
        self.changed(keys);
        Ok(removed)
    }

    async fn invalidate_tag(&self, tag: &Tag, mark: Duration) -> Result<Removed, StoreError> {
        let (removed, keys) = self.shelves().invalidate_tag(tag, mark, self.now_ms());
        self.changed(&keys);
        Ok(removed)
    }

    async fn index(&self, tag: &Tag, key: &Key, expires_at_ms: u64) -> Result<Indexed, StoreError> {
        let (indexed, displaced) = self.shelves().index(tag, key, expires_at_ms, self.now_ms());
        self.changed(displaced.as_slice());
        Ok(indexed)
    }

    async fn announce(&self, intent: &Intent, hold: Duration) -> Result<(), StoreError> {
        self.shelves().announce(intent, hold, self.now_ms());
        Ok(())
    }

    async fn withdraw(&self, intent: &Intent) -> Result<(), StoreError> {
        self.shelves().withdraw(intent);
        Ok(())
    }

    async fn due(&self, hold: Duration) -> Result<Vec<Intent>, StoreError> {
        Ok(self.shelves().due(hold, self.now_ms()))
    }

    async fn settled(&self, key: &Key, at_most: Duration) {
        let mut waiter = self.waiters.register(key);
        let remaining = self.shelves().lease_remaining(key, self.now_ms());
        if let Some(remaining) = remaining {
            // Over in time or woken: either way the caller looks again.
            let _ = timeout(remaining.min(at_most), waiter.woken()).await;
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
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

/// This machine's clock, milliseconds since the Unix epoch.
pub(super) fn wall_clock_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX / 2)
}
