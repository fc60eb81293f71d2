//! A prediction and the reality: `corral policy diff --trace` predicts what two policies make of a
//! trace, and the same trace is replayed over HTTP under each.
//!
//! The prediction has to be given how long loads take, which depends on the machine. It gets the
//! times that answers took in the replay which were loaded for their request.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::fleet::Fleet;
use crate::replay::Replay;
use crate::servers::{Host, corral};
use crate::shop::{self, Shop};
use crate::trace::Trace;

/// Hosts over one store.
const HOSTS: usize = 2;

const CONNECTIONS: usize = 64;

/// How wrong a prediction may be, as a share of the reads.
pub const TOLERANCE: f64 = 0.02;

/// The entity: product pages that expire while the trace runs.
const ENTITY: &str = "product.brief";

/// A way to keep product pages.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// Its name in the report.
    pub name: &'static str,
    /// Lines of `[policy.settings]`.
    pub settings: &'static str,
    /// Lines of the entity.
    pub terms: &'static str,
}

/// Short lifetimes without jitter, early refresh and stale answers.
pub const STRICT: Keeping = Keeping {
    name: "fresh for 2 s, exactly, never early",
    settings: "jitter = 0\nearly_refresh = 0\n",
    terms: "ttl = \"2s\"\n",
};

/// Longer lifetimes, wide apart, refreshed early and answered stale for a while.
pub const LENIENT: Keeping = Keeping {
    name: "fresh for 6 s ± 50 %, refreshed early, stale for 6 s",
    settings: "jitter = 0.5\nearly_refresh = 1\n",
    terms: "ttl = \"6s\"\nstale_while_revalidate = \"6s\"\n",
};

/// One policy: the prediction and the reality.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// How it keeps product pages.
    pub keeping: &'static str,
    /// How long loads took, at evenly spaced ranks.
    pub costs_ms: Vec<u32>,
    /// What `policy diff` predicted.
    pub predicted: Figures,
    /// What the replay measured.
    pub real: Figures,
    /// The difference of the hit ratios.
    pub hits_apart: f64,
    /// The difference of the loads, as a share of the reads.
    pub loads_apart: f64,
}

/// The figures of a trace under a policy.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figures {
    /// Hits over reads.
    pub hit_ratio: f64,
    /// Loads of the origin.
    pub loads: u64,
}

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Reads of the trace.
    pub reads: usize,
    /// Accesses in a second.
    pub rate: f64,
    /// One line for each policy.
    pub lines: Vec<Line>,
}

impl Report {
    /// Whether every prediction was within [`TOLERANCE`].
    #[must_use]
    pub fn holds(&self) -> bool {
        self.lines.iter().all(|line| line.hits_apart < TOLERANCE && line.loads_apart < TOLERANCE)
    }
}

/// Predicts and replays.
///
/// # Errors
/// When a server does not come up, the command fails, or a request of the replay does.
pub async fn run(trace: &Trace, rate: f64) -> anyhow::Result<Report> {
    let shop = Shop { users: 1, orders: 1, products: trace.distinct().into_iter().collect() };
    let mut lines = Vec::new();
    for keeping in [STRICT, LENIENT] {
        let fleet = Fleet::start(HOSTS, &shop, &config(&keeping)?).await?;
        let replay = Replay {
            urls: fleet.urls(),
            admin_urls: fleet.admin_urls(),
            connections: CONNECTIONS,
            entity: ENTITY.to_owned(),
            rate: Some(rate),
        };
        let summary = replay.run(trace.clone(), || ()).await?;
        ensure!(summary.holds(), "the replay failed: {:?}", summary.examples);
        let loads = summary.origin_loads.context("the hosts count loads")?;
        let real = Figures { hit_ratio: summary.hit_ratio, loads };
        let costs_ms: Vec<u32> = summary.load_ms.iter().map(|ms| ms.round() as u32).collect();
        let host = fleet.hosts.first().context("a fleet has hosts")?;
        let files = configs(host, &keeping)?;
        // Of the two configurations that are compared, this one is that of these hosts.
        let predicted = predict(&files, trace, rate, &costs_ms).await?[lines.len()];
        lines.push(Line::new(keeping.name, costs_ms, predicted, real, summary.requests));
    }
    Ok(Report { reads: trace.accesses().len(), rate, lines })
}

impl Line {
    fn new(
        keeping: &'static str,
        costs_ms: Vec<u32>,
        predicted: Figures,
        real: Figures,
        reads: usize,
    ) -> Self {
        let loads_apart = predicted.loads.abs_diff(real.loads) as f64 / reads.max(1) as f64;
        let hits_apart = (predicted.hit_ratio - real.hit_ratio).abs();
        Self { keeping, costs_ms, predicted, real, hits_apart, loads_apart }
    }
}

/// The configuration of a host that keeps its values like this, and the same one under each [`Keeping`].
fn configs(host: &Host, keeping: &Keeping) -> anyhow::Result<[NamedTempFile; 2]> {
    let (text, own) = (std::fs::read_to_string(host.config_path())?, config(keeping)?);
    ensure!(text.contains(&own), "the host has another configuration: {text}");
    let under = |other: &Keeping| {
        let file = NamedTempFile::new()?;
        std::fs::write(file.path(), text.replace(&own, &config(other)?))?;
        anyhow::Ok(file)
    };
    Ok([under(&STRICT)?, under(&LENIENT)?])
}

/// What the command predicts for the same policy under two configurations.
async fn predict(
    configs: &[NamedTempFile; 2],
    trace: &Trace,
    rate: f64,
    costs_ms: &[u32],
) -> anyhow::Result<[Figures; 2]> {
    let file = NamedTempFile::new()?;
    let lines: Vec<String> = trace.accesses().iter().map(u32::to_string).collect();
    std::fs::write(file.path(), lines.join("\n"))?;
    let report = diff(configs, file.path(), rate, costs_ms).await?;
    let figures = |side: &str| {
        let of = |name: &str| report.pointer(&format!("/trace/{side}/{name}"));
        let hit_ratio = of("hit_ratio").and_then(Value::as_f64)?;
        Some(Figures { hit_ratio, loads: of("loads").and_then(Value::as_u64)? })
    };
    let both = figures("old").zip(figures("new"));
    both.map(|(old, new)| [old, new]).with_context(|| format!("no prediction in {report}"))
}

async fn diff(
    configs: &[NamedTempFile; 2],
    trace: &Path,
    rate: f64,
    costs_ms: &[u32],
) -> anyhow::Result<Value> {
    let [old, new] = configs;
    let mut command = tokio::process::Command::from(corral()?);
    command.args(["policy", "diff", "builtin", "builtin", "--json", "--entity", ENTITY]);
    command.arg("--config").arg(old.path()).arg("--new-config").arg(new.path());
    command.arg("--trace").arg(trace);
    let costs_ms: Vec<String> = costs_ms.iter().map(u32::to_string).collect();
    command.args(["--rate", &rate.to_string(), "--cost-ms", &costs_ms.join(",")]);
    let output = command.output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn config(keeping: &Keeping) -> anyhow::Result<String> {
    let Keeping { settings, terms, .. } = keeping;
    let read = shop::statement("product.page")?;
    Ok(format!(
        "\n[policy.settings]\n{settings}\n[entity.\"{ENTITY}\"]\nparams = [\"id:int8\"]\n\
         read = \"{read}\"\n{terms}deadline = \"10s\"\n"
    ))
}
