//! A tally as numbers for people and programs. Programs read them by name, so the names must stay.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::tally::BUCKET;
use super::{LoadPlan, Pace, Soak, Tally};

/// The results of a load.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "each name says it, with its unit")]
pub struct BenchReport {
    pub urls: Vec<String>,
    pub workload: String,
    pub connections: usize,
    /// The rate of an open loop, per second; `None` for a closed loop.
    pub rate: Option<f64>,
    pub seconds: f64,
    /// Answered, with whatever status.
    pub requests: u64,
    pub requests_per_second: f64,
    /// Without an answer, or with a status of 400 and above.
    pub failed: u64,
    pub errors: BTreeMap<String, u64>,
    /// Due on the schedule of an open loop, and not sent before its end.
    pub unsent: u64,
    /// Of reads; `None` if nothing was read.
    pub latency: Option<Latency>,
    /// Of writes; `None` if nothing was written.
    pub write_latency: Option<Latency>,
    pub throughput: Throughput,
    /// The share of reads that a cache answered; `None` if no answer had a `Cache-Status`.
    pub hit_ratio: Option<f64>,
    /// The share that Corral answered from its near cache.
    pub near_ratio: Option<f64>,
    pub bytes: u64,
    pub connections_opened: u64,
    /// What the hosts counted meanwhile; `None` if they were not asked.
    pub hosts: Option<Counted>,
    /// What the watched processes used; `None` if no process was watched.
    pub server_cpu_us_per_request: Option<f64>,
    pub server_memory: Option<Soak>,
    /// What the generator itself used; `None` if this system does not tell.
    pub generator_cpu_us_per_request: Option<f64>,
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each name says it, with its unit")]
pub struct Latency {
    pub mean_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p99_9_us: f64,
    pub max_us: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let us = |ns: u64| ns as f64 / 1000.0;
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        (!histogram.is_empty()).then(|| Self {
            mean_us: histogram.mean() / 1000.0,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            max_us: us(histogram.max()),
        })
    }
}

/// Answers per 100 ms, as a rate per second, without the last, partial bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each name says it, with its unit")]
pub struct Throughput {
    pub bucket_ms: u64,
    pub median_per_second: f64,
    pub worst_per_second: f64,
}

impl Throughput {
    fn of(buckets: &[u32]) -> Self {
        let mut full = buckets[..buckets.len().saturating_sub(1)].to_vec();
        full.sort_unstable();
        let rate =
            |count: Option<&u32>| f64::from(count.copied().unwrap_or(0)) / BUCKET.as_secs_f64();
        Self {
            bucket_ms: BUCKET.as_millis() as u64,
            median_per_second: rate(full.get(full.len() / 2)),
            worst_per_second: rate(full.first()),
        }
    }
}

/// What Corral's metrics counted during a load, over all hosts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each name says it")]
pub struct Counted {
    pub origin_loads: u64,
    pub policy_calls: u64,
    /// `None` where the hosts do not count store calls.
    pub store_calls: Option<u64>,
}

impl BenchReport {
    /// The numbers of a tally.
    #[must_use]
    pub fn new(plan: &LoadPlan, tally: &Tally) -> Self {
        let (seconds, reads) = (tally.took.as_secs_f64(), tally.reads.latency.len());
        let requests = tally.answered_requests();
        let share = |count: u64| (tally.told > 0).then(|| count as f64 / reads.max(1) as f64);
        Self {
            urls: plan.targets.iter().map(|target| target.url.clone()).collect(),
            workload: plan.keys.describe(),
            connections: plan.connections,
            rate: match plan.pace {
                Pace::Closed => None,
                Pace::Open { per_second } => Some(per_second),
            },
            seconds,
            requests,
            requests_per_second: if seconds > 0.0 { requests as f64 / seconds } else { 0.0 },
            failed: tally.failed(),
            errors: tally.errors.clone(),
            unsent: tally.unsent,
            latency: Latency::of(&tally.reads.latency),
            write_latency: Latency::of(&tally.writes.latency),
            throughput: Throughput::of(&tally.buckets),
            hit_ratio: share(tally.hits),
            near_ratio: share(tally.near),
            bytes: tally.bytes,
            connections_opened: tally.connections,
            hosts: None,
            server_cpu_us_per_request: None,
            server_memory: None,
            generator_cpu_us_per_request: None,
        }
    }

    /// Seconds of processor time as microseconds for each request.
    #[must_use]
    pub fn per_request_us(&self, cpu_seconds: f64) -> f64 {
        cpu_seconds * 1e6 / self.requests.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_shows_in_the_worst_bucket_and_the_last_one_is_no_stall() {
        let throughput = Throughput::of(&[100, 90, 10, 110, 100, 3]);
        assert_eq!((throughput.median_per_second, throughput.worst_per_second), (1000.0, 100.0));
        assert_eq!(Throughput::of(&[5]).median_per_second, 0.0);
        assert_eq!(Throughput::of(&[]).worst_per_second, 0.0);
    }

    #[test]
    fn latencies_are_told_in_microseconds() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        assert_eq!(Latency::of(&histogram), None);
        for us in 1..=1000 {
            histogram.record(us * 1000).unwrap();
        }
        let latency = Latency::of(&histogram).unwrap();
        let close = |value: f64, expected: f64| (value - expected).abs() <= expected / 500.0;
        assert!(close(latency.p50_us, 500.0) && close(latency.p99_9_us, 999.0), "{latency:?}");
        assert!(close(latency.max_us, 1000.0) && close(latency.mean_us, 500.5), "{latency:?}");
    }
}
