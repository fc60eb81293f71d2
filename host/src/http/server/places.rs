//! The places of a server's connections. When all are taken, a new connection gets the place of the one
//! that keeps the host waiting for longest. Connections that never had an answer go first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::notice::Notice;
use super::pulse::Pulse;

/// One look at all connections frees this part of the places: a look at ten thousand takes longer
/// than to accept one.
const PART: usize = 128;

/// The pause after a look that found no connection to send away, since each one is being answered.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The least time between two log lines that say that all places are taken.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// The bytes of answers that all clients of a server together may leave untaken. Beyond it, the server cuts
/// off clients that have taken nothing for at least [`STALLED`], the longest stalled first.
const UNTAKEN_BYTES: u64 = 256 << 20;

/// A client that has taken nothing for so long may be cut off when memory is short. A lost packet alone
/// delays a client for less.
const STALLED: Duration = Duration::from_secs(1);

/// From this size on, the untaken bytes of an answer count for the server. Counting smaller answers would
/// cost more than their bytes do.
const LARGE: u64 = 64 << 10;

/// The places of a server.
pub(super) struct ConnectionPlaces {
    began: Instant,
    limit: usize,
    free: Arc<Semaphore>,
    seated: Mutex<Seated>,
    /// The number of the next one.
    next: AtomicU64,
    /// Bytes of large answers that are not taken.
    untaken: AtomicU64,
    /// When the log last said that all places were taken.
    told_ms: AtomicU64,
}

struct Seated {
    /// The connections that have a place, by number.
    pulses: HashMap<u64, Arc<Pulse>>,
    /// What the server was told last.
    notice: Notice,
}

/// A connection's place. Dropped: free.
pub(super) struct ConnectionPlace {
    places: Arc<ConnectionPlaces>,
    pulse: Arc<Pulse>,
    id: u64,
    /// What was counted of this connection's answers.
    counted: u64,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionPlaces {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Arc::new(Self {
            began: Instant::now(),
            limit,
            free: Arc::new(Semaphore::new(limit)),
            seated: Mutex::new(Seated { pulses: HashMap::new(), notice: Notice::Serve }),
            next: AtomicU64::new(0),
            untaken: AtomicU64::new(0),
            told_ms: AtomicU64::new(0),
        })
    }

    /// A place, made free if need be. It ends without one only while every connection is being
    /// answered, and then it waits.
    pub(super) async fn get(self: &Arc<Self>) -> ConnectionPlace {
        loop {
            let permit = Arc::clone(&self.free).acquire_owned();
            if self.free.available_permits() == 0 {
                self.warn();
                self.make_room();
            }
            // The semaphore is never closed.
            if let Ok(Ok(permit)) = timeout(LOOK_AGAIN, permit).await {
                return self.seat(permit);
            }
        }
    }

    /// Says that all places are taken, once in a while.
    fn warn(&self) {
        let (now, told) = (self.count_ms(Instant::now()), self.told_ms.load(Ordering::Relaxed));
        if told == 0 || now.saturating_sub(told) > TELL_AGAIN.as_millis() as u64 {
            self.told_ms.store(now.max(1), Ordering::Relaxed);
            tracing::warn!(
                connections = self.limit,
                "every connection is taken, so those that keep this host waiting for longest are closed; \
                 max_connections and the limit on open files set how many there are"
            );
        }
    }

    fn seat(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> ConnectionPlace {
        let (pulse, places) = (Arc::new(Pulse::default()), Arc::clone(self));
        pulse.waits_since(Some(self.count_ms(Instant::now())));
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut seated = self.seated();
        pulse.tell(seated.notice);
        seated.pulses.insert(id, Arc::clone(&pulse));
        drop(seated);
        ConnectionPlace { places, pulse, id, counted: 0, _permit: permit }
    }

    fn seated(&self) -> MutexGuard<'_, Seated> {
        self.seated.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells every connection what the server is told, also those that come later.
    pub(super) fn tell(&self, notice: Notice) {
        let mut seated = self.seated();
        seated.notice = notice;
        seated.pulses.values().for_each(|pulse| pulse.tell(notice));
    }

    /// Waits until no connection has a place.
    pub(super) async fn are_free(&self) {
        let all = u32::try_from(self.limit).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _all = self.free.acquire_many(all).await;
    }

    /// Sends away the connections that keep the host waiting for longest.
    pub(super) fn make_room(&self) {
        let seated = self.seated();
        // A client that was sent away leaves in a moment; until then no other one is.
        if seated.pulses.values().any(|pulse| pulse.is_sent_away()) {
            return;
        }
        let mut waiting: Vec<_> = seated
            .pulses
            .values()
            .filter_map(|pulse| Some((pulse.is_proven(), pulse.waiting_since()?, pulse)))
            .collect();
        let count = (self.limit / PART).max(1).min(waiting.len());
        if count < waiting.len() {
            waiting.select_nth_unstable_by_key(count, |(proven, since, _)| (*proven, *since));
        }
        for (_, _, pulse) in &waiting[..count] {
            pulse.send_away();
        }
    }

    /// Cuts off the clients that have taken nothing for longest, until the untaken bytes are within the limit.
    fn shed(&self, now: Instant) {
        let mut excess = self.untaken.load(Ordering::Relaxed).saturating_sub(UNTAKEN_BYTES);
        let latest = self.count_ms(now.checked_sub(STALLED).unwrap_or(self.began));
        let seated = self.seated();
        let pulses = seated.pulses.values();
        let owing = pulses.filter(|pulse| pulse.owed() >= LARGE && !pulse.is_sent_away());
        let mut stalled: Vec<_> = owing
            .filter_map(|pulse| Some((pulse.waiting_since()?, pulse)))
            .filter(|(since, _)| *since <= latest)
            .collect();
        stalled.sort_unstable_by_key(|(since, _)| *since);
        for (_, pulse) in stalled {
            if excess == 0 {
                break;
            }
            pulse.send_away();
            excess = excess.saturating_sub(pulse.owed());
        }
    }

    /// Milliseconds of this server's life.
    fn count_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

impl ConnectionPlace {
    /// The counters of the connection that has this place.
    pub(super) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Notes since when the host waits for this client, and what it is owed.
    pub(super) fn note(&mut self, since: Option<Instant>) {
        self.pulse.waits_since(since.map(|since| self.places.count_ms(since)));
        let owed = Some(self.pulse.owed()).filter(|owed| *owed >= LARGE).unwrap_or(0);
        if owed == self.counted {
            return;
        }
        let (untaken, before) = (&self.places.untaken, self.counted);
        self.counted = owed;
        if owed < before {
            untaken.fetch_sub(before - owed, Ordering::Relaxed);
        } else if untaken.fetch_add(owed - before, Ordering::Relaxed) + owed - before
            > UNTAKEN_BYTES
        {
            self.places.shed(Instant::now());
        }
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.places.untaken.fetch_sub(self.counted, Ordering::Relaxed);
        self.places.seated().pulses.remove(&self.id);
    }
}
