//! Whether a generation is fit to stay in force: its failures, judged as they happen.
//!
//! A failure is a call that trapped or an answer that the guard refused. It harms no request, since
//! the host decides conservatively instead. But such a request is loaded and not stored, so a
//! policy that goes on failing sends its reads to the origin. A judgement is made only at a
//! failure, so a policy without failures costs nothing here.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::policy::run::generation::Counts;

/// Failures that are enough on probation. The gate saw the policy answer thousands of calls without
/// a failure, so a single one may be an accident (a machine starved of memory), and a handful is
/// none.
pub(in crate::policy) const PROBATION_FAILURES: u64 = 5;

/// Probation also lasts for as many calls, however long they take: on a quiet host its time alone
/// would be over before a policy that fails at every thousandth call had failed a handful of times.
pub(in crate::policy) const PROBATION_CALLS: u64 = 10_000;

/// After probation, failures are judged by their rate in a window that is long enough for a rate to
/// mean something on a host of a few requests a second, and short enough to act within a minute.
pub(in crate::policy) const WINDOW: Duration = Duration::from_secs(10);

/// Fewer failures in a window are tolerated whatever their rate: a caller that repeats the single
/// request which a proven policy can't decide must not be able to remove that policy.
pub(in crate::policy) const WINDOW_FAILURES: u64 = 20;

/// The share of a window's calls that may fail, in hundredths. Beyond it more loads bypass the
/// store than early refresh and jitter ever cause, and the origin feels it.
pub(in crate::policy) const WINDOW_PERCENT: u64 = 1;

/// One stay of a generation in force, from its activation on, and how it is judged.
#[derive(Debug)]
pub(in crate::policy) struct Trial {
    began: Instant,
    probation: Duration,
    at_start: Counts,
    window: Instant,
    /// Calls and failures when the window began.
    calls: u64,
    failures: u64,
}

/// What is left of a probation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Probation {
    /// Time, in milliseconds.
    pub left_ms: u64,
    /// Calls.
    pub left_calls: u64,
}

impl Trial {
    /// `counts` are those of the generation as it comes into force: earlier failures are forgiven.
    pub(in crate::policy) fn new(now: Instant, probation: Duration, counts: Counts) -> Self {
        let (calls, failures) = (counts.calls, failures(counts));
        Self { began: now, probation, at_start: counts, window: now, calls, failures }
    }

    /// Whether it has failed too often, this time included.
    pub(in crate::policy) fn is_lost(&mut self, now: Instant, counts: Counts) -> bool {
        if self.probation(now, counts).is_some() {
            return failures(counts) - failures(self.at_start) >= PROBATION_FAILURES;
        }
        if now.duration_since(self.window) >= WINDOW {
            self.window = now;
            // The failure at hand belongs to the window that it opens.
            (self.calls, self.failures) = (counts.calls, failures(counts).saturating_sub(1));
        }
        let failed = failures(counts).saturating_sub(self.failures);
        let calls = counts.calls.saturating_sub(self.calls);
        failed >= WINDOW_FAILURES && failed * 100 >= calls * WINDOW_PERCENT
    }

    /// What is left of the probation; `None` if it is over.
    pub(in crate::policy) fn probation(&self, now: Instant, counts: Counts) -> Option<Probation> {
        let left = self.probation.saturating_sub(now.duration_since(self.began));
        let asked = counts.calls.saturating_sub(self.at_start.calls);
        let left_calls = PROBATION_CALLS.saturating_sub(asked);
        let over = self.probation.is_zero() || (left.is_zero() && left_calls == 0);
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        (!over).then_some(Probation { left_ms, left_calls })
    }
}

fn failures(counts: Counts) -> u64 {
    counts.traps + counts.refused
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBATION: Duration = Duration::from_secs(60);

    #[test]
    fn on_probation_a_handful_of_failures_is_enough_whatever_their_rate() {
        let began = Instant::now();
        let mut trial = Trial::new(began, PROBATION, Counts::default());
        for failed in 1..PROBATION_FAILURES {
            assert!(!trial.is_lost(began, counts(failed * 1_000, failed)));
        }
        assert!(trial.is_lost(began, counts(5_000, PROBATION_FAILURES)));
    }

    #[test]
    fn failures_before_an_activation_are_forgiven() {
        let began = Instant::now();
        let mut trial = Trial::new(began, PROBATION, counts(5_000, 4));
        assert!(!trial.is_lost(began, counts(5_001, 5)));
    }

    #[test]
    fn a_quiet_host_keeps_a_policy_on_probation_until_it_was_asked_enough() {
        let began = Instant::now();
        let mut trial = Trial::new(began, PROBATION, Counts::default());
        let late = began + 100 * PROBATION;
        assert!(trial.is_lost(late, counts(PROBATION_CALLS - 1, 5)));
        let mut trial = Trial::new(began, PROBATION, Counts::default());
        assert!(!trial.is_lost(late, counts(PROBATION_CALLS, 5)));
        assert_eq!(trial.probation(late, counts(PROBATION_CALLS, 5)), None);
    }

    #[test]
    fn a_proven_policy_fails_by_rate_and_not_by_number() {
        let began = Instant::now();
        let late = began + 2 * PROBATION;
        // One failure in a thousand calls, for a long time.
        let mut trial = Trial::new(began, PROBATION, Counts::default());
        for failed in 1..=10 * WINDOW_FAILURES {
            let calls = PROBATION_CALLS + failed * 1_000;
            assert!(!trial.is_lost(late, counts(calls, failed)), "{failed} of {calls}");
        }
        // One failure in fifty calls.
        let mut trial = Trial::new(began, PROBATION, counts(0, 0));
        assert!(!trial.is_lost(late, counts(PROBATION_CALLS, 1)));
        let lost = (2..=WINDOW_FAILURES)
            .map(|failed| trial.is_lost(late, counts(PROBATION_CALLS + failed * 50, failed)));
        assert_eq!(lost.filter(|lost| *lost).count(), 1, "the last of the window's");
    }

    #[test]
    fn failures_far_apart_are_not_added_up() {
        let began = Instant::now();
        let mut trial = Trial::new(began, PROBATION, counts(0, 0));
        let mut now = began + 2 * PROBATION;
        for failed in 1..=10 * WINDOW_FAILURES {
            assert!(!trial.is_lost(now, counts(PROBATION_CALLS + failed, failed)));
            now += WINDOW;
        }
    }

    #[test]
    fn without_a_probation_there_is_the_rate_alone() {
        let began = Instant::now();
        let mut trial = Trial::new(began, Duration::ZERO, Counts::default());
        assert_eq!(trial.probation(began, Counts::default()), None);
        assert!(!trial.is_lost(began, counts(10, 10)));
        assert!(trial.is_lost(began, counts(WINDOW_FAILURES, WINDOW_FAILURES)));
    }

    fn counts(calls: u64, traps: u64) -> Counts {
        Counts { calls, traps, refused: 0 }
    }
}
