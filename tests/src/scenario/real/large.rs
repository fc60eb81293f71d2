//! Values of 5 MB and of 400 bytes, asked for at once over a narrow link that connections share
//! fairly. Large values must not disturb others: small values stay hits and are hardly slower, the
//! store is trusted all the time, and the near cache keeps its entries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::scene::SOON;
use crate::client::{Answer, Client};
use crate::forwarder::{Forwarder, Traits};
use crate::scenario::{millis, rows};
use crate::servers::{Host, Postgres, Redis, eventually};

/// The link's rate in each direction, over all connections.
const BYTES_PER_SECOND: u64 = 10_000_000;

const LARGE: usize = 4;
const LARGE_READERS: usize = 2;
const SMALL: usize = 50;
const SMALL_READERS: usize = 4;
const NEAR: usize = 20;

/// The pause of a reader of small values, so that these do not fill the narrow link.
const PAUSE: Duration = Duration::from_millis(5);

/// The origin's texts, of 5 MB and of about 400 bytes; the small ones also go into the near cache.
const ENTITIES: &str = r#"
[entity.large]
params = ["id:int8"]
read = "SELECT $1::int8 AS id, repeat('x', 5000000) AS text"
ttl = "1h"
deadline = "30s"

[entity.small]
params = ["id:int8"]
read = "SELECT $1::int8 AS id, repeat('x', 380) AS text"
ttl = "1h"
deadline = "5s"

[entity.close]
params = ["id:int8"]
read = "SELECT $1::int8 AS id, repeat('x', 380) AS text"
ttl = "1h"
near = "1h"
deadline = "5s"
"#;

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Small values alone.
    pub alone: Small,
    /// The same while large ones are read.
    pub beside: Small,
    /// Large values read meanwhile, and how many of them failed.
    pub large: (usize, usize),
    /// How many of the large values came from the store.
    pub large_hits: usize,
    /// Entries of the near cache before and after.
    pub near: (f64, f64),
    /// The log lines about a store that is not trusted.
    pub distrust: Vec<String>,
}

/// Reads of small values.
#[derive(Debug, Clone, Serialize)]
pub struct Small {
    /// How many.
    pub reads: usize,
    /// How many were not hits.
    pub not_hits: usize,
    /// The median.
    pub p50_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// How many of those for the near cache it did not answer.
    pub not_near: usize,
}

struct Stage {
    host: Host,
    _servers: (Redis, Postgres, Forwarder),
}

struct Answered {
    took: Duration,
    hit: bool,
    near: bool,
    failed: bool,
}

/// Reads small values alone for so long, and then for as long beside large ones.
///
/// # Errors
/// If a server does not come up, or if small values can't be cached.
pub async fn run(lasts: Duration) -> anyhow::Result<Report> {
    let stage = Stage::set().await?;
    let near_before = stage.near().await?;
    let (alone, _) = stage.read(lasts, 0).await?;
    let (beside, large) = stage.read(lasts, LARGE_READERS).await?;
    let near_after = stage.near().await?;
    let log = stage.host.log();
    let distrust = log.lines().filter(|line| line.contains("not trusted"));
    Ok(Report {
        alone,
        beside,
        large: (large.len(), large.iter().filter(|one| one.failed).count()),
        large_hits: large.iter().filter(|one| one.hit).count(),
        near: (near_before, near_after),
        distrust: distrust.map(str::to_owned).collect(),
    })
}

impl Stage {
    /// A host with a wide way to the store stores everything. The host that is watched has a narrow
    /// way and the default budget.
    async fn set() -> anyhow::Result<Self> {
        let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
        let narrow = Traits { bytes_per_second: Some(BYTES_PER_SECOND), ..Traits::default() };
        let way = Forwarder::start_with(&[redis.port()], narrow).await?;
        let wide = Host::start(&config(&redis.url(), &postgres, "timeout = \"10s\"")).await?;
        let host = Host::start(&config(&way.redis_url(), &postgres, "")).await?;
        for id in 0..LARGE {
            until(&wide, &format!("/read/large?id={id}"), Answer::is_hit).await?;
        }
        for id in 0..SMALL {
            until(&host, &format!("/read/small?id={id}"), Answer::is_hit).await?;
        }
        for id in 0..NEAR {
            until(&host, &format!("/read/close?id={id}"), rows::is_near).await?;
        }
        Ok(Self { host, _servers: (redis, postgres, way) })
    }

