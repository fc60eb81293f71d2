//! Three hosts behind a balancer are replaced one after the other under load with writes, then get
//! another configuration in the same way, and so on until there were enough requests. Failures are
//! counted, and there may be none.

mod client;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::servers::{Balancer, Host, Postgres, Program, Redis, eventually};

use client::{Client, Seen};

/// Far longer than a host takes to end and a balancer to notice.
const SOON: Duration = Duration::from_secs(120);

/// How long a host that is asked to end goes on serving; also the default.
const DRAIN: &str = "5s";

const SCHEMA: &str = "CREATE TABLE items (id bigint PRIMARY KEY, n bigint NOT NULL)";

const OLD: &str = "SELECT id, n FROM items";
const NEW: &str = "SELECT id, n, 2 AS form FROM items";

const ENTITIES: &str = r#"
[policy]
watch = false

[query]
enabled = true

[entity.item]
params = ["id:int8"]
read = "SELECT id, n FROM items WHERE id = $1"
ttl = "1h"

[entity.item.write.add]
params = ["id:int8"]
sql = "UPDATE items SET n = n + 1 WHERE id = $1"
touches = ["item(id)"]

[entity.item.write.slowly]
params = ["id:int8"]
sql = "UPDATE items SET n = n + 1 FROM pg_sleep(0.05) WHERE id = $1"
touches = ["item(id)"]
"#;

/// How the scenario is run.
#[derive(Debug, Clone, Copy, Args)]
pub struct Rolling {
    /// The balancer.
    #[arg(long, value_enum, default_value = "haproxy")]
    pub balancer: Balancer,
    /// Requests of all clients, at least.
    #[arg(long, default_value_t = 100_000)]
    pub requests: u64,
    /// Clients, each with one connection.
    #[arg(long, default_value_t = 16)]
    pub clients: u64,
    /// Milliseconds between two requests of a client.
    #[arg(long, default_value_t = 0)]
    pub pause_ms: u64,
    /// How a host ends.
    #[arg(long, value_enum, default_value = "drained")]
    pub ending: Ending,
}

/// How a host ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// By SIGTERM, and it drains.
    Drained,
    /// By SIGTERM, without a drain.
    Undrained,
    /// By SIGKILL.
    Killed,
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The balancer.
    pub balancer: Balancer,
    /// How hosts ended.
    pub ending: Ending,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Requests of the clients.
    pub requests: u64,
    /// How many of those were `POST`.
    pub posts: u64,
    /// What failed, by the message.
    pub failed: BTreeMap<String, u64>,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// How many of those were acknowledged as reaching other hosts later.
    pub pending: u64,
    /// Writes in the database; a write that was sent twice counts twice.
    pub written: u64,
    /// Milliseconds of the slowest request.
    pub slowest_ms: f64,
    /// The replacements of hosts, and the changes of their configurations.
    pub changes: Vec<Change>,
}

/// What happened to a host.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// Which host.
    pub host: usize,
    /// The signal that it was sent.
    pub signal: &'static str,
    /// Seconds until it had ended, or until the other configuration was in force.
    pub took_s: f64,
    /// Requests that ended during the change, and until the balancer sent requests to the host
    /// again.
    pub requests_meanwhile: u64,
    /// Reads that this host had answered before the change.
    pub reads_before: u64,
    /// Reads that it had answered by the end of the change.
    pub reads_after: u64,
}

impl Report {
    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// When a request failed, a write was lost or made twice, or a host was not replaced under
    /// load.
    pub fn expect(&self) -> anyhow::Result<()> {
        ensure!(self.failed.is_empty(), "requests failed: {self:#?}");
        ensure!(self.acknowledged == self.written, "not every write was made once: {self:#?}");
        ensure!(self.posts * 10 > self.requests, "too few writes: {self:#?}");
        self.expect_changes()
    }

    /// Fails unless every host was replaced and changed under load, and served before and
    /// afterwards.
    ///
    /// # Errors
    /// The changes.
    pub fn expect_changes(&self) -> anyhow::Result<()> {
        let under_load = |change: &Change| {
            change.requests_meanwhile > 0 && change.reads_before > 0 && change.reads_after > 0
        };
        let is_whole = !self.changes.is_empty() && self.changes.len().is_multiple_of(6);
        ensure!(is_whole && self.changes.iter().all(under_load), "{self:#?}");
        Ok(())
    }
}

/// What the clients share with the task that changes the hosts.
#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    done: AtomicU64,
}

/// The hosts, and the counts of their requests.
struct Scene {
    hosts: [Host; 3],
    shared: Arc<Shared>,
    ending: Ending,
}

