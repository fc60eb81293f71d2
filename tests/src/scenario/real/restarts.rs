//! Redis ends and comes back with older data: from its snapshot, or from a log whose last second
//! had not reached the disk. Values that were invalidated since then are there again, and so are
//! the leases of loads that began before.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::Verdict;
use super::desk::Read;
use super::scene::Scene;
use crate::scenario::millis;
use crate::servers::{Image, Redis};

const HOSTS: usize = 3;

/// Long enough for a load to outlive the restart, and short enough for its reader's deadline.
const LOAD_MS: u64 = 1_500;

/// The item that it loads.
const ITEM: u8 = 0;

/// Watched after the restart, until the load has ended and some time more.
const WATCHED: Duration = Duration::from_millis(2_500);

/// What Redis comes back from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum From {
    /// A snapshot that was taken before the writes; the process is killed.
    Snapshot,
    /// The append-only file as it was on the disk before the writes (`appendfsync everysec`); the
    /// whole machine ends.
    Log,
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What Redis came back from.
    pub from: From,
    /// From the restart until every row was a hit on every host again, in each round.
    pub cold_ms: Vec<f64>,
    /// The verdict on all requests.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Runs so many rounds: values and a lease are there, Redis saves them, every row is written, Redis
/// ends and comes back.
///
/// # Errors
/// When a server does not come up, or the cache is not used again.
pub async fn run(from: From, rounds: u32) -> anyhow::Result<Report> {
    let mut redis = match from {
        From::Snapshot => Redis::start().await?,
        From::Log => Redis::start_append_only().await?,
    };
    let mut scene = Scene::set(&vec![redis.url(); HOSTS]).await?;
    let mut cold_ms = Vec::new();
    for round in 0..rounds {
        scene.fill().await?;
        // Another key in each round, which is cold.
        let ms = LOAD_MS + u64::from(round);
        let load = scene.begin_slow(0, ITEM, ms).await?;
        let image = remember(&redis, from).await?;
        scene.write_all(&[0, 1, 2]).await?;
        match &image {
            None => redis.restart().await?,
            Some(image) => redis.restart_from(image).await?,
        }
        let back = Instant::now();
        scene.watch(WATCHED).await?;
        load.await??;
        for host in 0..HOSTS {
            scene.desk.read(host, Read::Slow(ITEM, ms)).await?;
        }
        scene.fill().await?;
        cold_ms.push(millis(back.elapsed()));
    }
    Ok(Report { from, cold_ms, verdict: scene.end().await? })
}

/// Has Redis save what it has now; `None` if it saves to its own folder.
async fn remember(redis: &Redis, from: From) -> anyhow::Result<Option<Image>> {
    match from {
        From::Snapshot => redis.save().await.map(|()| None),
        From::Log => redis.image().map(Some),
    }
}

impl Report {
    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// As [`Verdict::expect`].
    pub fn expect(&self) -> anyhow::Result<()> {
        self.verdict.expect()
    }
}
