//! Redis is down while a few rows are written again and again. A host's debt is then one entry for
//! each row, and it is paid at once when Redis is back. A host that is told to stop meanwhile says
//! how much it leaves unpaid.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::scene::SOON;
use crate::client::Client;
use crate::scenario::{millis, rows};
use crate::servers::{Host, Postgres, Redis, eventually};
use crate::sim::truth::Subject;

/// How many rows are written.
const ROWS: u8 = 50;

/// How long a host may take to pay its debt: a few round trips, and the pause until it looks.
const SOON_PAID: Duration = Duration::from_secs(2);

/// The host's grace time, for the top of its configuration.
const GRACE: &str = "grace = \"1s\"\n";

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Writes while Redis was down.
    pub writes: usize,
    /// How many of those failed.
    pub failed: usize,
    /// How many of those were acknowledged as pending.
    pub pending: usize,
    /// The slowest of those writes.
    pub slowest_ms: f64,
    /// The largest debt, by `/readyz` and by the metric.
    pub most_owed: (f64, f64),
    /// From the return of Redis until nothing was owed.
    pub paid_ms: f64,
    /// Rows that a host answered differently from the database afterwards.
    pub wrong: Vec<String>,
    /// The debt of a host that was told to stop meanwhile.
    pub left: f64,
    /// What that host said about it.
    pub farewell: Vec<String>,
}

struct Stage {
    redis: Redis,
    postgres: Postgres,
    hosts: [Host; 2],
}

