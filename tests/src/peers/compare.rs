//! All peers in turn, for several rounds. Each round has every peer, and begins with another one.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::claims::{Claim, claims};
use super::measure::{Load, Sample};
use super::numbers::Spread;
use super::peer::{Peer, Running};
use super::rig::Rig;
use super::{item, start};
use crate::servers::Metrics;

/// Connections of the closed loop.
const CONNECTIONS: usize = 64;

/// How long a server is loaded before it is measured, so that its connections are open and its code
/// is warm.
const WARM_UP: Duration = Duration::from_millis(500);

/// How a server is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// 64 connections; each asks again as soon as it has its answer.
    Full,
    /// One connection.
    Single,
    /// Half of the rate that the server reached under full load, on a schedule.
    Half,
    /// Four fifths of that rate.
    FourFifths,
}

impl Scenario {
    /// All scenarios, in the order in which they run: the last two need the first one's outcome.
    pub const ALL: [Self; 4] = [Self::Full, Self::Single, Self::Half, Self::FourFifths];

    /// What it is called in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "64 connections",
            Self::Single => "one connection",
            Self::Half => "open loop, 50 % of capacity",
            Self::FourFifths => "open loop, 80 % of capacity",
        }
    }

    fn load(self, url: &str, capacity: f64, time: Duration) -> Load {
        match self {
            Self::Full => Load::closed(url, CONNECTIONS, time),
            Self::Single => Load::closed(url, 1, time),
            Self::Half => Load::open(url, capacity * 0.5, time),
            Self::FourFifths => Load::open(url, capacity * 0.8, time),
        }
    }
}

/// How thorough a comparison is.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds.
    pub rounds: usize,
    /// How long each load is measured.
    pub time: Duration,
}

/// The result of a comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The machine that it ran on.
    pub machine: Machine,
    /// Rounds.
    pub rounds: usize,
    /// Seconds of each load.
    pub seconds: f64,
    /// Length of an answer.
    pub body_bytes: usize,
    /// Things asked for.
    pub keys: u64,
    /// One line for each server that came up.
    pub lines: Vec<Line>,
    /// The servers that did not come up, and why.
    pub missing: Vec<Missing>,
    /// How soon a host that is started answers.
    pub start: Option<start::Start>,
    /// What must hold, and whether it did.
    pub claims: Vec<Claim>,
}

/// The machine of a comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Cores, shared by servers and generator.
    pub cores: usize,
    /// The processor.
    pub processor: String,
}

/// One server's figures.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Which one.
    pub name: String,
    /// Whether Redis answers its requests.
    pub asks_redis: bool,
    /// What each scenario came to.
    pub scenarios: Vec<Outcome>,
    /// Calls into the policy for each request under full load; `None` if the server has no policy.
    pub policy_calls_per_request: Option<f64>,
    /// What the policy took for each request, in microseconds.
    pub policy_us_per_request: Option<f64>,
    #[serde(skip)]
    peer: Peer,
}

/// One scenario on one server, over the rounds.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "each name says it, with its unit; CPU is per request")]
pub struct Outcome {
    pub scenario: Scenario,
    pub requests_per_second: Spread,
    pub p50_us: Spread,
    pub p99_us: Spread,
    pub p99_9_us: Spread,
    pub cpu_us: Spread,
    pub redis_cpu_us: Spread,
    pub generator_cpu_us: Spread,
    pub memory_mib: Spread,
    pub unsent: Spread,
}

/// A server that did not come up.
#[derive(Debug, Clone, Serialize)]
pub struct Missing {
    /// Which one.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl Line {
    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    /// What a scenario came to.
    #[must_use]
    pub fn outcome(&self, scenario: Scenario) -> Option<&Outcome> {
        self.scenarios.iter().find(|outcome| outcome.scenario == scenario)
    }
}

/// Installs and starts every peer, runs them in turn, and judges. `told` is called with a line
/// about each step.
///
/// # Errors
/// If the servers that all peers need do not come up, or if a peer fails while it is measured.
pub async fn run(
    peers: &[Peer],
    effort: Effort,
    told: &dyn Fn(&str),
) -> anyhow::Result<Comparison> {
    let rig = Rig::start().await?;
    let (mut runners, mut missing) = (Vec::new(), Vec::new());
    for peer in peers {
        told(&format!("starting {}", peer.name()));
        match peer.start(&rig).await {
            Ok(running) => runners.push(Runner::new(running)),
            Err(error) => {
                missing.push(Missing { name: peer.name(), reason: format!("{error:#}") });
            }
        }
    }
    for scenarios in [&Scenario::ALL[..2], &Scenario::ALL[2..]] {
        for round in 0..effort.rounds {
            for at in 0..runners.len() {
                let count = runners.len();
                let runner = &mut runners[(at + round) % count];
                told(&format!("round {} of {}: {}", round + 1, effort.rounds, runner.name()));
                runner.play(scenarios, &rig, effort.time).await?;
            }
        }
    }
    told("starting hosts");
    let start = start::run(&rig).await?;
    let lines = runners.iter().map(Runner::line).collect::<anyhow::Result<_>>()?;
    drop(runners);
    let mut comparison = Comparison {
        machine: Machine::this(),
        rounds: effort.rounds,
        seconds: effort.time.as_secs_f64(),
        body_bytes: item::BYTES,
        keys: item::KEYS,
        lines,
        missing,
        start: Some(start),
        claims: Vec::new(),
    };
    comparison.claims = claims(&comparison);
    Ok(comparison)
}

