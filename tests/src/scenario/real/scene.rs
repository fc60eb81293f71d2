//! Hosts over versioned rows, and clients that ask them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use futures_util::future::try_join_all;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::Verdict;
use super::desk::{Desk, ITEMS, Read, Seen, TEAMS, Told, Way, all, client, subjects};
use crate::scenario::rows;
use crate::servers::{Host, Postgres, eventually};
use crate::sim::truth::Subject;

/// Far longer than any wait.
pub(super) const SOON: Duration = Duration::from_secs(60);

/// How soon a write is repeated after an answer that not every host knows of it.
const AGAIN: Duration = Duration::from_millis(100);

/// On a busy machine the store may answer a little late without having failed.
const STORE: &str = "timeout = \"250ms\"";

/// A read of an item that takes as long as its parameter says, and reads a snapshot of its
/// beginning.
const SLOW: &str = r#"
[entity.slow]
params = ["id:int8", "ms:int8"]
read = """SELECT i.version, i.team, t.version AS team_version, 0 AS at_ms
          FROM items i JOIN teams t ON t.id = i.team, pg_sleep($2::bigint / 1000.0) WHERE i.id = $1"""
rows = "one"
ttl = "1h"
tags = ["item:{id}", "team:{row.team}"]
deadline = "10s"
"#;

/// Hosts over one origin, each with its own way to the store. Ends on drop.
pub(super) struct Scene {
    pub(super) hosts: Vec<Host>,
    pub(super) postgres: Postgres,
    pub(super) desk: Arc<Desk>,
    clients: Vec<JoinHandle<anyhow::Result<()>>>,
}

/// The configuration of a host over this store and the rows in `postgres`.
pub(super) fn config(store_url: &str, postgres: &Postgres) -> String {
    let rows = rows::config(store_url, postgres, STORE, Duration::ZERO);
    rows.replace(r#"touches = ["item(id)"]"#, r#"touches = ["item(id)", "tag item:{id}"]"#) + SLOW
}

impl Scene {
    /// Makes the rows and starts a host for each of these ways to the store.
    pub(super) async fn set(store_urls: &[String]) -> anyhow::Result<Self> {
        Self::set_over(Postgres::start().await?, store_urls, |config| config).await
    }

    /// The same over the caller's Postgres, with a configuration that `adapt` changes.
    pub(super) async fn set_over(
        postgres: Postgres,
        store_urls: &[String],
        adapt: impl Fn(String) -> String,
    ) -> anyhow::Result<Self> {
        rows::make(&postgres, ITEMS, TEAMS).await?;
        let configs = store_urls.iter().map(|url| adapt(config(url, &postgres)));
        let hosts = try_join_all(configs.map(async |config| Host::start(&config).await)).await?;
        let desk = Arc::new(Desk::new(&hosts));
        Ok(Self { hosts, postgres, desk, clients: Vec::new() })
    }

    /// Waits until every row is a hit on every host.
    pub(super) async fn fill(&self) -> anyhow::Result<()> {
        let hosts = 0..self.hosts.len();
        try_join_all(hosts.map(|host| self.desk.until_hits(host, SOON))).await?;
        Ok(())
    }

    /// Begins a read that takes so long, and returns once its load has begun under a lease.
    pub(super) async fn begin_slow(
        &self,
        host: usize,
        item: u8,
        ms: u64,
    ) -> anyhow::Result<JoinHandle<anyhow::Result<Option<Seen>>>> {
        let desk = Arc::clone(&self.desk);
        let reading = tokio::spawn(async move { desk.read(host, Read::Slow(item, ms)).await });
        let sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        eventually("a slow load begins", SOON, || async {
            let there = !self.postgres.psql(sleeping).await?.is_empty();
            Ok((there || reading.is_finished()).then_some(()))
        })
        .await?;
        ensure!(!reading.is_finished(), "a slow read was answered at once: {:?}", reading.await?);
        Ok(reading)
    }

    /// Reads everything through every host, on many connections, for so long.
    pub(super) async fn watch(&self, lasts: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + lasts;
        try_join_all((0..self.hosts.len()).map(async |host| {
            while Instant::now() < end {
                for read in all() {
                    self.desk.read(host, read).await?;
                }
            }
            anyhow::Ok(())
        }))
        .await?;
        Ok(())
    }

    /// Writes every row, through the hosts in turn and in both ways. Each write is repeated until
    /// its writer is told that every host knows of it.
    pub(super) async fn write_all(&self, hosts: &[usize]) -> anyhow::Result<()> {
        for (nth, subject) in subjects().enumerate() {
            let way = if nth % 2 == 0 { Way::Invalidate } else { Way::Through };
            self.write_one(hosts[nth % hosts.len()], subject, way).await?;
        }
        Ok(())
    }

    async fn write_one(&self, host: usize, subject: Subject, way: Way) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let told = self.desk.write(host, subject, way).await?;
            if told == Told::Done {
                return Ok(());
            }
            ensure!(began.elapsed() < SOON, "a write of {subject} through host {host}: {told:?}");
            // The debt is paid while no further write adds to it.
            sleep(AGAIN).await;
        }
    }

    /// Starts clients that read and write, each with pauses of up to `pause`.
    pub(super) fn start_clients(&mut self, clients: u64, pause: Duration, seed: u64) {
        self.clients.extend((0..clients).map(|number| {
            let desk = Arc::clone(&self.desk);
            tokio::spawn(client(desk, pause, seed.wrapping_add(number)))
        }));
    }

    /// Lets the requests on their way end, and judges all of them.
    pub(super) async fn end(&mut self) -> anyhow::Result<Verdict> {
        self.desk.close();
        for ended in try_join_all(self.clients.drain(..)).await? {
            ended?;
        }
        Ok(self.desk.verdict())
    }
}
