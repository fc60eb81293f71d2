//! What Corral costs as it grows: a table for each thing that can.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use corral_host::bench::ResourceUsage;
use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::item;
use super::measure::{Load, fill};
use super::rig::Rig;
use crate::servers::{Host, Metrics};

/// Connections, in tables where their number does not grow.
const CONNECTIONS: usize = 64;

/// The sizes of each table.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// How long each load is measured.
    pub time: Duration,
    /// Entries of the near cache.
    pub entries: Vec<u64>,
    /// Connections.
    pub connections: Vec<u64>,
    /// Keys that carry one tag.
    pub tagged: Vec<u64>,
    /// Hosts.
    pub hosts: Vec<u64>,
    /// Bytes of an answer.
    pub bytes: Vec<u64>,
}

impl Sizes {
    /// The sizes that are promised. They take some minutes.
    #[must_use]
    pub fn full(time: Duration) -> Self {
        Self {
            time,
            entries: vec![1_000, 10_000, 100_000, 1_000_000],
            connections: vec![1, 10, 100, 1_000],
            tagged: vec![1, 10, 100, 1_000, 10_000, 100_000],
            hosts: vec![1, 2, 3, 4],
            bytes: vec![100, 1_000, 10_000, 100_000, 1_000_000],
        }
    }
}

/// One table: what grows, and its lines.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// What grows.
    pub what: &'static str,
    /// One line a size.
    pub lines: Vec<Line>,
}

/// The figures of one size.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// The size.
    pub size: u64,
    /// Each figure with its name; the unit is the last part of the name.
    pub figures: Vec<(&'static str, f64)>,
}

/// Measures every table. `told` is called with a line about each step.
///
/// # Errors
/// When a server does not come up, or a request fails.
pub async fn run(sizes: &Sizes, told: &dyn Fn(&str)) -> anyhow::Result<Vec<Table>> {
    let rig = Rig::start().await?;
    let mut tables = Vec::new();
    for (what, all, kind) in [
        ("connections, store hits", &sizes.connections, Kind::Connections),
        ("bytes of an answer, store hits", &sizes.bytes, Kind::Bytes { near: false }),
        ("bytes of an answer, near hits", &sizes.bytes, Kind::Bytes { near: true }),
        ("hosts, store hits", &sizes.hosts, Kind::Hosts),
        ("keys that carry a tag", &sizes.tagged, Kind::Tagged),
        ("entries of the near cache", &sizes.entries, Kind::Entries),
    ] {
        let mut lines = Vec::new();
        for size in all {
            told(&format!("{what}: {size}"));
            let figures = kind.measure(&rig, *size, sizes.time).await;
            let figures = figures.with_context(|| format!("{what}: {size}"))?;
            lines.push(Line { size: *size, figures });
        }
        tables.push(Table { what, lines });
    }
    Ok(tables)
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Connections,
    Bytes { near: bool },
    Hosts,
    Tagged,
    Entries,
}

