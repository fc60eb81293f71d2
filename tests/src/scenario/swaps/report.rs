//! The report as a document and as a table.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::ensure;
use serde::Serialize;

use super::{Round, Spread, Throughput, Took};
use crate::scenario::{median, millis};

/// The median bucket with exchanges has at least this share of the one without.
const MEDIAN_BAR: f64 = 0.95;
/// The same for the bucket that has one in a hundred below it.
const P1_BAR: f64 = 0.85;
/// From the change until it is active, under load, for a policy seen before: the median in
/// milliseconds.
const SEEN_BAR_MS: f64 = 10.0;
/// The same for a policy never seen before, without load and under load.
const NEW_BARS_MS: [f64; 2] = [100.0, 400.0];

/// All sides.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Policies exchanged.
    pub corral: Side,
    /// VCLs exchanged.
    pub varnish: Option<Side>,
    /// A server that answers a constant, where nothing is exchanged.
    pub constant: Side,
}

/// One side.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// From the change to the first answer under it, without load.
    pub idle: Activations,
    /// The same under load.
    pub loaded: Activations,
    /// The same under load, for each way to exchange.
    pub by_way: BTreeMap<&'static str, Activations>,
    /// Without load: for a policy, one that was never seen before; for a VCL, one that was loaded
    /// before the measurement.
    pub other_idle: Activations,
    /// The same under load.
    pub other: Activations,
    /// Requests of the load.
    pub requests: usize,
    /// How many of those had no answer or a wrong one.
    pub failed: usize,
    /// What was wrong with the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failure: Option<String>,
    /// Requests in 100 ms with exchanges and without, in turn.
    pub rounds: Vec<Round>,
    /// The ratio of the median buckets, over the rounds.
    pub median_ratio: Spread,
    /// The same for the buckets that have one in a hundred below them.
    pub p1_ratio: Spread,
    /// Memory before the exchanges under load, in bytes.
    pub rss_before: u64,
    /// Memory after the exchanges, in bytes.
    pub rss_after: u64,
    /// The threads of the server, and how nice they are.
    pub nice: BTreeMap<String, i64>,
}

/// Times from the change to the first answer under it.
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
    /// The bars that were missed, and failures.
    #[must_use]
    pub fn missed(&self) -> Vec<String> {
        let side = &self.corral;
        let mut missed = Vec::new();
        let mut expect = |holds: bool, what: String| missed.extend((!holds).then_some(what));
        expect(side.failed == 0, format!("{} failed: {:?}", side.failed, side.first_failure));
        let ratios = [(side.median_ratio, MEDIAN_BAR), (side.p1_ratio, P1_BAR)];
        for (name, (ratio, bar)) in ["median bucket", "one bucket in a hundred"].iter().zip(ratios)
        {
            expect(ratio.median >= bar, format!("{name}: {ratio}, expected {bar}"));
        }
        let times = [
            ("seen before, under load", side.loaded, SEEN_BAR_MS),
            ("never seen, idle", side.other_idle, NEW_BARS_MS[0]),
            ("never seen, under load", side.other, NEW_BARS_MS[1]),
        ];
        for (name, took, bar) in times {
            expect(took.median_ms <= bar, format!("{name}: {took}, expected {bar} ms"));
        }
        missed
    }

    /// Fails if a request failed or nothing was measured.
    ///
    /// # Errors
    /// With what was broken.
    pub fn expect(&self) -> anyhow::Result<()> {
        let side = &self.corral;
        ensure!(side.failed == 0, "{self}\n{:?}", side.first_failure);
        let both = side.rounds.iter().flat_map(|round| [round.with, round.without]);
        let served = both.map(|through| through.median).min().unwrap_or(0);
        ensure!(served > 0, "{self}\nthere was no load");
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
        line("median bucket of 100 ms, with / without", &|side| side.median_ratio.to_string())?;
        line("one bucket in a hundred, with / without", &|side| side.p1_ratio.to_string())?;
        let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        line("memory before / after, MB", &|side| {
            format!("{} / {}", mb(side.rss_before), mb(side.rss_after))
        })?;
        for (way, activations) in &corral.by_way {
            writeln!(f, "corral, under load, by {way}: {activations}")?;
        }
        writeln!(f, "corral, never seen before, idle: {}", corral.other_idle)?;
        writeln!(f, "corral, never seen before, under load: {}", corral.other)?;
        if let Some(varnish) = varnish {
            writeln!(f, "varnish, under load, loaded before the clock ran: {}", varnish.other)?;
        }
        for (index, Round { without, with }) in corral.rounds.iter().enumerate() {
            writeln!(f, "corral, round {index}: with {with}, without {without}")?;
        }
        writeln!(f, "corral's threads, how nice: {:?}", corral.nice)?;
        let missed = self.missed();
        let verdict = if missed.is_empty() { "all bars are met".into() } else { missed.join("\n") };
        write!(f, "{verdict}")
    }
}

