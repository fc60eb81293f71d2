//! The results of a load, counted while it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::BenchError;
use super::wire::{HttpReply, WireError};

/// Latencies are kept to three significant digits.
const DIGITS: u8 = 3;

/// The longest latency that is told apart; longer ones count as this. Memory grows with its
/// logarithm.
const LONGEST_NS: u64 = 2 * 60 * 60 * 1_000_000_000;

/// The time over which throughput is counted: short enough to show a stall, long enough to hold
/// many answers.
pub(super) const BUCKET: Duration = Duration::from_millis(100);

/// What was counted of reads, or of writes.
#[derive(Debug, Clone)]
pub struct OneWay {
    /// Latencies of what was answered, in nanoseconds.
    pub latency: Histogram<u64>,
}

/// What became of the requests of a load.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Answered reads.
    pub reads: OneWay,
    /// Answered writes.
    pub writes: OneWay,
    /// Requests that failed, by what went wrong; a status of 400 and above is a failure.
    pub errors: BTreeMap<String, u64>,
    /// Reads that a cache answered, by their `Cache-Status` (RFC 9211).
    pub hits: u64,
    /// Of these, those that Corral answered from its near cache.
    pub near: u64,
    /// Reads that carried a `Cache-Status` at all.
    pub told: u64,
    /// Bytes of answers, their heads included.
    pub bytes: u64,
    /// Connections opened.
    pub connections: u64,
    /// Requests that were due on the schedule and could not be sent before the end.
    pub unsent: u64,
    /// Answers in each 100 ms.
    pub buckets: Vec<u32>,
    /// From the first request to the last answer.
    pub took: Duration,
}

impl Tally {
    pub(super) fn new() -> Result<Self, BenchError> {
        let lane =
            || Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).map(|latency| OneWay { latency });
        Ok(Self {
            reads: lane()?,
            writes: lane()?,
            errors: BTreeMap::new(),
            hits: 0,
            near: 0,
            told: 0,
            bytes: 0,
            connections: 0,
            unsent: 0,
            buckets: Vec::new(),
            took: Duration::ZERO,
        })
    }

    /// Counts a request that took `latency`, from when it was to be sent, and ended `ended` after
    /// the start of the load.
    pub(super) fn count(
        &mut self,
        is_write: bool,
        latency: Duration,
        ended: Duration,
        outcome: Result<HttpReply, WireError>,
    ) {
        self.took = self.took.max(ended);
        match outcome {
            Ok(reply) => {
                self.bytes += reply.bytes;
                self.connections += reply.connections;
                if reply.status >= 400 {
                    self.fail(format!("status {}", reply.status));
                }
                self.answered(is_write, latency, ended);
                if !is_write {
                    self.told += u64::from(reply.cache.is_told);
                    self.hits += u64::from(reply.cache.is_hit);
                    self.near += u64::from(reply.cache.is_near);
                }
            }
            Err(fault) => self.fail(fault.name().to_owned()),
        }
    }

    fn answered(&mut self, is_write: bool, latency: Duration, ended: Duration) {
        let lane = if is_write { &mut self.writes } else { &mut self.reads };
        lane.latency.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST_NS));
        let bucket = (ended.as_nanos() / BUCKET.as_nanos()) as usize;
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
    }

    fn fail(&mut self, kind: String) {
        *self.errors.entry(kind).or_default() += 1;
    }

    /// Adds what another thread counted at the same time.
    pub(super) fn merge(&mut self, other: &Self) {
        for (lane, more) in [(&mut self.reads, &other.reads), (&mut self.writes, &other.writes)] {
            // Both have the same bounds.
            let _same_bounds = lane.latency.add(&more.latency);
        }
        for (kind, count) in &other.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
        self.hits += other.hits;
        self.near += other.near;
        self.told += other.told;
        self.bytes += other.bytes;
        self.connections += other.connections;
        self.unsent += other.unsent;
        self.took = self.took.max(other.took);
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
    }

    /// Requests that were answered, with whatever status.
    #[must_use]
    pub fn answered_requests(&self) -> u64 {
        self.reads.latency.len() + self.writes.latency.len()
    }

    /// Requests that failed: without an answer, or with a status of 400 and above.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::CacheMark;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn reply(status: u16, cache: CacheMark) -> Result<HttpReply, WireError> {
        Ok(HttpReply { status, cache, bytes: 100, connections: 0 })
    }

    #[test]
    fn latencies_are_kept_to_three_digits() {
        let mut tally = Tally::new().unwrap();
        for nth in 1..=10_000_u32 {
            tally.count(false, MS * nth, MS * nth, reply(200, CacheMark::default()));
        }
        let at = |quantile: f64| tally.reads.latency.value_at_quantile(quantile) as f64 / 1e6;
        for quantile in [0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = quantile * 10_000.0;
            let off = (at(quantile) - exact).abs() / exact;
            assert!(off < 0.001, "{quantile}: {} is not {exact}", at(quantile));
        }
        assert_eq!(tally.answered_requests(), 10_000);
    }

    #[test]
    fn errors_are_counted_by_kind_and_bad_answers_among_them() {
        let mut tally = Tally::new().unwrap();
        for fault in [
            WireError::Connect,
            WireError::TimedOut,
            WireError::TimedOut,
            WireError::Closed,
            WireError::Malformed,
        ] {
            tally.count(false, MS, MS, Err(fault));
        }
        for status in [200, 304, 404, 503, 503] {
            tally.count(false, MS, MS, reply(status, CacheMark::default()));
        }
        let expected = [
            ("connect", 1),
            ("closed", 1),
            ("malformed", 1),
            ("status 404", 1),
            ("status 503", 2),
            ("timeout", 2),
        ];
        let mut expected: Vec<_> = expected.map(|(kind, count)| (kind.to_owned(), count)).into();
        expected.sort();
        assert_eq!(tally.errors.clone().into_iter().collect::<Vec<_>>(), expected);
        assert_eq!((tally.failed(), tally.answered_requests()), (8, 5));
    }

    #[test]
    fn threads_add_up() {
        let hit = CacheMark { is_told: true, is_hit: true, is_near: true };
        let (mut one, mut two) = (Tally::new().unwrap(), Tally::new().unwrap());
        one.count(false, MS, MS * 50, reply(200, hit));
        one.count(true, MS, MS * 250, reply(200, hit));
        two.count(false, MS * 9, MS * 30, reply(500, CacheMark::default()));
        two.count(false, MS, MS * 450, Err(WireError::Closed));
        one.merge(&two);
        assert_eq!((one.reads.latency.len(), one.writes.latency.len()), (2, 1));
        // Caches answer reads; the `Cache-Status` of a write is not counted.
        assert_eq!((one.hits, one.near, one.told), (1, 1, 1));
        assert_eq!(one.buckets, [2, 0, 1]);
        assert_eq!((one.failed(), one.bytes, one.took), (2, 300, MS * 450));
        assert_eq!(one.reads.latency.max() / 1_000_000, 9);
    }
}
