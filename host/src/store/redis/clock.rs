//! This host's estimate of the store's clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::store::memory::wall_clock_ms;

/// In so many milliseconds a sample's error grows by one: quartz clocks drift by less than 100 ppm, and two
/// of them drift apart here.
const DRIFT_PERIOD_MS: f64 = 5000.0;

/// The resolution of the server's answer.
const RESOLUTION_MS: f64 = 1.0;

/// By how much an estimate may lie behind the one before it and still be a correction. One that lies further
/// back shows that the store's clock was set.
const STEP_MS: u64 = 1_000;

/// Follows the store's clock by the times in its answers and a monotonic local clock.
///
/// The store read its clock between the sending of a call and the arrival of its answer. The best estimate is
/// halfway, with an error of half the round trip at most. The sample with the smallest error counts, until
/// its error has grown beyond that of a new sample, or until the two contradict each other because the
/// store's clock was set.
pub(super) struct StoreClock {
    zero: Instant,
    sample: Mutex<Option<ClockSample>>,
    latest_ms: AtomicU64,
}

#[derive(Clone, Copy)]
struct ClockSample {
    /// The store's clock minus the local one.
    offset_ms: f64,
    error_ms: f64,
    /// The local clock when the sample was taken.
    at_ms: f64,
}

impl ClockSample {
    fn error_at(&self, now_ms: f64) -> f64 {
        self.error_ms + (now_ms - self.at_ms).max(0.0) / DRIFT_PERIOD_MS
    }
}

impl StoreClock {
    pub(super) fn new() -> Self {
        Self { zero: Instant::now(), sample: Mutex::new(None), latest_ms: AtomicU64::new(0) }
    }

    /// Takes in an answer of the store to a call that was sent at `sent` and answered just now.
    pub(super) fn observe(&self, store_ms: u64, sent: Instant) {
        self.observe_at(store_ms, sent.duration_since(self.zero), self.zero.elapsed());
    }

    fn observe_at(&self, store_ms: u64, sent: Duration, answered: Duration) {
        let (sent_ms, answered_ms) = (sent.as_secs_f64() * 1e3, answered.as_secs_f64() * 1e3);
        let new = ClockSample {
            offset_ms: store_ms as f64 + RESOLUTION_MS / 2.0 - (sent_ms + answered_ms) / 2.0,
            error_ms: (answered_ms - sent_ms + RESOLUTION_MS) / 2.0,
            at_ms: answered_ms,
        };
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        let keep_old = sample.is_some_and(|old| {
            let old_error_ms = old.error_at(answered_ms);
            let agree = (old.offset_ms - new.offset_ms).abs() <= old_error_ms + new.error_ms;
            agree && old_error_ms < new.error_ms
        });
        if !keep_old {
            *sample = Some(new);
        }
    }

    /// The estimate. It stands still where a better sample puts it back a little, and follows where the
    /// store's clock was set back (race N). Until the store has answered, it is this machine's clock, which
    /// later estimates do not depend on.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_at(self.zero.elapsed()).unwrap_or_else(wall_clock_ms)
    }

    fn now_at(&self, local: Duration) -> Option<u64> {
        let sample = (*self.sample.lock().unwrap_or_else(PoisonError::into_inner))?;
        let estimate_ms = (local.as_secs_f64() * 1e3 + sample.offset_ms) as u64;
        let latest_ms = self.latest_ms.fetch_max(estimate_ms, Ordering::Relaxed).max(estimate_ms);
        if latest_ms - estimate_ms <= STEP_MS {
            return Some(latest_ms);
        }
        self.latest_ms.store(estimate_ms, Ordering::Relaxed);
        Some(estimate_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR_2033_MS: u64 = 2_000_000_000_000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_store_is_taken_to_have_looked_halfway() {
        let clock = StoreClock::new();
        clock.observe_at(YEAR_2033_MS, ms(100), ms(120));
        assert_eq!(clock.now_at(ms(120)), Some(YEAR_2033_MS + 10));
    }

    #[test]
    fn a_slow_answer_does_not_spoil_a_good_estimate() {
        let clock = StoreClock::new();
        clock.observe_at(YEAR_2033_MS, ms(100), ms(101));
        clock.observe_at(YEAR_2033_MS + 1, ms(101), ms(501));
        assert_eq!(clock.now_at(ms(501)), Some(YEAR_2033_MS + 401));
    }

    #[test]
    fn an_old_estimate_gives_way_to_a_less_exact_new_one() {
        let clock = StoreClock::new();
        clock.observe_at(YEAR_2033_MS, ms(0), ms(0));
        let hour_ms = 3_600_000;
        clock.observe_at(YEAR_2033_MS + hour_ms - 200, ms(hour_ms - 50), ms(hour_ms + 50));
        assert_eq!(clock.now_at(ms(hour_ms + 1000)), Some(YEAR_2033_MS + hour_ms + 800));
    }

    #[test]
    fn it_stands_still_for_a_correction_and_follows_steps_in_both_directions() {
        let clock = StoreClock::new();
        clock.observe_at(YEAR_2033_MS, ms(0), ms(2));
        assert_eq!(clock.now_at(ms(101)), Some(YEAR_2033_MS + 100));
        clock.observe_at(YEAR_2033_MS - 500, ms(100), ms(102));
        assert_eq!(clock.now_at(ms(102)), Some(YEAR_2033_MS + 100));
        clock.observe_at(YEAR_2033_MS - 5000, ms(102), ms(104));
        assert_eq!(clock.now_at(ms(104)), Some(YEAR_2033_MS - 4999));
        clock.observe_at(YEAR_2033_MS + 9000, ms(104), ms(106));
        assert_eq!(clock.now_at(ms(106)), Some(YEAR_2033_MS + 9001));
    }

    #[test]
    fn before_the_first_answer_it_is_the_wall_clock_and_that_does_not_count() {
        let clock = StoreClock::new();
        assert!(clock.now_ms().abs_diff(wall_clock_ms()) < 1000);
        clock.observe_at(5000, ms(0), ms(0));
        assert_eq!(clock.now_at(ms(10)), Some(5010));
    }
}
