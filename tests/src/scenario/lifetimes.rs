//! Lifetimes on a real server: keys that are filled together expire apart, a hot key is refreshed
//! before it expires, and short-lived keys leave no trace in the indexes of their tags.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::time::sleep;

use crate::client::Client;
use crate::servers::{Host, Postgres, Redis};

/// When keys that were filled together expire.
#[derive(Debug, Clone, Serialize)]
pub struct Spread {
    /// Number of keys.
    pub keys: usize,
    /// How long filling them took.
    pub filled_in_seconds: f64,
    /// The base lifetime that they were filled with.
    pub base_seconds: u64,
    /// For each ten seconds, the second at which they begin and how many keys expire in them.
    pub histogram: Vec<(u64, usize)>,
}

/// A hot key with early refresh.
#[derive(Debug, Clone, Serialize)]
pub struct Hot {
    /// How many lifetimes the run took.
    pub lifetimes: f64,
    /// Reads.
    pub reads: u64,
    /// Reads that had to wait for a load, the first excepted.
    pub waited: u64,
    /// Loads.
    pub loads: f64,
}

/// Short-lived keys under tags.
#[derive(Debug, Clone, Serialize)]
pub struct Churn {
    /// Keys that were ever filled.
    pub keys: u64,
    /// How long a key lives at most.
    pub lives_seconds: f64,
    /// How long filling took.
    pub seconds: f64,
    /// The most keys alive at a look.
    pub most_alive: usize,
    /// The most members of all indexes together at a look.
    pub most_members: usize,
    /// Members and keys that are left once everything is over.
    pub left: usize,
    /// Keys without a lifetime, at the end.
    pub immortal: usize,
}

const ROWS: &str = r#"
[entity.row]
params = ["id:int8"]
read = "SELECT $1::bigint AS id, $1::bigint % 100 AS team"
rows = "one"
ttl = "TTL"
negative_ttl = "TTL"
tags = ["team:{row.team}"]
deadline = "2s"
load_limit = "2s"

[entity.slow]
params = ["id:int8"]
read = "SELECT $1::bigint AS id FROM pg_sleep(0.05)"
rows = "one"
ttl = "TTL"
deadline = "2s"
load_limit = "2s"
"#;

struct Scene {
    redis: Redis,
    _postgres: Postgres,
    host: Host,
}

impl Scene {
    async fn set(ttl: &str) -> anyhow::Result<Self> {
        let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
        let (store, origin) = (redis.url(), postgres.url());
        let entities = ROWS.replace("TTL", ttl);
        let config = format!(
            "[store]\nurl = \"{store}\"\ntimeout = \"2s\"\n[origin]\nurl = \"{origin}\"\n{entities}"
        );
        Ok(Self { host: Host::start(&config).await?, redis, _postgres: postgres })
    }

    /// Reads these rows over some connections, each once.
    async fn fill(&self, ids: std::ops::Range<u64>) -> anyhow::Result<()> {
        const CONNECTIONS: usize = 32;
        let next = Arc::new(AtomicU64::new(ids.start));
        let work = (0..CONNECTIONS).map(|_| {
            let (next, end, url) = (Arc::clone(&next), ids.end, self.host.url("/read/row"));
            tokio::spawn(async move {
                let client = Client::new();
                loop {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    if id >= end {
                        return anyhow::Ok(());
                    }
                    let answer = client.get(&format!("{url}?id={id}")).await?;
                    ensure!(answer.status.is_success(), "{answer:?}");
                }
            })
        });
        try_join_all(work).await?.into_iter().collect()
    }

    /// The milliseconds that the keys of this pattern have left.
    async fn left_ms(&self, pattern: &str) -> anyhow::Result<Vec<i64>> {
        let mut connection = self.redis.connect().await?;
        let mut left = Vec::new();
        for keys in self.redis.values(pattern).await?.chunks(1_000) {
            let mut pipeline = redis::pipe();
            keys.iter().for_each(|key| {
                pipeline.cmd("PTTL").arg(key);
            });
            let page: Vec<i64> = pipeline.query_async(&mut connection).await?;
            left.extend(page);
        }
        Ok(left)
    }