/// A server and its figures so far.
struct Runner {
    running: Running,
    samples: Vec<(Scenario, Sample)>,
    policy: Vec<Policy>,
}

/// Calls of the policy and their time, for each request.
struct Policy {
    calls: f64,
    us: f64,
}

impl Runner {
    fn new(running: Running) -> Self {
        Self { running, samples: Vec::new(), policy: Vec::new() }
    }

    fn name(&self) -> String {
        self.running.peer.name()
    }

    async fn play(
        &mut self,
        scenarios: &[Scenario],
        rig: &Rig,
        time: Duration,
    ) -> anyhow::Result<()> {
        let (url, pid) = (self.running.url(), self.running.pid()?);
        let capacity = self.spread(Scenario::Full, |sample| sample.requests_per_second);
        let capacity = capacity.map_or(0.0, |spread| spread.median);
        Load::closed(&url, CONNECTIONS, WARM_UP).run().await?;
        for scenario in scenarios {
            let before = self.metrics().await?;
            let load = scenario.load(&url, capacity, time);
            let sample = load.costing(&[pid], rig.redis.pid()).await;
            let sample = sample.with_context(|| format!("{}, {}", self.name(), scenario.name()))?;
            if *scenario == Scenario::Full
                && let (Some(before), Some(after)) = (before, self.metrics().await?)
            {
                self.policy.push(policy(&before, &after));
            }
            self.samples.push((*scenario, sample));
        }
        Ok(())
    }

    async fn metrics(&self) -> anyhow::Result<Option<Metrics>> {
        match self.running.host() {
            Some(host) => Ok(Some(host.metrics().await?)),
            None => Ok(None),
        }
    }

    fn spread(&self, scenario: Scenario, of: impl Fn(&Sample) -> f64) -> Option<Spread> {
        let samples = self.samples.iter().filter(|(played, _)| *played == scenario);
        Spread::of(samples.map(|(_, sample)| of(sample)).collect())
    }

    fn line(&self) -> anyhow::Result<Line> {
        let outcome = |scenario| self.outcome(scenario).context("a round was played");
        let median = |of: fn(&Policy) -> f64| {
            Spread::of(self.policy.iter().map(of).collect()).map(|spread| spread.median)
        };
        Ok(Line {
            name: self.name(),
            asks_redis: self.running.peer.asks_redis(),
            scenarios: Scenario::ALL.map(outcome).into_iter().collect::<anyhow::Result<_>>()?,
            policy_calls_per_request: median(|policy| policy.calls),
            policy_us_per_request: median(|policy| policy.us),
            peer: self.running.peer,
        })
    }

    fn outcome(&self, scenario: Scenario) -> Option<Outcome> {
        let spread = |of: fn(&Sample) -> f64| self.spread(scenario, of);
        Some(Outcome {
            scenario,
            requests_per_second: spread(|sample| sample.requests_per_second)?,
            p50_us: spread(|sample| sample.p50_us)?,
            p99_us: spread(|sample| sample.p99_us)?,
            p99_9_us: spread(|sample| sample.p99_9_us)?,
            cpu_us: spread(|sample| sample.cpu_us)?,
            redis_cpu_us: spread(|sample| sample.redis_cpu_us)?,
            generator_cpu_us: spread(|sample| sample.generator_cpu_us)?,
            memory_mib: spread(|sample| sample.memory_mib)?,
            unsent: spread(|sample| sample.unsent)?,
        })
    }
}

/// All calls are counted, but only one in so many is timed; the time of the others follows from
/// those.
fn policy(before: &Metrics, after: &Metrics) -> Policy {
    let grown = |name| after.sum(name) - before.sum(name);
    let reads = grown("corral_reads_total").max(1.0);
    let calls = grown("corral_policy_calls_total") / reads;
    let timed = grown("corral_policy_call_seconds_count").max(1.0);
    let us = calls * 1e6 * grown("corral_policy_call_seconds_sum") / timed;
    Policy { calls, us }
}

impl Machine {
    fn this() -> Self {
        let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: model.map_or("unknown", |(_, name)| name).to_owned(),
        }
    }
}

/// About how long a comparison takes, without installing.
#[must_use]
pub fn duration(peers: usize, effort: Effort) -> Duration {
    let each = 2 * WARM_UP + effort.time * u32::try_from(Scenario::ALL.len()).unwrap_or(u32::MAX);
    each * u32::try_from(peers * effort.rounds).unwrap_or(u32::MAX)
}
