//! Five hundred readers at once, on two hosts, of one value that has to be loaded.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use super::{median, millis};
use crate::fleet::Fleet;
use crate::load::{Crowd, Outcome};
use crate::servers::eventually;
use crate::shop::{self, Shop};

const LOADS: &str = "corral_origin_loads_total";
const SOON: Duration = Duration::from_secs(30);

/// How the value is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// It was never loaded.
    Cold,
    /// It was loaded, and is stale now.
    Expired,
    /// A host that died has left its lease.
    OrphanLease,
    /// The host that loads it is killed during the load.
    HolderKilled,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// How the value is missing.
    pub start: Start,
    /// How long a load takes.
    pub load_ms: u64,
    /// Loads of each round.
    pub loads: Vec<f64>,
    /// The slowest answer after the rebuild, median of the rounds. The time of the load and that of
    /// a lease that a dead holder left are subtracted.
    pub slowest_after_ms: f64,
    /// The worst round.
    pub worst_after_ms: f64,
}

impl Line {
    /// Whether each round cost one load, and a second one where the holder of the first was killed, and
    /// all readers were answered within half a second after the load and the lease.
    #[must_use]
    pub fn holds(&self) -> bool {
        let allowed = match self.start {
            Start::Cold | Start::Expired | Start::OrphanLease => 1.0,
            Start::HolderKilled => 2.0,
        };
        let is_allowed = !self.loads.is_empty() && self.loads.iter().all(|it| *it == allowed);
        is_allowed && self.worst_after_ms < SLACK_MS
    }
}

/// How long after the load, and the lease of a dead holder, the last reader may be answered: far more
/// than a reader that is woken needs, and less than one that asks again from time to time.
const SLACK_MS: f64 = 500.0;

/// How long a lease that is not renewed lasts.
const LEASE: Duration = Duration::from_secs(1);

/// Runs `rounds` of each start with `readers` readers.
///
/// # Errors
/// When an answer is wrong, or a server does not come up.
pub async fn run(
    readers: usize,
    rounds: usize,
    load_times_ms: &[u64],
    told: impl Fn(&Line),
) -> anyhow::Result<Vec<Line>> {
    let mut fleet = Fleet::start(2, &Shop::small(), "").await?;
    let (mut lines, mut id) = (Vec::new(), 0);
    let starts = load_times_ms
        .iter()
        .flat_map(|load_ms| [(Start::Cold, *load_ms), (Start::Expired, *load_ms)])
        .chain([(Start::OrphanLease, 900), (Start::HolderKilled, 900)]);
    for (start, load_ms) in starts {
        let (mut loads, mut after) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            id += 1;
            let report = Report { id, load_ms };
            let round = match start {
                Start::HolderKilled => killed(&mut fleet, readers, report).await,
                Start::Cold | Start::Expired | Start::OrphanLease => {
                    once(&fleet, readers, report, start).await
                }
            };
            let (count, slowest) = round.with_context(|| format!("{start:?} {load_ms} ms"))?;
            loads.push(count);
            after.push(millis(slowest));
        }
        let worst_after_ms = after.iter().copied().fold(0.0, f64::max);
        let slowest_after_ms = median(after);
        let line = Line { start, load_ms, loads, slowest_after_ms, worst_after_ms };
        told(&line);
        lines.push(line);
    }
    Ok(lines)
}

#[derive(Debug, Clone, Copy)]
struct Report {
    id: u64,
    load_ms: u64,
}

impl Report {
    fn path(self) -> String {
        format!("/read/report.slow?id={}&ms={}", self.id, self.load_ms)
    }

    fn key(self) -> String {
        format!("v1:report.slow:{}:{}", self.id, self.load_ms)
    }

    fn is_in(self, outcome: &Outcome) -> anyhow::Result<()> {
        let expected = serde_json::json!({ "id": self.id, "ms": self.load_ms });
        ensure!(outcome.content()? == expected, "a wrong answer");
        Ok(())
    }
}

