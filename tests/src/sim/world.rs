//! What the hosts of one schedule share.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::chance::Chance;
use super::climate::Climate;
use super::history::{Event, History};
use super::protection::Protection;
use super::shelf::Shelf;
use super::truth::Truth;
use super::weather::Weather;
use super::wire::Tracking;

/// The store's clock when a schedule begins.
pub(crate) const EPOCH_MS: u64 = 1_000_000_000;

/// The world of one schedule. Its locks are never contended: everything runs on one thread, and none
/// is held across an await.
pub(super) struct World {
    pub(super) climate: Climate,
    pub(super) chance: Chance,
    /// The protection that is missing.
    pub(super) missing: Option<Protection>,
    /// Which naming the policy in force gives.
    naming: AtomicU32,
    operations: AtomicU64,
    /// A lease ended, perhaps.
    pub(super) settled: Notify,
    began: Instant,
    shelf: Mutex<Shelf>,
    tracking: Mutex<Tracking>,
    truth: Mutex<Truth>,
    weather: Mutex<Weather>,
    history: Mutex<History>,
}

impl World {
    pub(super) fn new(
        climate: Climate,
        chance: Chance,
        missing: Option<Protection>,
        detailed: bool,
    ) -> Self {
        Self {
            climate,
            chance,
            missing,
            naming: AtomicU32::new(1),
            operations: AtomicU64::new(0),
            settled: Notify::new(),
            began: Instant::now(),
            shelf: Mutex::default(),
            tracking: Mutex::default(),
            truth: Mutex::new(Truth::new()),
            weather: Mutex::new(Weather::clear(climate.hosts)),
            history: Mutex::new(History::new(detailed)),
        }
    }

    pub(super) fn lacks(&self, protection: Protection) -> bool {
        self.missing == Some(protection)
    }

    /// Time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The store's clock. The origin's is the same: the schedule's own.
    pub(super) fn now_ms(&self) -> u64 {
        EPOCH_MS + u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX >> 1)
    }

    pub(super) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tracking(&self) -> MutexGuard<'_, Tracking> {
        self.tracking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After the shelf was changed: sends word to those who asked for it.
    pub(super) fn publish(&self) {
        let changes = self.shelf().take_changes();
        for change in &changes {
            self.tracking().tell(change, || self.leg());
        }
    }

    /// How long a message takes over an undisturbed link.
    pub(super) fn leg(&self) -> Duration {
        let slow = u64::try_from(self.climate.slow_link.as_millis()).unwrap_or(0);
        self.chance.millis(0, slow)
    }

    pub(super) fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations that reached the store.
    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    pub(super) fn count_operation(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn naming(&self) -> u32 {
        self.naming.load(Ordering::Relaxed)
    }

    pub(super) fn set_naming(&self, naming: u32) {
        self.naming.store(naming, Ordering::Relaxed);
    }

    /// Notes what happened.
    pub(super) fn note(&self, event: Event) {
        let at_ms = self.now_ms() - EPOCH_MS;
        self.history.lock().unwrap_or_else(PoisonError::into_inner).note(at_ms, event);
    }

    /// Notes what only a person wants to know.
    pub(super) fn remark(&self, remark: impl FnOnce() -> String) {
        let at_ms = self.now_ms() - EPOCH_MS;
        self.history.lock().unwrap_or_else(PoisonError::into_inner).remark(at_ms, remark);
    }

    pub(super) fn take_history(&self) -> History {
        std::mem::replace(
            &mut *self.history.lock().unwrap_or_else(PoisonError::into_inner),
            History::new(false),
        )
    }
}