    async fn members(&self) -> anyhow::Result<usize> {
        let mut connection = self.redis.connect().await?;
        let mut members = 0;
        for index in self.redis.keys("corral:1:tags:*").await? {
            let count: usize = redis::cmd("ZCARD").arg(index).query_async(&mut connection).await?;
            members += count;
        }
        Ok(members)
    }
}

/// Fills so many keys together, with a base of 300 s.
///
/// # Errors
/// If a server does not come up or a request fails.
pub async fn spread(keys: usize) -> anyhow::Result<Spread> {
    const BASE: u64 = 300;
    let scene = Scene::set("300s").await?;
    let began = Instant::now();
    scene.fill(0..keys as u64).await?;
    let filled_in_seconds = began.elapsed().as_secs_f64();
    let mut buckets = std::collections::BTreeMap::new();
    let left = scene.left_ms("v1:row:*").await?;
    ensure!(left.len() == keys, "{} of {keys} keys are there", left.len());
    for left_ms in left {
        let bucket = u64::try_from(left_ms / 10_000).context("a key without a lifetime")? * 10;
        *buckets.entry(bucket).or_insert(0) += 1;
    }
    let histogram = buckets.into_iter().collect();
    Ok(Spread { keys, filled_in_seconds, base_seconds: BASE, histogram })
}

/// Reads one key without pause for so long. Its load takes 50 ms, its base lifetime is 2 s.
///
/// # Errors
/// As [`spread`].
pub async fn hot(lasts: Duration) -> anyhow::Result<Hot> {
    let scene = Scene::set("2s").await?;
    let (client, url) = (Client::new(), scene.host.url("/read/slow?id=1"));
    client.get(&url).await?;
    let (began, mut reads, mut waited) = (Instant::now(), 0, 0);
    while began.elapsed() < lasts {
        let answer = client.get(&url).await?;
        ensure!(answer.status.is_success(), "{answer:?}");
        reads += 1;
        waited += u64::from(!answer.is_hit());
        sleep(Duration::from_millis(1)).await;
    }
    let loads = scene.host.metrics().await?.sum("corral_origin_loads_total");
    Ok(Hot { lifetimes: lasts.as_secs_f64() / 2.0, reads, waited, loads })
}

/// Fills so many keys with a base lifetime of half a second, one after the other.
///
/// # Errors
/// As [`spread`].
pub async fn churn(keys: u64) -> anyhow::Result<Churn> {
    const BASE_SECONDS: f64 = 0.5;
    const LOOKS: u64 = 20;
    let scene = Scene::set("500ms").await?;
    let began = Instant::now();
    let (mut most_alive, mut most_members) = (0, 0);
    for look in 0..LOOKS {
        scene.fill(keys * look / LOOKS..keys * (look + 1) / LOOKS).await?;
        most_alive = most_alive.max(scene.redis.values("v1:row:*").await?.len());
        most_members = most_members.max(scene.members().await?);
    }
    let seconds = began.elapsed().as_secs_f64();
    let immortal = scene.redis.keys_without_lifetime("*").await?.len();
    // The longest time for which an index keeps a member: ten times the base, and the deadline of
    // its load.
    sleep(Duration::from_secs_f64(BASE_SECONDS * 10.0 + 2.0 + 1.0)).await;
    // The keys that say which hosts are alive, how they name reads and which database they have
    // stay for as long as the hosts run.
    let is_about_hosts = |key: &String| {
        key.ends_with("hosts") || key.ends_with("range:{0}") || key.contains(":origin:")
    };
    let left = scene.redis.keys("*").await?.iter().filter(|key| !is_about_hosts(key)).count();
    let lives_seconds = BASE_SECONDS * 1.2;
    Ok(Churn { keys, lives_seconds, seconds, most_alive, most_members, left, immortal })
}