/// How many loads a round cost, and how long after the rebuild's end the slowest answer came.
async fn once(
    fleet: &Fleet,
    readers: usize,
    report: Report,
    start: Start,
) -> anyhow::Result<(f64, Duration)> {
    let mut waited = Duration::from_millis(report.load_ms);
    match start {
        Start::Expired => expire(fleet, report).await?,
        Start::OrphanLease => {
            orphan(fleet, report).await?;
            waited += LEASE;
        }
        Start::Cold | Start::HolderKilled => {}
    }
    let mut crowd = Crowd::gather(readers, &fleet.urls()).await?;
    let before = fleet.sum(LOADS).await?;
    let began = Instant::now();
    let outcomes = crowd.ask(&report.path()).await?;
    let loads = fleet.sum(LOADS).await? - before;
    outcomes.iter().try_for_each(|outcome| report.is_in(outcome))?;
    let last = outcomes.iter().map(|outcome| outcome.ended).max().context("readers")?;
    Ok((loads, (last - began).saturating_sub(waited)))
}

async fn killed(
    fleet: &mut Fleet,
    readers: usize,
    report: Report,
) -> anyhow::Result<(f64, Duration)> {
    let mut crowd = Crowd::gather(readers, &fleet.urls()).await?;
    let before = by_host(fleet).await?;
    let asking = tokio::spawn(async move { crowd.ask(&report.path()).await });
    let holder = eventually("a host to load", SOON, || async {
        let now = by_host(fleet).await?;
        Ok(now.iter().zip(&before).position(|(now, before)| now > before))
    });
    let holder = holder.await?;
    let (killed, survivor) = (Instant::now(), 1 - holder);
    fleet.hosts[holder].kill();
    let outcomes = asking.await??;
    let survivors = || outcomes.iter().skip(survivor).step_by(2);
    survivors().try_for_each(|outcome| report.is_in(outcome))?;
    let last = survivors().map(|outcome| outcome.ended).max().context("readers")?;
    let loads = 1.0 + fleet.hosts[survivor].metrics().await?.sum(LOADS) - before[survivor];
    fleet.hosts[holder].restart().await?;
    let waited = LEASE + Duration::from_millis(report.load_ms);
    Ok((loads, (last - killed).saturating_sub(waited)))
}

async fn by_host(fleet: &Fleet) -> anyhow::Result<Vec<f64>> {
    let mut loads = Vec::new();
    for host in &fleet.hosts {
        loads.push(host.metrics().await?.sum(LOADS));
    }
    Ok(loads)
}

/// Uses a host under which reports expire at once to leave an expired one.
async fn expire(fleet: &Fleet, report: Report) -> anyhow::Result<()> {
    let config = shop::config(Some(&fleet.redis.url()), &fleet.postgres.url());
    let (others, entity) = config.split_once("[entity.\"report.slow\"]").context("a report")?;
    let entity = entity.replacen("ttl = \"5m\"", "ttl = \"1ms\"", 1);
    let config = format!("{others}[entity.\"report.slow\"]{entity}");
    let host = crate::servers::Host::start(&config).await?;
    let answer = host.get(&report.path()).await?;
    ensure!(answer.header("cache-status").contains("stored"), "not stored: {answer:?}");
    Ok(())
}

/// Leaves the lease of a holder that died just after its claim.
async fn orphan(fleet: &Fleet, report: Report) -> anyhow::Result<()> {
    let mut connection = fleet.redis.connect().await?;
    let name = crate::shop::name("report.slow", &report.key())?;
    let lease = format!("corral:1:lease:{{{name}}}");
    let () = redis::cmd("SET")
        .arg(lease)
        .arg("0123456789abcdef0123456789abcdef")
        .arg("PX")
        .arg(u64::try_from(LEASE.as_millis())?)
        .query_async(&mut connection)
        .await?;
    Ok(())
}
