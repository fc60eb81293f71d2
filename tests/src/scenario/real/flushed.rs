//! Redis is emptied by hand (`FLUSHALL`) while hosts of two configurations read and write the same
//! rows. The first host that notices reads a range without the namings of the other hosts, which
//! believe for a moment longer what they knew, and fill under it.

use std::time::Duration;

use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::time::Instant;

use super::Verdict;
use super::desk::{Read, Way};
use super::rolling::newer;
use super::scene::{Scene, config};
use crate::servers::{Postgres, Redis};
use crate::sim::truth::Subject;

const HOSTS: u8 = 3;

/// Watched from the flush on, until every host has noticed it and some time more.
const WATCHED: Duration = Duration::from_millis(500);

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How often Redis was emptied.
    pub flushes: u32,
    /// The verdict on all requests.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Flushes so often. After each flush every host writes a row of its own, which the other hosts
/// have just read and stored.
///
/// # Errors
/// When a server does not come up, or a host does not start with its configuration.
pub async fn run(flushes: u32) -> anyhow::Result<Report> {
    let redis = Redis::start().await?;
    let urls = vec![redis.url(); usize::from(HOSTS)];
    let mut scene = Scene::set_over(Postgres::start().await?, &urls, by_name_alone).await?;
    let newer = newer(&by_name_alone(config(&redis.url(), &scene.postgres)))?;
    scene.change(0, &newer, 2).await?;
    for _ in 0..flushes {
        scene.fill().await?;
        redis.say(&["FLUSHALL"]).await?;
        let end = Instant::now() + WATCHED;
        try_join_all((0..HOSTS).map(|host| scene.write_what_others_read(host, end))).await?;
    }
    Ok(Report { flushes, verdict: scene.end().await? })
}

/// Removes the tags, since a tag would find the values of every configuration through its index.
fn by_name_alone(config: String) -> String {
    config.replace(", \"tag item:{id}\"", "")
}

impl Scene {
    async fn write_what_others_read(&self, writer: u8, end: Instant) -> anyhow::Result<()> {
        let item = Subject::Item(writer);
        while Instant::now() < end {
            self.desk.write(usize::from(writer), item, Way::Invalidate).await?;
            let others = (0..HOSTS).filter(|host| *host != writer).map(usize::from);
            try_join_all(others.map(async |host| {
                for _ in 0..2 {
                    self.desk.read(host, Read::Row(item)).await?;
                }
                anyhow::Ok(())
            }))
            .await?;
        }
        Ok(())
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
