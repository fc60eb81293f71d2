//! The origin is frozen, killed, or out of connections under load, with stale values at hand: what readers and
//! writers feel before, meanwhile and after.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hyper::{Method, StatusCode};
use serde::Serialize;
use tokio::time::sleep;

use super::millis;
use super::outage::Phase;
use crate::client::Client;
use crate::load::{Load, Outcome, Turn};
use crate::servers::{Host, Postgres, Redis};
use crate::shop::Shop;

const CONNECTIONS: usize = 8;
const USERS: usize = 50;

/// How long a reader may wait who may have a stale value.
pub const BAR: Duration = Duration::from_millis(20);

/// Every read is stale a moment after it was loaded, and may be answered for an hour if its load fails.
const ENTITIES: &str = r#"
[policy.settings]
early_refresh = 0

[entity."user.profile"]
params = ["id:int8"]
read = "SELECT id, name, email FROM users WHERE id = $1"
ttl = "100ms"
stale_if_error = "1h"
tags = ["user:{id}"]

[entity."user.profile".write.rename]
params = ["id:int8", "name:text"]
sql = "UPDATE users SET name = $2 WHERE id = $1"
touches = ["user.profile(id)", "tag user:{id}"]
"#;

/// A role that the server can refuse: a superuser has connections of its own.
const ROLE: &str = "CREATE ROLE app LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO app";
const NO_CONNECTIONS: &str = "ALTER ROLE app CONNECTION LIMIT 0";
const CONNECTIONS_AGAIN: &str = "ALTER ROLE app CONNECTION LIMIT -1";
const TERMINATE: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";

/// What is done to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Blow {
    /// Connections stay open, nothing is answered.
    Frozen,
    /// Connections break, and new ones are refused.
    Killed,
    /// Connections break, and new ones are told that there are too many.
    OutOfConnections,
}

impl Blow {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Frozen, Self::Killed, Self::OutOfConnections];
}

/// What came of one blow.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was done.
    pub blow: Blow,
    /// Reads before, meanwhile and after.
    pub reads: Vec<Phase>,
    /// Writes that failed before, meanwhile and after.
    pub failed_writes: [usize; 3],
    /// From the server's return to the first write that was acknowledged, in milliseconds.
    pub writes_after_ms: f64,
    /// The same for a read that was loaded.
    pub loads_after_ms: f64,
    /// What the host says of it in its log, the lines of level warn.
    pub said: Vec<String>,
}

impl Report {
    /// Whether no read failed, the ninety-ninth of a hundred took less than [`BAR`], and writes recovered.
    ///
    /// # Errors
    /// With what does not hold.
    pub fn expect(&self) -> anyhow::Result<()> {
        for phase in &self.reads {
            ensure!(phase.failed == 0, "reads failed: {self:#?}");
            ensure!(phase.p99_ms < millis(BAR), "readers waited: {self:#?}");
        }
        ensure!(self.failed_writes[0] == 0 && self.failed_writes[1] > 0, "writes: {self:#?}");
        ensure!(!self.said.is_empty(), "nothing was said: {self:#?}");
        Ok(())
    }
}

/// A read's time, and whether it was answered and came from a load.
type Asked = (Instant, Duration, bool, bool);

/// Strikes once; each of the three phases lasts for `lasts`.
///
/// # Errors
/// When a server does not come up, or writes do not recover.
pub async fn run(blow: Blow, lasts: Duration) -> anyhow::Result<Report> {
    let (redis, mut postgres) = (Redis::start().await?, Postgres::start().await?);
    Shop::small().load(&postgres.url()).await?;
    postgres.psql(ROLE).await?;
    let origin = postgres.url().replace("postgres@", "app@");
    let config =
        format!("[store]\nurl = {:?}\n[origin]\nurl = {origin:?}\n{ENTITIES}", redis.url());
    let host = Host::start(&config).await?;
    for user in 1..=USERS {
        let answer = host.get(&format!("/read/user.profile?id={user}")).await?;
        ensure!(answer.status.is_success(), "{answer:?}");
    }
    let (reads, writes) = (read(&host), write(&host));
    sleep(lasts).await;
    let struck = Instant::now();
    strike(blow, &mut postgres).await?;
    sleep(lasts).await;
    let returned = Instant::now();
    relieve(blow, &mut postgres).await?;
    sleep(lasts).await;
    let (asked, written) = (reads.stop().await?, writes.stop().await?);
    let phase = |began: Instant| usize::from(began >= struck) + usize::from(began >= returned);
    let reads = ["before", "meanwhile", "after"].into_iter().enumerate().map(|(nth, name)| {
        let asked = asked.iter().filter(|(began, ..)| phase(*began) == nth);
        Phase::of(name, asked.map(|(_, took, ok, _)| (*took, *ok)).collect(), BAR)
    });
    let failed = |nth| written.iter().filter(|(began, _, ok)| phase(*began) == nth && !ok).count();
    let wrote = written.iter().filter(|(began, _, ok)| *ok && *began >= returned);
    let loaded = asked.iter().filter(|(began, _, _, loaded)| *loaded && *began >= returned);
    let since = |at: Option<Instant>| at.map(|at| millis(at - returned));
    let warned = host.log();
    Ok(Report {
        blow,
        reads: reads.collect(),
        failed_writes: [0, 1, 2].map(failed),
        writes_after_ms: since(wrote.map(|(began, took, _)| *began + *took).min())
            .context("writes did not recover")?,
        loads_after_ms: since(loaded.map(|(began, took, ..)| *began + *took).min())
            .context("loads did not recover")?,
        said: warned.lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect(),
    })
}

fn read(host: &Host) -> Load<Asked> {
    let root = host.url("/read/user.profile");
    Load::start(CONNECTIONS, move |client, turn: Turn| {
        let user = (turn.connection + turn.nth) % USERS + 1;
        let url = format!("{root}?id={user}");
        async move {
            let outcome = Outcome::of(&client, &url).await;
            let loaded = outcome.answer.as_ref().is_ok_and(|answer| answer.is_stored());
            (outcome.began, outcome.took(), outcome.content().is_ok(), loaded)
        }
    })
}

/// Writes what nobody reads: a write removes the value that may be answered stale.
fn write(host: &Host) -> Load<(Instant, Duration, bool)> {
    let url = host.url("/write/user.profile/rename");
    Load::start(1, move |client: Client, _| {
        let url = url.clone();
        async move {
            sleep(Duration::from_millis(20)).await;
            let began = Instant::now();
            let body = format!("{{\"id\": {}, \"name\": \"Somebody\"}}", USERS + 1);
            let json = [("content-type", "application/json")];
            let answer = client.request(Method::POST, &url, &json, body).await;
            let ok = answer.is_ok_and(|answer| answer.status == StatusCode::OK);
            (began, began.elapsed(), ok)
        }
    })
}

async fn strike(blow: Blow, postgres: &mut Postgres) -> anyhow::Result<()> {
    match blow {
        Blow::Frozen => postgres.stop(),
        Blow::Killed => postgres.kill().await,
        Blow::OutOfConnections => {
            postgres.psql(NO_CONNECTIONS).await?;
            postgres.psql(TERMINATE).await?;
            Ok(())
        }
    }
}

async fn relieve(blow: Blow, postgres: &mut Postgres) -> anyhow::Result<()> {
    match blow {
        Blow::Frozen => postgres.cont(),
        Blow::Killed => postgres.restart().await,
        Blow::OutOfConnections => postgres.psql(CONNECTIONS_AGAIN).await.map(drop),
    }
}
