//! The origin is down under load (frozen, killed, out of connections, failed over, or with another
//! password) while stale values are at hand: what readers and writers notice before, during and
//! after.

mod scene;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hyper::{Method, StatusCode};
use serde::Serialize;
use tokio::time::sleep;

use super::millis;
use super::outage::Phase;
use crate::client::{Answer, Client};
use crate::load::{Load, Outcome, Turn};
use crate::servers::{Host, Redis};

pub use scene::Blow;
use scene::Scene;

const CONNECTIONS: usize = 8;
const USERS: usize = 50;

/// How long a reader that may have a stale value may wait.
pub const BAR: Duration = Duration::from_millis(20);

/// How long reads may still come from a server to which the address no longer leads, while others
/// write.
const LEFT_WITHIN: Duration = Duration::from_secs(1);

/// Every value is stale a moment after its load, and may be answered for an hour if a load fails.
const ENTITIES: &str = r#"
[policy.settings]
early_refresh = 0

[entity."user.profile"]
params = ["id:int8"]
read = "SELECT id, name, email, inet_server_port() AS server FROM users WHERE id = $1"
ttl = "100ms"
stale_if_error = "1h"
tags = ["user:{id}"]

[entity."user.profile".write.rename]
params = ["id:int8", "name:text"]
sql = "UPDATE users SET name = $2 WHERE id = $1"
touches = ["user.profile(id)", "tag user:{id}"]
"#;

/// The result of one blow.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was done.
    pub blow: Blow,
    /// Reads before, during and after the blow.
    pub reads: Vec<Phase>,
    /// Writes that failed before, during and after the blow.
    pub failed_writes: [usize; 3],
    /// From the server's return to the first write that was acknowledged, in milliseconds.
    pub writes_after_ms: f64,
    /// The same for a read that was loaded from the server to which the address leads.
    pub loads_after_ms: f64,
    /// From the server's return to the last read that was loaded from another server; 0 if there
    /// was none.
    pub elsewhere_until_ms: f64,
    /// The host's log lines of level warn.
    pub said: Vec<String>,
}

impl Report {
    /// Checks that no read failed, that ninety-nine of a hundred took less than [`BAR`], that
    /// writes recovered, and that reads followed them.
    ///
    /// # Errors
    /// What does not hold.
    pub fn expect(&self) -> anyhow::Result<()> {
        for phase in &self.reads {
            ensure!(phase.failed == 0, "reads failed: {self:#?}");
            ensure!(phase.p99_ms < millis(BAR), "readers waited: {self:#?}");
        }
        ensure!(self.failed_writes[0] == 0 && self.failed_writes[1] > 0, "writes: {self:#?}");
        ensure!(self.elsewhere_until_ms < millis(LEFT_WITHIN), "reads stayed: {self:#?}");
        ensure!(!self.said.is_empty(), "nothing was said: {self:#?}");
        Ok(())
    }
}

/// One read.
struct Asked {
    began: Instant,
    took: Duration,
    ok: bool,
    /// The port of the server that the answer was loaded from; `None` if it was not loaded for this
    /// read.
    loaded: Option<u16>,
}

/// Strikes once. Each of the three phases lasts for `lasts`.
///
/// # Errors
/// When a server does not come up, or writes do not recover.
pub async fn run(blow: Blow, lasts: Duration) -> anyhow::Result<Report> {
    let (redis, mut scene) = (Redis::start().await?, Scene::set(blow).await?);
    // This scenario is not about the store, and on a busy machine an answer after 50 ms is no
    // outage.
    let store = format!("[store]\ntimeout = \"2s\"\nurl = {:?}\n", redis.url());
    let config = format!("{store}{ENTITIES}");
    let host = Host::start_in(scene.environment(), &config).await?;
    for user in 1..=USERS {
        let answer = host.get(&format!("/read/user.profile?id={user}")).await?;
        ensure!(answer.status.is_success(), "{answer:?}");
    }
    let (reads, writes) = (read(&host), write(&host));
    sleep(lasts).await;
    let struck = Instant::now();
    scene.strike().await?;
    sleep(lasts).await;
    let returned = Instant::now();
    scene.relieve().await?;
    sleep(lasts).await;
    let (asked, written) = (reads.stop().await?, writes.stop().await?);
    let last = scene.last();
    let phase = |began: Instant| usize::from(began >= struck) + usize::from(began >= returned);
    let reads = ["before", "meanwhile", "after"].into_iter().enumerate().map(|(nth, name)| {
        let asked = asked.iter().filter(|asked| phase(asked.began) == nth);
        Phase::of(name, asked.map(|asked| (asked.took, asked.ok)).collect(), BAR)
    });
    let failed = |nth| written.iter().filter(|(began, _, ok)| phase(*began) == nth && !ok).count();
    let wrote = written.iter().filter(|(began, _, ok)| *ok && *began >= returned);
    let loaded = |is_there: bool| {
        let after = asked.iter().filter(|asked| asked.began >= returned);
        let loaded =
            after.filter(move |asked| asked.loaded.is_some_and(|from| (from == last) == is_there));
        loaded.map(|asked| asked.began + asked.took)
    };
    let since = |at: Option<Instant>| at.map(|at| millis(at - returned));
    let warned = host.log();
    Ok(Report {
        blow,
        reads: reads.collect(),
        failed_writes: [0, 1, 2].map(failed),
        writes_after_ms: since(wrote.map(|(began, took, _)| *began + *took).min())
            .context("writes did not recover")?,
        loads_after_ms: since(loaded(true).min()).context("loads did not recover")?,
        elsewhere_until_ms: since(loaded(false).max()).unwrap_or(0.0),
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
            let content = outcome.content();
            let server = content.as_ref().ok().and_then(|row| row["server"].as_u64());
            // An answer that was not loaded just now may come from another server than the address
            // leads to.
            let loaded = outcome.answer.as_ref().is_ok_and(Answer::is_loaded);
            Asked {
                began: outcome.began,
                took: outcome.took(),
                ok: content.is_ok(),
                loaded: server.filter(|_| loaded).and_then(|port| port.try_into().ok()),
            }
        }
    })
}

/// Writes rows that are not read, since a write removes the value that a read may get when it is
/// stale.
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
