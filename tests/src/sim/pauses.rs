//! Frozen hosts: nothing in a frozen host goes on until it thaws, but its clock counts the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corral_host::cache::Clock;
use tokio::time::{Instant, sleep_until};

use super::protection::Protection;
use super::world::World;

/// When each host thaws, and how long it was frozen in all.
pub(super) struct Pauses {
    by_host: Mutex<Vec<Pause>>,
    /// Set when no host freezes any more.
    ended: AtomicBool,
}

#[derive(Clone, Copy)]
struct Pause {
    until: Instant,
    total: Duration,
}

impl Pauses {
    pub(super) fn new(hosts: usize) -> Self {
        let none = Pause { until: Instant::now(), total: Duration::ZERO };
        Self { by_host: Mutex::new(vec![none; hosts]), ended: AtomicBool::new(false) }
    }

    /// Freezes a host, or freezes it for longer.
    pub(super) fn freeze(&self, host: usize, lasts: Duration) {
        if self.ended.load(Ordering::Relaxed) {
            return;
        }
        let mut pauses = self.by_host.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, pause) = (Instant::now(), &mut pauses[host]);
        let (from, until) = (pause.until.max(now), pause.until.max(now + lasts));
        *pause = Pause { until, total: pause.total + (until - from) };
    }

    /// From now on no host freezes.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether a host is frozen now.
    pub(super) fn is_frozen(&self, host: usize) -> bool {
        Instant::now() < self.of(host).until
    }

    fn of(&self, host: usize) -> Pause {
        self.by_host.lock().unwrap_or_else(PoisonError::into_inner)[host]
    }

    /// Returns when the host is not frozen.
    pub(super) async fn over(&self, host: usize) {
        loop {
            let until = self.of(host).until;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// A host's clock, which goes on while the host is frozen.
pub(super) struct HostClock {
    pub(super) world: Arc<World>,
    pub(super) host: usize,
}

impl Clock for HostClock {
    fn now(&self) -> Duration {
        let now = self.world.elapsed();
        if !self.world.lacks(Protection::ClockCountsPauses) {
            return now;
        }
        let Pause { until, total } = self.world.pauses.of(self.host);
        let left = until.saturating_duration_since(Instant::now());
        now.saturating_sub(total.saturating_sub(left))
    }
}
