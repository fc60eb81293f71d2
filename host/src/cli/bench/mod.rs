//! `corral bench`: loads any HTTP server, and reports how it answered.

mod hosts;
mod progress;
mod show;
mod watched;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::duration_text;
use anyhow::{Context, anyhow};
use clap::Args;

use crate::bench::{
    BenchError, BenchReport, Keys, LoadPlan, LoadTarget, LoadWatch, MAX_REQUESTS, MAX_TIME, Pace,
    ResourceUsage, Tally, probe, run as load,
};
use crate::trace::Trace;

use super::{Failed, say};
use hosts::Hosts;
use watched::WatchedProcesses;

/// How long a load takes that is bounded neither in time nor in requests.
const TIME: Duration = Duration::from_secs(10);

/// What is posted by default.
const BODY: &str = r#"{"id": {n}}"#;

/// The number's place as help texts show it: clap takes the plain one for an end of line.
macro_rules! n {
    () => {
        "{\u{1b}[1mn\u{1b}[0m}"
    };
}

const URL_HELP: &str = concat!(
    "What to read, with ",
    n!(),
    " for the number of the thing; again for each further host"
);

const BODY_HELP: &str = concat!(
    "What is posted, with ",
    n!(),
    " for the number of the thing; without it, {\"id\": ",
    n!(),
    "}"
);

/// What the help ends with.
pub(super) const EXAMPLES: &str = concat!(
    "Examples:\n  corral bench --url 'http://127.0.0.1:7070/read/product.page?id=",
    n!(),
    "'\n  corral bench --url 'http://127.0.0.1:7070/read/product.page?id=",
    n!(),
    "' --keys 100000 --zipf 1 --rate 20000 \\\n    --duration 1m --admin http://127.0.0.1:7071\n  \
     corral bench --url 'http://127.0.0.1:7070/read/product.page?id=",
    n!(),
    "' --trace shop.trace.xz --json\n  \
     corral bench --url 'http://127.0.0.1:7070/read/product.page?id=",
    n!(),
    "' --writes 0.05 \\\n    --write-url http://127.0.0.1:7070/write/product.page/reprice \\\n    \
     --write-body '{\"id\": ",
    n!(),
    ", \"price_cents\": 100}'"
);

/// What `corral bench` takes.
#[derive(Args)]
pub(super) struct Bench {
    #[arg(long, value_name = "URL", required = true, help = URL_HELP)]
    url: Vec<String>,
    /// Things 1 to this are read, each equally often.
    #[arg(long, default_value_t = 10_000)]
    keys: u64,
    /// The first of them most often: thing k in proportion to 1/k^S. Web traffic has about 1.
    #[arg(long, value_name = "S")]
    zipf: Option<f64>,
    /// Things as they were recorded: 32-bit big-endian integers, perhaps in xz, or lines of text.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["keys", "zipf"])]
    trace: Option<PathBuf>,
    /// Connections; each asks again as soon as it has its answer, unless there is a rate.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Requests per second over all connections, on a fixed schedule. A latency then counts from
    /// when its request was to be sent (corrected for coordinated omission).
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// Threads of the generator; it shares the machine with what it measures.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Ends after this time; without a bound, after 10s, or after one pass of a trace.
    #[arg(long, value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
    /// Ends after so many requests.
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// The same load before, not counted. Default: 1s, and 0s before a trace.
    #[arg(long, value_name = "TIME", value_parser = time)]
    warmup: Option<Duration>,
    /// Which share of the requests are writes, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, requires = "write_url")]
    writes: f64,
    /// Where writes are posted; once for each --url.
    #[arg(long, value_name = "URL", requires = "writes")]
    write_url: Vec<String>,
    #[arg(long, value_name = "JSON", requires = "write_url", help = BODY_HELP)]
    write_body: Option<String>,
    /// Sent with every request, as "name: value"; again for each further one.
    #[arg(long, value_name = "HEADER")]
    header: Vec<String>,
    /// A bearer token, sent with every request.
    #[arg(long, env = "CORRAL_BENCH_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The admin face of a Corral host, for what it counts meanwhile; again for each further one.
    #[arg(long, value_name = "URL")]
    admin: Vec<String>,
    /// The token of the admin scope.
    #[arg(long, env = "CORRAL_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// A process whose processor time and memory are watched, with its children (Linux); again
    /// for each further one.
    #[arg(long)]
    pid: Vec<u32>,
    /// How long an answer may take until it counts as missing.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    answer_within: Duration,
    /// The seed of all draws: the same seed gives the same draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Prints one JSON document, and nothing else.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(bench: &Bench) -> Result<(), Failed> {
    let plan = bench.plan().map_err(Failed::Usage)?;
    let hosts = Hosts::new(&bench.admin, bench.admin_token.as_deref());
    let watched = WatchedProcesses::new(bench.pid.clone()).context("--pid")?;
    let asked = plan.clone();
    tokio::task::spawn_blocking(move || probe(&asked)).await?.map_err(sorted)?;