    async fn near(&self) -> anyhow::Result<f64> {
        Ok(self.host.metrics().await?.sum("corral_near_entries"))
    }

    /// Reads for so long, with so many readers of large values beside those of small values.
    async fn read(
        &self,
        lasts: Duration,
        large_readers: usize,
    ) -> anyhow::Result<(Small, Vec<Answered>)> {
        let over = Arc::new(AtomicBool::new(false));
        let reader =
            |entity, count, pause| read(self.host.url(""), entity, count, pause, Arc::clone(&over));
        let small: Vec<_> = (0..SMALL_READERS).map(|_| reader("small", SMALL, PAUSE)).collect();
        let close = reader("close", NEAR, PAUSE);
        let large: Vec<_> =
            (0..large_readers).map(|_| reader("large", LARGE, Duration::ZERO)).collect();
        sleep(lasts).await;
        over.store(true, Ordering::Relaxed);
        let (small, close, large) = (ended(small).await?, close.await?, ended(large).await?);
        Ok((Small::of(&small, &close), large))
    }
}

/// Reads one value after the other until the time is over.
fn read(
    url: String,
    entity: &'static str,
    count: usize,
    pause: Duration,
    over: Arc<AtomicBool>,
) -> JoinHandle<Vec<Answered>> {
    tokio::spawn(async move {
        let (client, mut answered) = (Client::new(), Vec::new());
        while !over.load(Ordering::Relaxed) {
            sleep(pause).await;
            let id = rand::random_range(0..count);
            let began = Instant::now();
            let answer = client.get(&format!("{url}/read/{entity}?id={id}")).await;
            let took = began.elapsed();
            let (hit, near, failed) = match &answer {
                Ok(answer) if answer.status.is_success() => {
                    (answer.is_hit(), rows::is_near(answer), false)
                }
                Ok(_) | Err(_) => (false, false, true),
            };
            answered.push(Answered { took, hit, near, failed });
        }
        answered
    })
}

async fn ended(readers: Vec<JoinHandle<Vec<Answered>>>) -> anyhow::Result<Vec<Answered>> {
    let read = futures_util::future::try_join_all(readers).await?;
    Ok(read.into_iter().flatten().collect())
}

/// Reads until an answer is as wanted.
async fn until(host: &Host, path: &str, wanted: impl Fn(&Answer) -> bool) -> anyhow::Result<()> {
    eventually(path, SOON, || async { Ok(wanted(&host.get(path).await?).then_some(())) }).await
}

fn config(store_url: &str, postgres: &Postgres, store: &str) -> String {
    let origin = postgres.url();
    format!("[store]\nurl = \"{store_url}\"\n{store}\n[origin]\nurl = \"{origin}\"\n{ENTITIES}")
}

impl Small {
    fn of(small: &[Answered], close: &[Answered]) -> Self {
        let mut took: Vec<f64> = small.iter().map(|one| millis(one.took)).collect();
        took.sort_by(f64::total_cmp);
        let at = |part: usize| took.get(took.len() * part / 100).copied().unwrap_or_default();
        Self {
            reads: small.len(),
            not_hits: small.iter().filter(|one| !one.hit).count(),
            p50_ms: at(50),
            p99_ms: at(99),
            not_near: close.iter().filter(|one| !one.near).count(),
        }
    }
}

impl Report {
    /// Fails if anything was broken, and says what. Beside large values, small ones may be slower by
    /// `slower`, and of a thousand of them `misses` may not be hits: a machine that stands still for
    /// longer than the store's budget makes a miss of a read.
    ///
    /// # Errors
    /// If more small values were not hits, or they were slower, if the store was not trusted, the
    /// near cache lost an entry, or a large value was not answered.
    pub fn expect(&self, slower: Duration, misses: usize) -> anyhow::Result<()> {
        for small in [&self.alone, &self.beside] {
            let hits = small.not_hits * 1000 <= small.reads * misses;
            ensure!(small.reads > 0 && hits && small.not_near == 0, "{self:#?}");
        }
        ensure!(self.distrust.is_empty(), "the store was not trusted: {self:#?}");
        ensure!(
            self.near.0 > 0.0 && self.near.1 >= self.near.0,
            "near entries are lost: {self:#?}"
        );
        ensure!(self.large.0 > 0 && self.large.1 == 0, "large values failed: {self:#?}");
        let more_ms = self.beside.p99_ms - self.alone.p99_ms;
        ensure!(more_ms <= millis(slower), "{more_ms:.1} ms slower: {self:#?}");
        Ok(())
    }
}
