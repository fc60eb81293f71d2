//! `PgBouncer` between a host and Postgres, as Debian ships it, lending twenty connections by
//! transaction: reads, writes, write-through and ad-hoc queries on a schedule, while the table's
//! columns change and `corral check` runs. Failures are counted, and there may be none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use super::millis;
use crate::client::{Answer, Client};
use crate::servers::{Host, PgBouncer, Postgres, Redis, corral};

/// Rows of the table; most of them are read from the cache.
const ROWS: u64 = 1_000;

/// How many requests in a hundred do not read a row that the cache has, and so reach Postgres.
const COLD: u64 = 5;
const WRITES: u64 = 3;
const WRITES_THROUGH: u64 = 3;
const QUERIES: u64 = 3;

/// The pause between two changes of the table.
const CHANGES_EVERY: Duration = Duration::from_millis(500);

/// The pause between two runs of `corral check`.
const CHECKS_EVERY: Duration = Duration::from_secs(5);

const SCHEMA: &str =
    "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL, name text NOT NULL);
    INSERT INTO items SELECT n, 0, 'item' FROM generate_series(0, 999) AS n";

/// The changes of the table, made in turn. The entity's statement selects all columns.
const CHANGES: [&str; 4] = [
    "ALTER TABLE items ALTER COLUMN n TYPE bigint",
    "ALTER TABLE items ADD COLUMN note text DEFAULT 'new'",
    "ALTER TABLE items ALTER COLUMN n TYPE int",
    "ALTER TABLE items DROP COLUMN note",
];

const ENTITIES: &str = r#"
[query]
enabled = true

[entity.item]
params = ["id:int8"]
read = "SELECT * FROM items WHERE id = $1"
ttl = "1h"
tags = ["item:{row.id}"]
deadline = "5s"

[entity.item.write.put]
params = ["id:int8"]
sql = "UPDATE items SET n = n + 1 WHERE id = $1 RETURNING id, n"
touches = ["item(row.id)"]
allow = ["stale-reads"]

[entity.item.write.through]
params = ["id:int8"]
sql = "UPDATE items SET n = n + 1 WHERE id = $1"
then = "write-through"
touches = ["item(id)"]
allow = ["stale-reads"]

[entity.cold]
params = ["nonce:int8"]
read = "SELECT $1 AS nonce, items.* FROM items WHERE id = $1 % 1000"
ttl = "1s"
deadline = "5s"
"#;

/// How the scenario is run.
#[derive(Debug, Clone, Copy)]
pub struct Pooling {
    /// Requests in a second, each at its time.
    pub rate: u32,
    /// How long it runs.
    pub lasts: Duration,
    /// Clients of the host.
    pub clients: u32,
    /// Connections that the pooler has to the server.
    pub lent: u16,
}

/// The result of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Requests that were answered.
    pub requests: u64,
    /// The same in a second.
    pub requests_per_second: f64,
    /// Requests that could not be answered from the cache, in a second.
    pub past_the_cache_per_second: f64,
    /// Transactions of the server in a second, including those of loads, writes and queries.
    pub transactions_per_second: f64,
    /// The most sessions that the server had from the pooler.
    pub most_sessions: i64,
    /// How often the table was changed.
    pub changes: u64,
    /// How often `corral check` ran.
    pub checks: u64,
    /// Half of the requests took at most so long from the time at which they were due.
    pub p50_ms: f64,
    /// All but a hundredth took at most so long.
    pub p99_ms: f64,
    /// What failed, by the message.
    pub failed: BTreeMap<String, u64>,
}

impl Report {
    /// Whether nothing failed, and as much was done as was planned.
    #[must_use]
    pub fn holds(&self, asked: &Pooling) -> bool {
        self.failed.is_empty()
            && self.requests_per_second >= 0.95 * f64::from(asked.rate)
            && self.past_the_cache_per_second >= 0.1 * f64::from(asked.rate)
            && self.most_sessions <= i64::from(asked.lent)
            && self.changes > 0
            && self.checks > 0
    }
}