impl Rolling {
    /// Runs the scenario.
    ///
    /// # Errors
    /// When a server does not come up, or a host does not end or change.
    pub async fn run(&self) -> anyhow::Result<Report> {
        let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
        let rows = format!(
            "{SCHEMA}; INSERT INTO items SELECT n, 0 FROM generate_series(0, {}) AS n",
            self.clients
        );
        postgres.psql(&rows).await?;
        let old = self.config(&redis, &postgres);
        let new = old.replace(OLD, NEW);
        ensure!(new != old, "the new configuration is the old one");
        let hosts = [Host::start(&old).await?, Host::start(&old).await?, Host::start(&old).await?];
        let addresses = hosts.each_ref().map(|host| host.url("").replace("http://", ""));
        let balancer = self.balancer.start(addresses).await?;
        let mut scene = Scene { hosts, shared: Arc::default(), ending: self.ending };
        let began = Instant::now();
        let clients = self.clients(&balancer, &scene.shared);
        let mut changes = Vec::new();
        for (config, form) in [(&new, Some(2)), (&old, None)].into_iter().cycle() {
            for host in 0..scene.hosts.len() {
                changes.push(scene.replace(host).await?);
            }
            for host in 0..scene.hosts.len() {
                changes.push(scene.reconfigure(host, config, form).await?);
            }
            if scene.done() >= self.requests {
                break;
            }
        }
        scene.shared.is_over.store(true, Ordering::Relaxed);
        let seen = clients.join_all().await.into_iter().fold(Seen::default(), Seen::and);
        Ok(Report {
            balancer: self.balancer,
            ending: self.ending,
            seconds: began.elapsed().as_secs_f64(),
            requests: seen.requests,
            posts: seen.posts,
            failed: seen.failed,
            acknowledged: seen.acknowledged,
            pending: seen.pending,
            written: written(&postgres).await?,
            slowest_ms: super::millis(seen.slowest),
            changes,
        })
    }

    fn config(&self, redis: &Redis, postgres: &Postgres) -> String {
        let drain = match self.ending {
            Ending::Drained => DRAIN,
            Ending::Undrained | Ending::Killed => "0s",
        };
        format!(
            "drain = \"{drain}\"\n[store]\nurl = \"{}\"\ntimeout = \"2s\"\n[origin]\nurl = \"{}\"\n{ENTITIES}",
            redis.url(),
            postgres.url()
        )
    }

    fn clients(&self, balancer: &Program, shared: &Arc<Shared>) -> JoinSet<Seen> {
        let pause = Duration::from_millis(self.pause_ms);
        let client = |row| Client::new(balancer.url(), row, self.clients);
        (0..self.clients).map(|row| client(row).run(pause, Arc::clone(shared))).collect()
    }
}

impl Scene {
    /// Ends a host and starts it again; returns when the balancer sends requests to it.
    async fn replace(&mut self, host: usize) -> anyhow::Result<Change> {
        let reads_before = self.until_read_from(host, 0).await?;
        let (began, done) = (Instant::now(), self.done());
        let process = self.hosts[host].pid();
        let signal = match self.ending {
            Ending::Drained | Ending::Undrained => {
                self.hosts[host].term()?;
                self.hosts[host].exited().await?;
                "SIGTERM"
            }
            Ending::Killed => {
                self.hosts[host].kill();
                "SIGKILL"
            }
        };
        let took_s = began.elapsed().as_secs_f64();
        self.hosts[host].restart().await?;
        ensure!(self.hosts[host].pid() != process, "host {host} is the same process");
        let reads_after = self.until_read_from(host, 0).await?;
        let requests_meanwhile = self.done() - done;
        Ok(Change { host, signal, took_s, requests_meanwhile, reads_before, reads_after })
    }

    /// Gives a host another configuration while it serves. Answers under it have this form.
    async fn reconfigure(
        &mut self,
        host: usize,
        config: &str,
        form: Option<u64>,
    ) -> anyhow::Result<Change> {
        let reads_before = self.until_read_from(host, 0).await?;
        let (began, done) = (Instant::now(), self.done());
        let this = &self.hosts[host];
        this.configure(config)?;
        this.hup()?;
        eventually("the other configuration is in force", SOON, || async {
            let row = this.get("/read/item?id=0").await?.json()?;
            Ok((row.get("form").and_then(Value::as_u64) == form).then_some(()))
        })
        .await?;
        let took_s = began.elapsed().as_secs_f64();
        let reads_after = self.until_read_from(host, reads_before).await?;
        let requests_meanwhile = self.done() - done;
        let signal = "SIGHUP";
        Ok(Change { host, signal, took_s, requests_meanwhile, reads_before, reads_after })
    }

    /// Waits until a host has answered more reads than `reads`; returns how many it has answered.
    async fn until_read_from(&self, host: usize, reads: u64) -> anyhow::Result<u64> {
        let this = &self.hosts[host];
        eventually("the balancer sends requests to the host", SOON, || async {
            let all = this.metrics().await?.sum("corral_reads_total") as u64;
            Ok((all > reads).then_some(all))
        })
        .await
    }

    fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }
}

async fn written(postgres: &Postgres) -> anyhow::Result<u64> {
    let rows = postgres.psql("SELECT sum(n) FROM items").await?;
    let sum = rows.first().and_then(|row| row.first()).and_then(Clone::clone);
    Ok(sum.context("a sum")?.parse()?)
}