    let warmup = bench.warmup.unwrap_or(match bench.trace {
        Some(_) => Duration::ZERO,
        None => Duration::from_secs(1),
    });
    let watch = Arc::new(LoadWatch::default());
    if !warmup.is_zero() {
        let warming = LoadPlan { time: warmup, requests: MAX_REQUESTS, ..plan.clone() };
        progress::shown("warming up", &warming, &watch, blocking(&warming, &watch)).await?;
    }
    let report = measure(&plan, &hosts, watched, &watch).await?;
    if bench.json {
        say(serde_json::to_string_pretty(&report)?);
    } else {
        say(show::text(&report).trim_end());
    }
    match report.failed {
        0 => Ok(()),
        failed => {
            let sent = report.requests.max(failed);
            Err(Failed::Run(anyhow!(
                "{failed} of {sent} requests failed: {}",
                show::errors(&report)
            )))
        }
    }
}

async fn measure(
    plan: &LoadPlan,
    hosts: &Hosts,
    watched: WatchedProcesses,
    watch: &Arc<LoadWatch>,
) -> Result<BenchReport, Failed> {
    let own = ResourceUsage::of(std::process::id()).ok();
    let before = hosts.counted().await?;
    let watching = watched.begin()?;
    // The warm-up has a count of its own.
    let watch = if watch.stopped() { Arc::clone(watch) } else { Arc::new(LoadWatch::default()) };
    let tally = progress::shown("loading", plan, &watch, blocking(plan, &watch)).await?;
    let mut report = BenchReport::new(plan, &tally);
    if let Some(seen) = watching.end().await? {
        report.server_cpu_us_per_request = Some(report.per_request_us(seen.cpu_seconds));
        report.server_memory = Some(seen.memory);
    }
    report.hosts = hosts.since(before).await?;
    if let (Some(before), Ok(after)) = (own, ResourceUsage::of(std::process::id())) {
        let spent = after.cpu_seconds - before.cpu_seconds;
        report.generator_cpu_us_per_request = Some(report.per_request_us(spent));
    }
    Ok(report)
}

/// Runs the load on threads of its own. Ctrl-C stops it; what was counted until then is reported.
async fn blocking(plan: &LoadPlan, watch: &Arc<LoadWatch>) -> Result<Tally, Failed> {
    let (plan, watching) = (plan.clone(), Arc::clone(watch));
    let mut loading = tokio::task::spawn_blocking(move || load(&plan, &watching));
    let ended = tokio::select! {
        ended = &mut loading => ended,
        _interrupted = tokio::signal::ctrl_c() => {
            watch.stop();
            loading.await
        }
    };
    ended?.map_err(sorted)
}

/// Tells errors of the command line from failures of the run.
fn sorted(error: BenchError) -> Failed {
    match error {
        BenchError::Url { .. }
        | BenchError::Header { .. }
        | BenchError::Bounds { .. }
        | BenchError::Zipf { .. }
        | BenchError::EmptyTrace => Failed::Usage(error.into()),
        BenchError::Resolve { .. }
        | BenchError::Unreachable { .. }
        | BenchError::Histogram(_)
        | BenchError::Thread(_)
        | BenchError::Broken
        | BenchError::Process { .. }
        | BenchError::Sample { .. } => Failed::Run(error.into()),
    }
}

impl Bench {
    fn plan(&self) -> anyhow::Result<LoadPlan> {
        let keys = self.wanted()?;
        let bounded = self.duration.is_some() || self.requests.is_some();
        let (time, requests) = match (&keys, bounded) {
            // Through the trace once, however long it takes.
            (Keys::Trace(accesses), false) => (MAX_TIME, accesses.len() as u64),
            (Keys::Uniform(_) | Keys::Zipf { .. }, false) => (TIME, MAX_REQUESTS),
            (Keys::Trace(_) | Keys::Uniform(_) | Keys::Zipf { .. }, true) => {
                (self.duration.unwrap_or(MAX_TIME), self.requests.unwrap_or(MAX_REQUESTS))
            }
        };
        Ok(LoadPlan {
            writes: self.writes,
            pace: self.rate.map_or(Pace::Closed, |per_second| Pace::Open { per_second }),
            connections: self.connections,
            threads: self.threads,
            time,
            requests,
            answer_within: self.answer_within,
            seed: self.seed,
            ..LoadPlan::new(self.targets()?, keys)
        })
    }

    fn wanted(&self) -> anyhow::Result<Keys> {
        let Some(path) = &self.trace else {
            return Ok(match self.zipf {
                Some(exponent) => Keys::Zipf { keys: self.keys, exponent },
                None => Keys::Uniform(self.keys),
            });
        };
        let trace = Trace::read(path).with_context(|| format!("--trace {}", path.display()))?;
        Ok(Keys::Trace(trace.accesses().iter().copied().map(u64::from).collect()))
    }

    fn targets(&self) -> anyhow::Result<Vec<LoadTarget>> {
        let mut headers = self.header.clone();
        headers.extend(self.token.iter().map(|token| format!("authorization: Bearer {token}")));
        if !self.write_url.is_empty() && self.write_url.len() != self.url.len() {
            return Err(anyhow!("--write-url: once for each --url, in the same order"));
        }
        let body = self.write_body.as_deref().unwrap_or(BODY);
        let mut targets = Vec::new();
        for (at, url) in self.url.iter().enumerate() {
            let target = LoadTarget::get(url, &headers).context("--url")?;
            targets.push(match self.write_url.get(at) {
                Some(write) => target.with_post(write, &headers, body).context("--write-url")?,
                None => target,
            });
        }
        Ok(targets)
    }
}

/// A time as it is written on the command line.
fn time(text: &str) -> Result<Duration, &'static str> {
    duration_text(text).ok_or("it is no duration; write \"10s\" or \"5m\"")
}