/// What the clients share.
struct Shared {
    url: String,
    is_over: AtomicBool,
    due: AtomicU64,
    past_the_cache: AtomicU64,
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    failed: BTreeMap<String, u64>,
}

impl Pooling {
    /// Runs the scenario.
    ///
    /// # Errors
    /// If a server does not come up, or a change of the table fails.
    pub async fn run(&self) -> anyhow::Result<Report> {
        let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
        postgres.psql(SCHEMA).await?;
        let pooler = PgBouncer::start(postgres.port(), self.lent, &[]).await?;
        let config = format!(
            "[store]\nurl = \"{}\"\ntimeout = \"2s\"\n[origin]\nurl = \"{}\"\n{ENTITIES}",
            redis.url(),
            pooler.url()
        );
        let host = Host::start(&config).await?;
        let shared = Arc::new(Shared {
            url: host.url(""),
            is_over: AtomicBool::new(false),
            due: AtomicU64::new(0),
            past_the_cache: AtomicU64::new(0),
        });
        let postgres = Arc::new(postgres);
        let changing = change(Arc::clone(&postgres), Arc::clone(&shared));
        let checking = check(config, Arc::clone(&shared));
        let (began, transactions) = (Instant::now(), transactions(&postgres).await?);
        let mut clients = JoinSet::new();
        for _ in 0..self.clients {
            clients.spawn(client(*self, began, Arc::clone(&shared)));
        }
        let mut report = Report::default();
        let mut took = Vec::new();
        for seen in clients.join_all().await {
            took.extend(seen.took);
            for (said, times) in seen.failed {
                *report.failed.entry(said).or_default() += times;
            }
        }
        report.seconds = began.elapsed().as_secs_f64();
        shared.is_over.store(true, Ordering::Relaxed);
        let made = transactions_since(&postgres, transactions).await?;
        (report.changes, report.most_sessions) = changing.await??;
        let (checks, complaints) = checking.await??;
        report.checks = checks;
        for complaint in complaints {
            *report.failed.entry(complaint).or_default() += 1;
        }
        took.sort_unstable();
        let at = |part: f64| took.get((took.len() as f64 * part) as usize).copied();
        report.requests = took.len() as u64;
        report.requests_per_second = took.len() as f64 / report.seconds;
        let past = shared.past_the_cache.load(Ordering::Relaxed) as f64;
        report.past_the_cache_per_second = past / report.seconds;
        report.transactions_per_second = made / report.seconds;
        report.p50_ms = millis(at(0.5).unwrap_or_default());
        report.p99_ms = millis(at(0.99).unwrap_or_default());
        Ok(report)
    }
}

/// One client: takes the request that is due next, until the time is over.
async fn client(asked: Pooling, began: Instant, shared: Arc<Shared>) -> Seen {
    let (client, mut seen) = (Client::new(), Seen::default());
    loop {
        let turn = shared.due.fetch_add(1, Ordering::Relaxed);
        let due = began + Duration::from_secs_f64(turn as f64 / f64::from(asked.rate));
        if due >= began + asked.lasts {
            return seen;
        }
        tokio::time::sleep_until(due.into()).await;
        let answer = request(&client, &shared, turn).await;
        seen.took.push(due.elapsed());
        if let Some(said) = failure(answer) {
            *seen.failed.entry(said).or_default() += 1;
        }
    }
}