/// Redis is down for so long, while one of two hosts takes so many writes a second.
///
/// # Errors
/// If a server does not come up, or if the debt is never paid.
pub async fn run(lasts: Duration, writes_per_second: u32) -> anyhow::Result<Report> {
    let mut stage = Stage::set().await?;
    stage.redis.stop()?;
    let (outcome, most_owed) = stage.write(lasts, writes_per_second, 2).await?;
    stage.redis.cont()?;
    let back = Instant::now();
    eventually("nothing is owed", SOON, || async {
        Ok((stage.owed().await? == (0.0, 0.0)).then_some(()))
    })
    .await?;
    let paid_ms = millis(back.elapsed());
    let wrong = stage.wrong().await?;
    let (left, farewell) = stage.farewell(writes_per_second).await?;
    let count = |told: Told| outcome.iter().filter(|(one, _)| *one == told).count();
    let slowest = outcome.iter().map(|(_, took)| *took).max().unwrap_or_default();
    Ok(Report {
        writes: outcome.len(),
        failed: count(Told::Failed),
        pending: count(Told::Pending),
        slowest_ms: millis(slowest),
        most_owed,
        paid_ms,
        wrong,
        left,
        farewell,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Done,
    Pending,
    Failed,
}

impl Stage {
    async fn set() -> anyhow::Result<Self> {
        let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
        rows::make(&postgres, ROWS, 1).await?;
        let config = rows::config(&redis.url(), &postgres, "", Duration::ZERO);
        let config = format!("{GRACE}{config}");
        let hosts = [Host::start(&config).await?, Host::start(&config).await?];
        let stage = Self { redis, postgres, hosts };
        stage.wrong().await?;
        Ok(stage)
    }

    /// Writes the rows in turn, each with a version that grows from `first`; returns the outcome of
    /// each write, and the largest debt meanwhile.
    async fn write(
        &self,
        lasts: Duration,
        writes_per_second: u32,
        first: u64,
    ) -> anyhow::Result<(Vec<(Told, Duration)>, (f64, f64))> {
        let (client, url) = (Client::new(), self.hosts[0].url(""));
        let mut turns = interval(Duration::from_secs(1) / writes_per_second);
        let (mut writing, mut most) = (JoinSet::new(), (0.0_f64, 0.0_f64));
        let began = Instant::now();
        for nth in 0_u64.. {
            turns.tick().await;
            if began.elapsed() >= lasts {
                break;
            }
            let row = Subject::Item(u8::try_from(nth % u64::from(ROWS))?);
            let version = first + nth / u64::from(ROWS);
            writing.spawn(write(client.clone(), url.clone(), row, version));
            if nth % u64::from(ROWS) == 0 {
                let owed = self.owed().await?;
                most = (most.0.max(owed.0), most.1.max(owed.1));
            }
        }
        Ok((writing.join_all().await, most))
    }

    /// The debt of the writing host, by `/readyz` and by its metric.
    async fn owed(&self) -> anyhow::Result<(f64, f64)> {
        let ready = self.hosts[0].get("/readyz").await?.json()?;
        let said = ready["pending_invalidations"].as_f64().context("pending_invalidations")?;
        Ok((said, self.hosts[0].metrics().await?.sum("corral_pending_invalidations")))
    }

    /// Rows for which a host does not answer what the database has.
    async fn wrong(&self) -> anyhow::Result<Vec<String>> {
        let mut wrong = Vec::new();
        for row in (0..ROWS).map(Subject::Item) {
            let truth = rows::version(&self.postgres, row).await?;
            for (number, host) in self.hosts.iter().enumerate() {
                let answer = host.get(&rows::read_path(row)).await?;
                let version = rows::body(&answer.body)?.version;
                if version != truth {
                    wrong.push(format!("host {number} answers {version} of {row}, not {truth}"));
                }
            }
        }
        Ok(wrong)
    }

    /// Every row is written once more without Redis, and the host is told to stop: what it owes
    /// then, and what it says about it.
    async fn farewell(&mut self, writes_per_second: u32) -> anyhow::Result<(f64, Vec<String>)> {
        self.redis.stop()?;
        let once = Duration::from_secs_f64(f64::from(ROWS) / f64::from(writes_per_second));
        self.write(once, writes_per_second, 1 << 32).await?;
        let (left, _) = self.owed().await?;
        let before = self.hosts[0].log().lines().count();
        self.hosts[0].term()?;
        self.hosts[0].exited().await?;
        let log = self.hosts[0].log();
        let said = log.lines().skip(before).filter(|line| line.contains("invalidation"));
        Ok((left, said.map(str::to_owned).collect()))
    }
}

async fn write(client: Client, url: String, row: Subject, version: u64) -> (Told, Duration) {
    let began = Instant::now();
    let (path, body) = rows::write_of(row, version, false);
    let json = [("content-type", "application/json")];
    let url = format!("{url}{path}");
    let answer = client.request(Method::POST, &url, &json, Bytes::from(body)).await;
    let told = match answer {
        Ok(answer) if answer.status == StatusCode::OK => match answer.json() {
            Ok(said) if said["cache"] == "pending" => Told::Pending,
            Ok(_) => Told::Done,
            Err(_) => Told::Failed,
        },
        Ok(_) | Err(_) => Told::Failed,
    };
    (told, began.elapsed())
}

impl Report {
    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// If a write failed, more was owed than there are rows, the debt was paid late or never, or
    /// the host that stopped did not say how much it leaves.
    pub fn expect(&self) -> anyhow::Result<()> {
        let rows = f64::from(ROWS);
        ensure!(self.failed == 0 && self.wrong.is_empty(), "{self:#?}");
        ensure!(self.pending > usize::from(ROWS), "hardly anything was pending: {self:#?}");
        let owed = [self.most_owed.0, self.most_owed.1, self.left];
        let right = owed.iter().all(|owed| (1.0..=rows).contains(owed));
        ensure!(right, "not one entry for each row: {self:#?}");
        ensure!(self.paid_ms <= millis(SOON_PAID), "paid late: {self:#?}");
        // A number on its own, not a part of a time of day.
        let numbers = [format!(" {} ", self.left), format!("={}", self.left)];
        let counts = |line: &String| numbers.iter().any(|number| line.contains(number));
        let counted = self.farewell.iter().any(counts);
        ensure!(counted, "the host that stopped does not say how much it leaves: {self:#?}");
        Ok(())
    }
}
