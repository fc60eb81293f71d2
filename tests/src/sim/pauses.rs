//! Hosts that are frozen: nothing that one does goes on until it thaws, and its clock counts that time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corral_host::cache::Clock;
use tokio::time::{Instant, sleep_until};

use super::protection::Protection;
use super::world::World;

/// When each host thaws, and how long it was frozen in all.
pub(super) struct Pauses(Mutex<Vec<Pause>>);

#[derive(Clone, Copy)]
struct Pause {
    until: Instant,
    total: Duration,
}

impl Pauses {
    pub(super) fn new(hosts: usize) -> Self {
        let none = Pause { until: Instant::now(), total: Duration::ZERO };
        Self(Mutex::new(vec![none; hosts]))
    }

    /// Freezes a host.
    pub(super) fn freeze(&self, host: usize, lasts: Duration) {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pauses[host].until = Instant::now() + lasts;
        pauses[host].total += lasts;
    }

    fn of(&self, host: usize) -> Pause {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[host]
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