async fn request(client: &Client, shared: &Shared, turn: u64) -> anyhow::Result<Answer> {
    let (kind, round) = (turn % 100, turn / 100);
    let id = turn.wrapping_mul(7_919) % ROWS;
    let is_past = kind < COLD + WRITES + WRITES_THROUGH + QUERIES;
    if is_past {
        shared.past_the_cache.fetch_add(1, Ordering::Relaxed);
    }
    let url = &shared.url;
    let post = async |path: &str, body: serde_json::Value| {
        let url = format!("{url}{path}");
        client
            .request(Method::POST, &url, &[("content-type", "application/json")], body.to_string())
            .await
    };
    if kind < COLD {
        client.get(&format!("{url}/read/cold?nonce={turn}")).await
    } else if kind < COLD + WRITES {
        post("/write/item/put", json!({"id": id})).await
    } else if kind < COLD + WRITES + WRITES_THROUGH {
        post("/write/item/through", json!({"id": id})).await
    } else if is_past {
        let sql = format!("SELECT *, {round} AS round FROM items WHERE id = $1 AND n >= $2");
        post("/query", json!({"sql": sql, "params": [id, 0], "ttl": "1s"})).await
    } else {
        client.get(&format!("{url}/read/item?id={id}")).await
    }
}

/// The message of an answer other than status 200; `None` for status 200.
fn failure(answer: anyhow::Result<Answer>) -> Option<String> {
    match answer {
        Ok(answer) if answer.status == StatusCode::OK => None,
        Ok(answer) => Some(format!("{} {}", answer.status, answer.text().unwrap_or_default())),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// Changes the table again and again; returns how often, and the most sessions that were seen
/// meanwhile.
fn change(postgres: Arc<Postgres>, shared: Arc<Shared>) -> JoinHandle<anyhow::Result<(u64, i64)>> {
    tokio::spawn(async move {
        let (mut changes, mut most) = (0, 0);
        let mut ticks = interval(CHANGES_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !shared.is_over.load(Ordering::Relaxed) {
            ticks.tick().await;
            for change in CHANGES {
                postgres.psql(change).await.with_context(|| change.to_owned())?;
                changes += 1;
            }
            let sessions = "SELECT count(*) FROM pg_stat_activity \
                            WHERE backend_type = 'client backend' AND application_name <> 'corral-tests'";
            most = most.max(number(&postgres, sessions).await? as i64);
        }
        Ok((changes, most))
    })
}

/// Runs `corral check` again and again; returns how often, and its complaints.
fn check(config: String, shared: Arc<Shared>) -> JoinHandle<anyhow::Result<(u64, Vec<String>)>> {
    tokio::spawn(async move {
        let home = tempfile::tempdir()?;
        let file = home.path().join("corral.toml");
        // The addresses of this configuration are not used: the serving host has its own.
        let listen = "listen = \"127.0.0.1:0\"\nadmin = { listen = \"127.0.0.1:0\" }\n";
        std::fs::write(&file, format!("{listen}{config}"))?;
        let (mut checks, mut complaints) = (0, Vec::new());
        let mut ticks = interval(CHECKS_EVERY);
        while !shared.is_over.load(Ordering::Relaxed) {
            ticks.tick().await;
            let mut command = tokio::process::Command::from(corral()?);
            let output = command.arg("check").arg("--config").arg(&file).output().await?;
            checks += 1;
            if !output.status.success() {
                complaints.push(String::from_utf8_lossy(&output.stderr).into_owned());
                complaints.push(String::from_utf8_lossy(&output.stdout).into_owned());
            }
        }
        Ok((checks, complaints))
    })
}

async fn transactions(postgres: &Postgres) -> anyhow::Result<f64> {
    let sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database \
               WHERE datname = current_database()";
    number(postgres, sql).await
}

/// Sessions report their transactions a second later, or when they end.
async fn transactions_since(postgres: &Postgres, before: f64) -> anyhow::Result<f64> {
    Ok(transactions(postgres).await? - before)
}

async fn number(postgres: &Postgres, sql: &str) -> anyhow::Result<f64> {
    let rows = postgres.psql(sql).await?;
    let value = rows.first().and_then(|row| row.first()).and_then(Clone::clone);
    let value = value.context("one number")?;
    ensure!(!value.is_empty(), "one number");
    Ok(value.parse()?)
}
