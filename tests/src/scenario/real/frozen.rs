//! Hosts and the store freeze for a while under load, whatever they are doing, and resume.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use tokio::time::sleep;

use super::Verdict;
use super::scene::Scene;
use crate::servers::Redis;

const HOSTS: usize = 3;
const CLIENTS: u64 = 8;
const PAUSE: Duration = Duration::from_millis(20);

/// Below a reader's deadline, so that a client that waits for a frozen host is answered.
const FROZEN_MS: std::ops::Range<u64> = 300..1_200;
const THAWED_MS: std::ops::Range<u64> = 100..600;

/// What freezes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Frozen {
    /// One of the hosts.
    Host,
    /// Redis.
    Store,
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What froze.
    pub frozen: Frozen,
    /// How often.
    pub rounds: u32,
    /// The verdict on all requests.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Freezes it so often.
///
/// # Errors
/// When a server does not come up, or the cache is not used again.
pub async fn run(frozen: Frozen, rounds: u32, seed: u64) -> anyhow::Result<Report> {
    let redis = Redis::start().await?;
    let mut scene = Scene::set(&vec![redis.url(); HOSTS]).await?;
    scene.fill().await?;
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    scene.start_clients(CLIENTS, PAUSE, seed);
    for _ in 0..rounds {
        let host = &scene.hosts[random.random_range(0..HOSTS)];
        sleep(Duration::from_millis(random.random_range(THAWED_MS))).await;
        match frozen {
            Frozen::Host => host.stop()?,
            Frozen::Store => redis.stop()?,
        }
        sleep(Duration::from_millis(random.random_range(FROZEN_MS))).await;
        match frozen {
            Frozen::Host => host.cont()?,
            Frozen::Store => redis.cont()?,
        }
    }
    let verdict = scene.end().await?;
    scene.fill().await?;
    Ok(Report { frozen, rounds, verdict })
}

impl Report {
    /// Fails if anything was broken, and says what. A write may be refused: the database ends a
    /// transaction whose host is frozen, so that other transactions do not wait for it too long.
    ///
    /// # Errors
    /// As [`Verdict::expect_of_reads`].
    pub fn expect(&self) -> anyhow::Result<()> {
        self.verdict.expect_of_reads()
    }
}
