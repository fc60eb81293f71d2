//! An entity's statement changes on three hosts, one after the other, under load with writes, and
//! is rolled back in the same way. Each host answers by its own statement, no answer is stale, and
//! the two configurations do not overwrite each other's values.

use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;
use tokio::time::sleep;

use super::Verdict;
use super::scene::{SOON, Scene, config};
use crate::servers::Redis;

const HOSTS: usize = 3;
const CLIENTS: u64 = 8;
const PAUSE: Duration = Duration::from_millis(20);

/// The columns that both statements have, and the column that only the new one has.
const OLD: &str = "0 AS at_ms";
const NEW: &str = "0 AS at_ms, 2 AS format";

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Reads that were not hits while two configurations ran side by side without writes, after
    /// each side had read everything.
    pub overwritten: usize,
    /// Of all requests. An answer of the other statement's form counts as failed.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// The change and its roll-back, with a pause of this length between two hosts.
///
/// # Errors
/// When a server does not come up, or a host does not start with its configuration.
pub async fn run(pause: Duration) -> anyhow::Result<Report> {
    let redis = Redis::start().await?;
    let mut scene = Scene::set(&vec![redis.url(); HOSTS]).await?;
    let old = config(&redis.url(), &scene.postgres);
    let new = newer(&old)?;
    scene.fill().await?;
    scene.change(0, &new, 2).await?;
    scene.desk.until_hits(0, SOON).await?;
    let overwritten = scene.misses().await?;
    scene.start_clients(CLIENTS, PAUSE, rand::random());
    sleep(pause).await;
    for host in 1..HOSTS {
        scene.change(host, &new, 2).await?;
        sleep(pause).await;
    }
    for host in 0..HOSTS {
        scene.change(host, &old, 1).await?;
        sleep(pause).await;
    }
    let verdict = scene.end().await?;
    scene.fill().await?;
    Ok(Report { overwritten, verdict })
}

/// The configuration with the new statement in place of the old one.
pub(super) fn newer(old: &str) -> anyhow::Result<String> {
    let new = old.replace(OLD, NEW);
    ensure!(new != old, "the new configuration is the old one");
    Ok(new)
}

impl Scene {
    /// Restarts a host with another configuration, whose answers have this form. Clients do not ask
    /// it meanwhile.
    pub(super) async fn change(
        &mut self,
        host: usize,
        config: &str,
        format: u64,
    ) -> anyhow::Result<()> {
        self.desk.leave(host).await?;
        self.hosts[host].configure(config)?;
        self.hosts[host].term()?;
        self.hosts[host].exited().await?;
        self.hosts[host].restart().await?;
        self.desk.come_back(host, format);
        Ok(())
    }

    /// How many rows are not hits. Every row is read on every host in turn, twice.
    async fn misses(&self) -> anyhow::Result<usize> {
        let mut misses = 0;
        for _ in 0..2 {
            for host in 0..HOSTS {
                misses += self.desk.misses(host).await?;
            }
        }
        Ok(misses)
    }
}

impl Report {
    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// As [`Verdict::expect`], and if one side overwrote a value of the other.
    pub fn expect(&self) -> anyhow::Result<()> {
        self.verdict.expect()?;
        ensure!(self.overwritten == 0, "values were overwritten: {self:#?}");
        Ok(())
    }
}
