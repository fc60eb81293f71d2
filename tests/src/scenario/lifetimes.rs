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

/// How far lifetimes lie from their base at most, as a share of it: the built-in policy's default.
const JITTER: f64 = 0.2;

/// How many seconds each bucket of [`Spread`] covers.
const BUCKET_SECONDS: u64 = 10;

/// How many standard deviations a bucket may be from the mean: by chance, a bucket is further from it
/// in a few of a million runs.
const DEVIATIONS: f64 = 5.0;

/// How long an index keeps a member at most: ten times the base lifetime of half a second, the
/// `load_limit` of its load, and a second until the next write to the index trims it.
const KEPT: Duration = Duration::from_secs(8);

/// When keys that were filled together expire.
#[derive(Debug, Clone, Serialize)]
pub struct Spread {
    /// Number of keys.
    pub keys: usize,
    /// How long filling them took.
    pub filled_in_seconds: f64,
    /// How long after the first fill the last lifetime was asked for.
    pub looked_at_seconds: f64,
    /// The base lifetime that they were filled with.
    pub base_seconds: u64,
    /// For each ten seconds, the second at which they begin and how many keys expire in them.
    pub histogram: Vec<(u64, usize)>,
}

impl Spread {
    /// Whether all keys expire within the base lifetime ± 20 %, and in each ten seconds of that time
    /// about as many as in any other.
    #[must_use]
    pub fn holds(&self) -> bool {
        let base = self.base_seconds as f64;
        let (first, last) = (base * (1.0 - JITTER), base * (1.0 + JITTER));
        // The first key had lived for at most so long when the last one was looked at.
        let lived = self.looked_at_seconds;
        let mean = self.keys as f64 * BUCKET_SECONDS as f64 / (last - first);
        let apart = DEVIATIONS * mean.sqrt();
        let expiring = |from: u64| {
            self.histogram.iter().find(|(it, _)| *it == from).map_or(0, |(_, count)| *count)
        };
        let is_even = |from: u64| {
            let (count, from) = (expiring(from) as f64, from as f64);
            let to = from + BUCKET_SECONDS as f64;
            let least = if from >= first && to <= last - lived { mean - apart } else { 0.0 };
            let most = if to > first - lived && from < last { mean + apart } else { 0.0 };
            (least..=most).contains(&count)
        };
        let mut buckets = (0..=last as u64).step_by(BUCKET_SECONDS as usize);
        let counted: usize = buckets.clone().map(expiring).sum();
        counted == self.keys && buckets.all(is_even)
    }
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

impl Hot {
    /// Whether the key was read through all of its lifetimes, and no reader waited for it. A value lives
    /// for its base and the jitter at most, and so that many loads are the least.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.reads > 0 && self.waited == 0 && self.loads > self.lifetimes / (1.0 + JITTER)
    }
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
    /// The most members at a look beyond the keys that were filled within the time for which an
    /// index keeps a member.
    pub untrimmed: usize,
    /// Members and keys that are left once everything is over.
    pub left: usize,
    /// Keys without a lifetime, at the end.
    pub immortal: usize,
}

impl Churn {
    /// Whether keys and members were seen, every key had a lifetime, the indexes held no more than they
    /// may, and nothing was left at the end.
    #[must_use]
    pub fn holds(&self) -> bool {
        let were_seen = self.most_alive > 0 && self.most_members > 0;
        were_seen && (self.immortal, self.untrimmed, self.left) == (0, 0, 0)
    }
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
    let looked_at_seconds = began.elapsed().as_secs_f64();
    ensure!(left.len() == keys, "{} of {keys} keys are there", left.len());
    for left_ms in left {
        let left_ms = u64::try_from(left_ms).context("a key without a lifetime")?;
        let bucket = left_ms / 1_000 / BUCKET_SECONDS * BUCKET_SECONDS;
        *buckets.entry(bucket).or_insert(0) += 1;
    }
    let histogram = buckets.into_iter().collect();
    Ok(Spread { keys, filled_in_seconds, looked_at_seconds, base_seconds: BASE, histogram })
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
    // How many keys had been filled at the moments of the looks.
    let mut filled = vec![(began, 0)];
    let (mut most_alive, mut most_members, mut untrimmed) = (0, 0, 0);
    for look in 0..LOOKS {
        let end = keys * (look + 1) / LOOKS;
        scene.fill(keys * look / LOOKS..end).await?;
        filled.push((Instant::now(), end));
        most_alive = most_alive.max(scene.redis.values("v1:row:*").await?.len());
        let members = scene.members().await?;
        most_members = most_members.max(members);
        untrimmed = untrimmed.max(members.saturating_sub(of_late(&filled)));
    }
    let seconds = began.elapsed().as_secs_f64();
    let immortal = scene.redis.keys_without_lifetime("*").await?.len();
    sleep(KEPT).await;
    // The keys that say which hosts are alive, how they name reads and which database they have
    // stay for as long as the hosts run.
    let is_about_hosts = |key: &String| {
        key.ends_with("hosts") || key.ends_with("range:{0}") || key.contains(":origin:")
    };
    let left = scene.redis.keys("*").await?.iter().filter(|key| !is_about_hosts(key)).count();
    let lives_seconds = BASE_SECONDS * 1.2;
    Ok(Churn { keys, lives_seconds, seconds, most_alive, most_members, untrimmed, left, immortal })
}

/// How many keys were filled in the [`KEPT`] before the last of these moments, or a little earlier.
fn of_late(filled: &[(Instant, u64)]) -> usize {
    let Some((last, all)) = filled.last() else { return 0 };
    let before = filled.iter().rev().find(|(at, _)| *at + KEPT <= *last);
    before.map_or(*all, |(_, before)| all - before) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spread_if_they_lie_evenly_over_all_of_the_time() {
        let even: Vec<_> = (240..360).step_by(10).map(|from| (from, 100)).collect();
        assert!(of(even.clone()).holds());
        let mut shifted = even.clone();
        shifted[0].1 -= 20;
        shifted.push((230, 20));
        assert!(of(shifted).holds(), "the first keys had lived for a while");
        let mut bunch = even.clone();
        bunch[5].1 += 60;
        assert!(!of(bunch).holds());
        let mut gap = even.clone();
        gap.remove(5);
        assert!(!of(gap).holds());
        for stray in [100, 360, 370] {
            let mut stray_too = even.clone();
            stray_too.push((stray, 1));
            assert!(!of(stray_too).holds(), "{stray}");
        }
    }

    #[test]
    fn members_are_compared_with_the_keys_of_the_time_for_which_they_are_kept() {
        let began = Instant::now();
        let at = |seconds: u64, count: u64| (began + Duration::from_secs(seconds), count);
        assert_eq!(of_late(&[at(0, 0), at(5, 10)]), 10);
        assert_eq!(of_late(&[at(0, 0), at(5, 10), at(10, 30), at(14, 60)]), 50);
    }

    fn of(histogram: Vec<(u64, usize)>) -> Spread {
        let keys = histogram.iter().map(|(_, count)| count).sum();
        let looked_at_seconds = 6.0;
        Spread { keys, filled_in_seconds: 1.0, looked_at_seconds, base_seconds: 300, histogram }
    }
}