impl fmt::Display for Activations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {} ms", self.median_ms, self.worst_ms)
    }
}

impl fmt::Display for Throughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { buckets, median, worst, p1, .. } = self;
        write!(f, "median {median}, one in a hundred {p1}, worst {worst} of {buckets}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(median_ms: f64) -> Activations {
        Activations { count: 1, median_ms, ..Activations::default() }
    }

    fn spread(median: f64) -> Spread {
        Spread { median, ..Spread::default() }
    }

    /// A side whose figures are exactly at every bar.
    fn at_the_bars() -> Side {
        Side {
            idle: Activations::default(),
            loaded: took(SEEN_BAR_MS),
            by_way: BTreeMap::new(),
            other_idle: took(NEW_BARS_MS[0]),
            other: took(NEW_BARS_MS[1]),
            requests: 1,
            failed: 0,
            first_failure: None,
            rounds: Vec::new(),
            median_ratio: spread(MEDIAN_BAR),
            p1_ratio: spread(P1_BAR),
            rss_before: 0,
            rss_after: 0,
            nice: BTreeMap::new(),
        }
    }

    /// A report in which only Corral's side varies, since the others have no bars.
    fn report(corral: Side) -> Report {
        let slow = Side { failed: 9, other: took(9_999.0), ..at_the_bars() };
        Report { corral, varnish: Some(slow.clone()), constant: slow }
    }

    #[test]
    fn a_host_that_holds_every_bar_misses_none() {
        let report = report(at_the_bars());
        assert_eq!(report.missed(), Vec::<String>::new());
        assert!(report.to_string().ends_with("all bars are met"), "{report}");
    }

    #[test]
    fn each_bar_that_is_missed_is_named_and_no_other() {
        type Miss = fn(&mut Side);
        let misses: [(Miss, &str); 6] = [
            (|side| side.failed = 1, "1 failed: "),
            (|side| side.median_ratio.median -= 0.001, "median bucket: 0.949 "),
            (|side| side.p1_ratio.median -= 0.001, "one bucket in a hundred: 0.849 "),
            (|side| side.loaded.median_ms += 0.1, "seen before, under load: 10.1 "),
            (|side| side.other_idle.median_ms += 0.1, "never seen, idle: 100.1 "),
            (|side| side.other.median_ms += 0.1, "never seen, under load: 400.1 "),
        ];
        let mut all = at_the_bars();
        for (miss, named) in misses {
            let mut side = at_the_bars();
            miss(&mut side);
            let missed = report(side).missed();
            assert!(missed.len() == 1 && missed[0].starts_with(named), "{named}: {missed:?}");
            miss(&mut all);
        }
        let report = report(all);
        let missed = report.missed();
        assert!(missed.iter().zip(misses).all(|(missed, (_, named))| missed.starts_with(named)));
        assert_eq!(missed.len(), misses.len());
        assert!(report.to_string().ends_with(&missed.join("\n")), "{report}");
    }
}
