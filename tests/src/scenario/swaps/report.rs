//! What came of it, as a document and as a table.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::ensure;
use serde::Serialize;

use super::{Throughput, Took};
use crate::scenario::{median, millis};

/// All sides.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Policies exchanged.
    pub corral: Side,
    /// VCLs exchanged.
    pub varnish: Option<Side>,
    /// Nothing exchanged, in a server that answers a constant.
    pub constant: Side,
}

/// One side.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// From the change to the first answer under it, without load.
    pub idle: Activations,
    /// The same under load.
    pub loaded: Activations,
    /// That, for each way to change it.
    pub by_way: BTreeMap<&'static str, Activations>,
    /// Under load too: for a policy, one that was never there before; for a VCL, one that was
    /// loaded before the clock ran.
    pub other: Activations,
    /// Requests of the load.
    pub requests: usize,
    /// Of those, how many had no answer or a wrong one.
    pub failed: usize,
    /// What was wrong with the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failure: Option<String>,
    /// Requests in 100 ms, before the exchanges.
    pub before: Throughput,
    /// And during them.
    pub swapping: Throughput,
    /// How long the exchanges under load took.
    pub seconds: f64,
    /// Memory before the exchanges under load, in bytes.
    pub rss_before: u64,
    /// And after them.
    pub rss_after: u64,
}

/// How long it took from the change to the first answer under it.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Activations {
    /// Exchanges.
    pub count: usize,
    /// The median.
    pub median_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The slowest.
    pub worst_ms: f64,
}

impl Activations {
    pub(super) fn of(took: &[Took]) -> Self {
        let mut times: Vec<f64> = took.iter().map(|took| millis(took.time)).collect();
        times.sort_by(f64::total_cmp);
        let p99_ms = times.get(times.len() * 99 / 100).copied().unwrap_or(0.0);
        let worst_ms = times.last().copied().unwrap_or(0.0);
        Self { count: times.len(), median_ms: median(times), p99_ms, worst_ms }
    }

    pub(super) fn by_way(took: &[Took]) -> BTreeMap<&'static str, Self> {
        let mut ways: BTreeMap<&'static str, Vec<Took>> = BTreeMap::new();
        for took in took {
            ways.entry(took.way).or_default().push(*took);
        }
        ways.into_iter().map(|(way, took)| (way, Self::of(&took))).collect()
    }
}

impl Report {
    /// No request failed on our side.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.corral.failed == 0
    }

    /// Fails with what was broken.
    ///
    /// # Errors
    /// When it does not hold.
    pub fn expect(&self) -> anyhow::Result<()> {
        ensure!(self.holds(), "{self}\n{:?}", self.corral.first_failure);
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (corral, varnish) = (&self.corral, self.varnish.as_ref());
        writeln!(f, "{:<42} {:>24} {:>24} {:>24}", "", "Corral", "Varnish", "a constant")?;
        let mut line = |name: &str, of: &dyn Fn(&Side) -> String| {
            let beside = [varnish.map_or("-".into(), of), of(&self.constant)];
            writeln!(f, "{name:<42} {:>24} {:>24} {:>24}", of(corral), beside[0], beside[1])
        };
        line("", &|side| format!("{} exchanges", side.loaded.count))?;
        line("requests", &|side| side.requests.to_string())?;
        line("failed or dropped", &|side| side.failed.to_string())?;
        line("change to active, idle: median / worst", &|side| side.idle.to_string())?;
        line("under load: median / worst", &|side| side.loaded.to_string())?;
        line("requests in 100 ms before: median / worst", &|side| side.before.to_string())?;
        line("while exchanging: median / worst", &|side| side.swapping.to_string())?;
        line("  one bucket in a hundred is below", &|side| {
            format!("{} %", side.swapping.p1_percent)
        })?;
        let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        line("memory before / after, MB", &|side| {
            format!("{} / {}", mb(side.rss_before), mb(side.rss_after))
        })?;
        line("exchanges took, s", &|side| format!("{:.1}", side.seconds))?;
        writeln!(f, "corral, under load, never seen before: {}", corral.other)?;
        for (way, activations) in &corral.by_way {
            writeln!(f, "corral, under load, by {way}: {activations}")?;
        }
        varnish.map_or(Ok(()), |side| {
            write!(f, "varnish, under load, loaded before the clock ran: {}", side.other)
        })
    }
}

impl fmt::Display for Activations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {} ms", self.median_ms, self.worst_ms)
    }
}

impl fmt::Display for Throughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {} ({} %)", self.median, self.worst, self.worst_percent)
    }
}
