//! One load on one server, and what it cost.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use corral_host::bench::{
    BenchReport, Keys, LoadPlan, LoadTarget, LoadWatch, MAX_TIME, Pace, ResourceUsage, run,
};
use serde::Serialize;

use super::item;

/// Connections that fill a cache.
const FILL_CONNECTIONS: usize = 64;

/// How a server is loaded.
#[derive(Debug, Clone)]
pub struct Load {
    /// URL templates; connections are assigned to them in turn.
    pub urls: Vec<String>,
    /// Things 1 to `keys` are asked for.
    pub keys: u64,
    /// Connections.
    pub connections: usize,
    /// How fast.
    pub pace: Pace,
    /// For how long.
    pub time: Duration,
}

impl Load {
    /// A closed loop over the things that all servers have. `url` ends where the number begins.
    #[must_use]
    pub fn closed(url: &str, connections: usize, time: Duration) -> Self {
        let urls = vec![format!("{url}{{n}}")];
        Self { urls, keys: item::KEYS, connections, pace: Pace::Closed, time }
    }

    /// The same on a schedule.
    #[must_use]
    pub fn open(url: &str, per_second: f64, time: Duration) -> Self {
        let pace = Pace::Open { per_second: per_second.max(1.0) };
        Self { pace, ..Self::closed(url, 64, time) }
    }

    /// Runs the load and returns its outcome, without measuring what it cost.
    ///
    /// # Errors
    /// When it can't be run, or a request failed.
    pub async fn run(&self) -> anyhow::Result<BenchReport> {
        let report = self.run_whatever_fails().await?;
        ensure!(report.failed == 0, "{:?} failed: {:?}", report.urls, report.errors);
        Ok(report)
    }

    /// The same, but failed requests are only counted.
    ///
    /// # Errors
    /// When it can't be run.
    pub async fn run_whatever_fails(&self) -> anyhow::Result<BenchReport> {
        let targets = self.urls.iter().map(|url| LoadTarget::get(url, &[]));
        let mut plan = LoadPlan::new(targets.collect::<Result<_, _>>()?, Keys::Uniform(self.keys));
        (plan.connections, plan.pace, plan.time) = (self.connections, self.pace, self.time);
        let work = move || {
            let tally = run(&plan, &Arc::new(LoadWatch::default()))?;
            anyhow::Ok(BenchReport::new(&plan, &tally))
        };
        tokio::task::spawn_blocking(work).await?
    }

    /// Runs the load, and reads what these processes and their children used meanwhile.
    ///
    /// # Errors
    /// As [`Load::run`], and when a process is gone.
    pub async fn costing(&self, server: &[u32], redis: Option<u32>) -> anyhow::Result<Sample> {
        let redis: Vec<u32> = redis.into_iter().collect();
        let usage = || {
            // All servers are children of this process, so only its own time counts, without its
            // children's.
            let own = ResourceUsage::of(std::process::id());
            let used =
                [ResourceUsage::of_families(server), ResourceUsage::of_families(&redis), own];
            used.into_iter().collect::<Result<Vec<_>, _>>().context("what a server used")
        };
        let before = usage()?;
        let report = self.run().await?;
        let after = usage()?;
        let spent =
            |at: usize| report.per_request_us(after[at].cpu_seconds - before[at].cpu_seconds);
        let latency = report.latency.context("nothing was answered")?;
        Ok(Sample {
            requests_per_second: report.requests_per_second,
            p50_us: latency.p50_us,
            p99_us: latency.p99_us,
            p99_9_us: latency.p99_9_us,
            max_us: latency.max_us,
            unsent: report.unsent as f64,
            cpu_us: spent(0),
            redis_cpu_us: spent(1),
            generator_cpu_us: spent(2),
            memory_mib: after[0].memory_kib as f64 / 1024.0,
        })
    }
}

/// The outcome and the cost of one load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each name says it, with its unit; CPU is per request")]
pub struct Sample {
    pub requests_per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p99_9_us: f64,
    pub max_us: f64,
    pub unsent: f64,
    pub cpu_us: f64,
    pub redis_cpu_us: f64,
    pub generator_cpu_us: f64,
    pub memory_mib: f64,
}

/// Asks for things 1 to `size`, each once, however long that takes. `url` has `{n}` for the number.
///
/// # Errors
/// When a request fails.
pub async fn fill(url: &str, size: u64) -> anyhow::Result<()> {
    fill_over(FILL_CONNECTIONS, url, size).await
}

/// The same over so many connections.
///
/// # Errors
/// As [`fill`].
pub async fn fill_over(connections: usize, url: &str, size: u64) -> anyhow::Result<()> {
    let mut plan =
        LoadPlan::new(vec![LoadTarget::get(url, &[])?], Keys::Trace((1..=size).collect()));
    (plan.connections, plan.requests, plan.time) = (connections, size, MAX_TIME);
    let work = move || run(&plan, &Arc::new(LoadWatch::default()));
    let tally = tokio::task::spawn_blocking(work).await??;
    ensure!(tally.failed() == 0, "filling failed: {:?}", tally.errors);
    ensure!(tally.answered_requests() == size, "{} were filled", tally.answered_requests());
    Ok(())
}