type Figures = Vec<(&'static str, f64)>;

/// The setting that has an entity answered from the near cache.
const NEAR: &str = "near = \"10m\"\n";

impl Kind {
    async fn measure(self, rig: &Rig, size: u64, time: Duration) -> anyhow::Result<Figures> {
        match self {
            Self::Connections => {
                let host = rig.host("").await?;
                let load = Load::closed(&host.url("/read/item?id="), usize::try_from(size)?, time);
                cost(rig, &[host], load).await
            }
            Self::Bytes { near } => {
                let host = rig.host(if near { NEAR } else { "" }).await?;
                let mut load = Load::closed("", CONNECTIONS, time);
                // The caches hold the same number of bytes for each length: a hundred megabytes.
                load.keys = (100_000_000 / size).clamp(20, item::KEYS);
                load.urls = vec![host.url(&format!("/read/sized?id={{n}}&bytes={size}"))];
                cost(rig, &[host], load).await
            }
            Self::Hosts => {
                let mut hosts = Vec::new();
                for _ in 0..size {
                    hosts.push(rig.host("").await?);
                }
                let mut load = Load::closed("", CONNECTIONS, time);
                load.urls = hosts.iter().map(|host| host.url("/read/item?id={n}")).collect();
                cost(rig, &hosts, load).await
            }
            Self::Tagged => tagged(rig, size).await,
            Self::Entries => entries(rig, size, time).await,
        }
    }
}

/// Measures the load, after the same load has warmed up.
async fn cost(rig: &Rig, hosts: &[Host], load: Load) -> anyhow::Result<Figures> {
    Load { time: load.time / 2, ..load.clone() }.run().await?;
    let pids = hosts.iter().map(|host| host.pid().context("a host was killed"));
    let pids = pids.collect::<anyhow::Result<Vec<_>>>()?;
    let sample = load.costing(&pids, rig.redis.pid()).await?;
    Ok(vec![
        ("per_second", sample.requests_per_second),
        ("cpu_us", sample.cpu_us),
        ("redis_cpu_us", sample.redis_cpu_us),
        ("p50_us", sample.p50_us),
        ("p99_us", sample.p99_us),
        ("memory_mib", sample.memory_mib),
    ])
}

/// Fills so many keys that carry one tag, and invalidates it.
async fn tagged(rig: &Rig, size: u64) -> anyhow::Result<Figures> {
    let host = rig.host("").await?;
    let url = host.url(&format!("/read/tagged?id={{n}}&tag={size}"));
    fill(&url, size).await?;
    let redis = rig.redis.pid().context("Redis runs")?;
    let pid = host.pid().context("the host runs")?;
    let before = (ResourceUsage::of(redis)?, ResourceUsage::of(pid)?);
    let began = Instant::now();
    let answer = host.post("/invalidate", &json!({ "tags": [format!("crowd:{size}")] })).await?;
    let took = began.elapsed();
    ensure!(answer.status == StatusCode::OK, "{} {:?}", answer.status, answer.body);
    ensure!(answer.json()?["cache"] != "pending", "the store was not trusted: {:?}", answer.body);
    let after = (ResourceUsage::of(redis)?, ResourceUsage::of(pid)?);
    let left = rig.redis.values(&format!("v1:tagged:*:{size}")).await?.len();
    ensure!(left == 0, "{left} keys outlived their tag");
    let ms = |after: ResourceUsage, before: ResourceUsage| {
        (after.cpu_seconds - before.cpu_seconds) * 1000.0
    };
    Ok(vec![
        ("invalidated_in_ms", took.as_secs_f64() * 1000.0),
        ("us_each", took.as_secs_f64() * 1e6 / size as f64),
        ("redis_cpu_ms", ms(after.0, before.0)),
        ("cpu_ms", ms(after.1, before.1)),
    ])
}

/// Fills so many entries of the near cache, and reads them.
async fn entries(rig: &Rig, size: u64, time: Duration) -> anyhow::Result<Figures> {
    let host = rig.host(NEAR).await?;
    let url = host.url("/read/sized?id={n}&bytes=100");
    let pid = host.pid().context("the host runs")?;
    let empty = ResourceUsage::of(pid)?.memory_kib as f64;
    // The first pass fills the store, the second the near cache.
    for _ in 0..2 {
        fill(&url, size).await?;
    }
    let mut load = Load::closed("", CONNECTIONS, time);
    (load.urls, load.keys) = (vec![url], size);
    let before = host.metrics().await?;
    let mut figures = cost(rig, std::slice::from_ref(&host), load).await?;
    let after = host.metrics().await?;
    let held = after.sum("corral_near_entries");
    let full = ResourceUsage::of(pid)?.memory_kib as f64;
    figures.push(("entries", held));
    figures.push(("bytes_each", (full - empty) * 1024.0 / held.max(1.0)));
    figures.push(("near_ratio", near_ratio(&before, &after)));
    Ok(figures)
}

fn near_ratio(before: &Metrics, after: &Metrics) -> f64 {
    let grown = |labels: &[(&str, &str)]| {
        let sum = |metrics: &Metrics| metrics.sum_where("corral_reads_total", labels);
        sum(after) - sum(before)
    };
    grown(&[("outcome", "near")]) / grown(&[]).max(1.0)
}
