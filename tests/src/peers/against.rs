//! This `corral` beside an earlier one: what a hit costs each of them.
//!
//! Each is started anew in each round, in turn, over the same Redis and Postgres. Instructions are
//! counted by callgrind, of a host that answers one connection.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tokio::time::sleep;

use super::compare::Effort;
use super::measure::{Load, Sample, fill, fill_over};
use super::numbers::Spread;
use super::peer::threads;
use super::rig::Rig;
use super::{install, item};
use crate::servers::{Host, Metrics, corral};

/// Connections of the closed loop.
const CONNECTIONS: usize = 64;

/// How long a host is loaded before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// The share of reads that another layer may answer, because of an early refresh or a sweep.
const OTHERS: f64 = 0.001;

/// How often everything is read before the measurement: first loaded, then found in the store, then
/// found in the near cache.
const PASSES: usize = 3;

/// What answers a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The store.
    Store,
    /// The near cache.
    Near,
}

impl Layer {
    fn setting(self) -> &'static str {
        match self {
            Self::Store => "",
            Self::Near => "near = \"1h\"\n",
        }
    }

    fn outcome(self) -> &'static str {
        match self {
            Self::Store => "hit",
            Self::Near => "near",
        }
    }
}

/// The figures of one kind of hits.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// What answers them.
    pub layer: Layer,
    /// Threads of the host.
    pub threads: usize,
    /// The earlier program's figures.
    pub earlier: Cost,
    /// This program's figures.
    pub ours: Cost,
    /// Processor time of this one to that of the earlier one, round by round.
    pub cpu_ratio: Spread,
}

/// What hits cost one program, per request.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// Processor time, in microseconds.
    pub cpu_us: Spread,
    /// Requests a second.
    pub requests_per_second: Spread,
    /// Instructions of the host's process, without those of its work beside requests.
    pub instructions: f64,
}

/// Measures both programs. `told` is called with a line about each step.
///
/// # Errors
/// When a program does not come up, or answers anything but a hit.
pub async fn run(earlier: &Path, effort: Effort, told: &dyn Fn(&str)) -> anyhow::Result<Vec<Line>> {
    install::debian(&["valgrind"]).await?;
    let rig = Rig::start().await?;
    let ours = corral()?.get_program().to_owned();
    let programs = [earlier.as_os_str().to_owned(), ours];
    let mut lines = Vec::new();
    for layer in [Layer::Store, Layer::Near] {
        for threads in threads() {
            let kind = Kind { rig: &rig, layer, threads };
            told(&format!("hits: {layer:?}, {threads} threads"));
            lines.push(kind.line(&programs, effort).await?);
        }
    }
    Ok(lines)
}

struct Kind<'r> {
    rig: &'r Rig,
    layer: Layer,
    threads: usize,
}

impl Kind<'_> {
    async fn line(&self, programs: &[OsString; 2], effort: Effort) -> anyhow::Result<Line> {
        let mut samples = [Vec::new(), Vec::new()];
        for _ in 0..effort.rounds {
            for (program, samples) in programs.iter().zip(&mut samples) {
                let sample = self.sample(program, effort.time).await;
                samples.push(sample.with_context(|| program.display().to_string())?);
            }
        }
        let [earlier, ours] = &samples;
        let ratios = earlier.iter().zip(ours).map(|(earlier, ours)| ours.cpu_us / earlier.cpu_us);
        let cpu_ratio = Spread::of(ratios.collect()).context("there is a round")?;
        Ok(Line {
            layer: self.layer,
            threads: self.threads,
            earlier: self.cost(&programs[0], earlier).await?,
            ours: self.cost(&programs[1], ours).await?,
            cpu_ratio,
        })
    }

    async fn cost(&self, program: &OsString, samples: &[Sample]) -> anyhow::Result<Cost> {
        let spread = |of: fn(&Sample) -> f64| {
            Spread::of(samples.iter().map(of).collect()).context("there is a round")
        };
        Ok(Cost {
            cpu_us: spread(|sample| sample.cpu_us)?,
            requests_per_second: spread(|sample| sample.requests_per_second)?,
            instructions: self.instructions(program).await?,
        })
    }

    async fn sample(&self, program: &OsString, time: Duration) -> anyhow::Result<Sample> {
        let host = self.host(vec![program.clone()]).await?;
        let url = host.url("/read/item?id=");
        item::check(&url).await?;
        for _ in 0..PASSES {
            fill(&format!("{url}{{n}}"), item::KEYS).await?;
        }
        Load::closed(&url, CONNECTIONS, WARM_UP).run().await?;
        let pid = host.pid().context("the host runs")?;
        let before = host.metrics().await?;
        let sample = Load::closed(&url, CONNECTIONS, time).costing(&[pid], None).await?;
        self.were_hits(&before, &host.metrics().await?)?;
        Ok(sample)
    }

    async fn instructions(&self, program: &OsString) -> anyhow::Result<f64> {
        let folder = tempfile::tempdir()?;
        let counted = folder.path().join("counted");
        let mut file = OsString::from("--callgrind-out-file=");
        file.push(&counted);
        let valgrind = ["valgrind", "--tool=callgrind"].map(OsString::from);
        let valgrind = valgrind.into_iter().chain([file, program.clone()]);
        let host = self.host(valgrind.collect()).await?;
        let url = host.url("/read/item?id={n}");
        for _ in 0..PASSES {
            fill_over(1, &url, item::KEYS).await?;
        }
        let pid = host.pid().context("the host runs")?;
        let before = host.metrics().await?;
        callgrind("--zero", pid)?;
        let began = Instant::now();
        fill_over(1, &url, item::KEYS).await?;
        let took = began.elapsed();
        callgrind("--dump", pid)?;
        self.were_hits(&before, &host.metrics().await?)?;
        callgrind("--zero", pid)?;
        // For as long as the load took, the host now does only its work beside requests.
        sleep(took).await;
        callgrind("--dump", pid)?;
        // Callgrind numbers its dumps from 1.
        let dump = |number: u32| total(&counted.with_extension(number.to_string()));
        Ok((dump(1)? - dump(2)?) / item::KEYS as f64)
    }

    async fn host(&self, program: Vec<OsString>) -> anyhow::Result<Host> {
        self.rig.host_as(program, self.threads, self.layer.setting()).await
    }

    /// Fails unless all reads in between were hits of this kind, except for a share of [`OTHERS`].
    fn were_hits(&self, before: &Metrics, after: &Metrics) -> anyhow::Result<()> {
        let grown = |labels: &[(&str, &str)]| {
            let sum = |metrics: &Metrics| metrics.sum_where("corral_reads_total", labels);
            sum(after) - sum(before)
        };
        let (all, hits) = (grown(&[]), grown(&[("outcome", self.layer.outcome())]));
        let enough = all > 0.0 && hits >= all * (1.0 - OTHERS);
        ensure!(enough, "{hits} of {all} reads were {:?} hits", self.layer);
        Ok(())
    }
}

/// The total of one of callgrind's dumps.
fn total(dump: &Path) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(dump)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(total.context("callgrind counts a total")?.trim().parse()?)
}

/// Makes callgrind reset its counts, or dump them.
fn callgrind(what: &str, pid: u32) -> anyhow::Result<()> {
    let output = Command::new("callgrind_control").args([what, &pid.to_string()]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("OK"), "callgrind_control {what}: {said}");
    Ok(())
}
