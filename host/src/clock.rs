//! The clock by which trust is measured. It never goes back, and it counts the time for which the
//! machine is suspended.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// A clock; a part of the cache like store and origin, so that a simulation can hand in its own.
pub trait Clock: Send + Sync {
    /// Time since some moment that is the same for the whole life of the clock.
    fn now(&self) -> Duration;
}

/// The machine's clock: the time since it was booted.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        let now = clock_gettime(ClockId::Boottime);
        Duration::new(now.tv_sec.cast_unsigned(), u32::try_from(now.tv_nsec).unwrap_or_default())
    }
}

/// The clock of the tokio runtime, which tests can pause and advance.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeClock(Instant);

impl Default for RuntimeClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
