//! Throughput in buckets of 100 ms.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Window;

const BUCKET: Duration = Duration::from_millis(100);

/// Enough buckets for six hours.
const BUCKETS: usize = 216_000;

/// Requests by the time at which they ended.
pub(super) struct Buckets {
    began: Instant,
    counts: Vec<AtomicU32>,
}

/// The throughput in a stretch of time.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Throughput {
    /// Whole buckets in it.
    pub buckets: usize,
    /// Requests in the median bucket.
    pub median: u32,
    /// Requests in the worst bucket.
    pub worst: u32,
    /// The worst bucket as a share of the median.
    pub worst_percent: f64,
    /// Requests in the bucket that has exactly one in a hundred buckets below it.
    pub p1: u32,
}

impl Buckets {
    pub(super) fn new() -> Self {
        let counts = (0..BUCKETS).map(|_| AtomicU32::new(0)).collect();
        Self { began: Instant::now(), counts }
    }

    /// Counts a request that ended now.
    pub(super) fn count(&self) {
        let at = (self.began.elapsed().as_millis() / BUCKET.as_millis()) as usize;
        if let Some(bucket) = self.counts.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The whole buckets within these stretches of time.
    pub(super) fn during(&self, windows: &[Window]) -> Throughput {
        let at = |moment: Instant| (moment - self.began).as_millis();
        let within = |&(from, to): &Window| {
            let first = at(from).div_ceil(BUCKET.as_millis()) as usize;
            let end = ((at(to) / BUCKET.as_millis()) as usize).min(BUCKETS);
            self.counts.get(first..end).unwrap_or_default()
        };
        let counts = windows.iter().flat_map(within);
        Throughput::of(counts.map(|count| count.load(Ordering::Relaxed)).collect())
    }
}

impl Throughput {
    fn of(mut counts: Vec<u32>) -> Self {
        counts.sort_unstable();
        let at = |part: usize| counts.get(counts.len() * part / 100).copied().unwrap_or(0);
        let (worst, p1, median) = (at(0), at(1), at(50));
        let percent = |count: u32| {
            let share = f64::from(count) / f64::from(median.max(1));
            (share * 1000.0).round() / 10.0
        };
        Self { buckets: counts.len(), median, worst, worst_percent: percent(worst), p1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_shows_as_an_empty_bucket() {
        let through = Throughput::of(vec![100, 98, 0, 102, 101]);
        assert_eq!((through.median, through.worst, through.worst_percent), (100, 0, 0.0));
    }

    #[test]
    fn only_whole_buckets_count() {
        let buckets = Buckets::new();
        buckets.count();
        let from = buckets.began + BUCKET / 2;
        assert_eq!(buckets.during(&[(from, from + BUCKET)]).buckets, 0);
        let whole = (buckets.began, buckets.began + BUCKET);
        assert_eq!(buckets.during(&[whole]).worst, 1);
        let next = (whole.1, whole.1 + BUCKET);
        assert_eq!(buckets.during(&[whole, next]).buckets, 2);
    }
}
