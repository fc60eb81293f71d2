//! One node under one host, two, four and eight.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::model::Costs;
use crate::servers::{Host, Postgres, Redis, eventually};
use crate::shop::{self, Shop};

/// How many hosts the node bears in turn.
pub const HOSTS: [u32; 4] = [1, 2, 4, 8];

/// For how long hosts without requests are watched, after they have settled.
const SETTLING: Duration = Duration::from_secs(5);
const WATCHED: Duration = Duration::from_secs(20);

/// How many products are read by every host, and then written.
const PRODUCTS: u32 = 200;

/// How often each of them is read from the store.
const READS: u32 = 10;

/// How many connections are told of a change, and how often.
const HOLDERS: usize = 200;
const CHANGES: u32 = 100;

/// Far longer than any wait.
const SOON: Duration = Duration::from_secs(60);

/// What a node bore.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// The hosts.
    pub hosts: u32,
    /// Their connections.
    pub connections: u32,
    /// Their calls while they had no requests; commands within scripts do not count.
    pub calls_per_second: f64,
    /// The share of a core that these took.
    pub idle_core: f64,
    /// The node's processor time for a read that it answered, in microseconds.
    pub hit_us: f64,
    /// The same for a write, when every host held the key in its near cache.
    pub write_us: f64,
}

/// A moment of a node.
struct Mark {
    at: Instant,
    /// Its processor time so far, in microseconds.
    ran_us: f64,
}

/// Measures each number of hosts.
///
/// # Errors
/// When a server does not come up, or an answer is wrong.
pub async fn all(told: impl Fn(&Measured)) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for hosts in HOSTS {
        let one = one(hosts).await?;
        told(&one);
        measured.push(one);
    }
    Ok(measured)
}

/// What the measurements say of each call, where telling one connection of a change takes `push_us`.
///
/// # Errors
/// When there are fewer than two.
pub fn costs(measured: &[Measured], push_us: f64) -> anyhow::Result<Costs> {
    let (first, last) = measured.first().zip(measured.last()).context("measurements")?;
    let (few, many) = (f64::from(first.hosts), f64::from(last.hosts));
    ensure!(many > few, "one number of hosts does not show what one more costs");
    // A node that does more at a time does each thing faster, so what hosts are told is lost in the noise of
    // their writes, and is measured by itself.
    let mean = |of: fn(&Measured) -> f64| {
        measured.iter().map(of).sum::<f64>() / f64::from(u32::try_from(measured.len()).unwrap_or(1))
    };
    Ok(Costs {
        idle_us: (last.idle_core - first.idle_core) * 1e6 / (many - few),
        hit_us: mean(|one| one.hit_us),
        write_us: mean(|one| one.write_us),
        push_us,
    })
}

/// A node's time for telling one connection of a change, in microseconds: what a change costs more when many
/// connections hold the key than when one does.
///
/// # Errors
/// When Redis does not answer.
pub async fn push_us() -> anyhow::Result<f64> {
    let redis = Redis::start().await?;
    let client = redis::Client::open(format!("{}/?protocol=resp3", redis.url()))?;
    let mut holders = Vec::new();
    let mut costs = Vec::new();
    for count in [1, HOLDERS] {
        while holders.len() < count {
            let mut holder = client.get_multiplexed_async_connection().await?;
            redis::cmd("CLIENT").arg(&["TRACKING", "ON"]).exec_async(&mut holder).await?;
            holders.push(holder);
        }
        let mut changing = redis.connect().await?;
        let mut ran_us = 0.0;
        for change in 0..CHANGES {
            for holder in &mut holders {
                redis::cmd("GET").arg("key").exec_async(holder).await?;
            }
            let before = Mark::of(&redis).await?;
            redis::cmd("SET").arg("key").arg(change).exec_async(&mut changing).await?;
            ran_us += before.since(&redis).await?.0;
        }
        costs.push(ran_us / f64::from(CHANGES));
    }
    Ok((costs[1] - costs[0]) / (HOLDERS - 1) as f64)
}

async fn one(count: u32) -> anyhow::Result<Measured> {
    let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
    let products = (1..=PRODUCTS).collect();
    Shop { products, ..Shop::small() }.load(&postgres.url()).await?;
    let config = shop::config(Some(&redis.url()), &postgres.url());
    // Orders have no near cache, so their hits come from the store.
    let config = config.replacen("deadline", "near = \"5m\"\ndeadline", 1);
    let mut hosts = Vec::new();
    for _ in 0..count {
        hosts.push(Host::start(&config).await?);
    }
    sleep(SETTLING).await;

    redis.say(&["CONFIG", "RESETSTAT"]).await?;
    let before = Mark::of(&redis).await?;
    sleep(WATCHED).await;
    let calls = calls(&redis).await?;
    let connections: u32 = redis.info("clients", "connected_clients").await?.parse()?;
    let (idle_us, watched) = before.since(&redis).await?;
    let idle_core = idle_us / 1e6 / watched.as_secs_f64();

    let hit_us = reads(&redis, &hosts[0], idle_core).await?;
    let write_us = writes(&redis, &hosts, idle_core).await?;
    Ok(Measured {
        hosts: count,
        // The connection that asks is not a host's.
        connections: connections - 1,
        calls_per_second: calls / watched.as_secs_f64(),
        idle_core,
        hit_us,
        write_us,
    })
}

/// The node's time for a read of a value that it has.
async fn reads(redis: &Redis, host: &Host, idle_core: f64) -> anyhow::Result<f64> {
    let path = |id: u32| format!("/read/user.orders?id={}", 1 + id % 50);
    for id in 0..50 {
        ask(host, &path(id)).await?;
    }
    let before = Mark::of(redis).await?;
    for read in 0..PRODUCTS * READS {
        ask(host, &path(read)).await?;
    }
    before.of_each(redis, PRODUCTS * READS, idle_core).await
}

/// The node's time for a write of a key that every host holds.
async fn writes(redis: &Redis, hosts: &[Host], idle_core: f64) -> anyhow::Result<f64> {
    for host in hosts {
        for id in 1..=PRODUCTS {
            eventually("a near cache holds a product", SOON, || async {
                let answer = host.get(&format!("/read/product.page?id={id}")).await?;
                Ok(answer.header("cache-status").contains("detail=near").then_some(()))
            })
            .await?;
        }
    }
    let before = Mark::of(redis).await?;
    for id in 1..=PRODUCTS {
        let row = json!({ "id": id, "price_cents": id });
        let answer = hosts[0].post("/write/product.page/reprice", &row).await?;
        ensure!(answer.status == StatusCode::OK, "{answer:?}");
    }
    before.of_each(redis, PRODUCTS, idle_core).await
}

async fn ask(host: &Host, path: &str) -> anyhow::Result<()> {
    let answer = host.get(path).await?;
    ensure!(answer.status == StatusCode::OK, "{answer:?}");
    Ok(())
}

impl Mark {
    async fn of(redis: &Redis) -> anyhow::Result<Self> {
        let mut ran_us = 0.0;
        for field in ["used_cpu_user", "used_cpu_sys"] {
            ran_us += redis.info("cpu", field).await?.parse::<f64>()? * 1e6;
        }
        Ok(Self { at: Instant::now(), ran_us })
    }

    /// The node's time since then, and how long that is ago.
    async fn since(&self, redis: &Redis) -> anyhow::Result<(f64, Duration)> {
        let now = Self::of(redis).await?;
        Ok((now.ran_us - self.ran_us, now.at - self.at))
    }

    /// The node's time since then for each of so many calls, without what the hosts cost by themselves.
    async fn of_each(&self, redis: &Redis, calls: u32, idle_core: f64) -> anyhow::Result<f64> {
        let (ran_us, lasted) = self.since(redis).await?;
        Ok((ran_us - idle_core * 1e6 * lasted.as_secs_f64()) / f64::from(calls))
    }
}

/// The calls of hosts since the statistics began, from `cmdstat_info:calls=12,…`. What scripts call is in
/// there, too, and is left out: each script asks for the time, and those of hosts without work call one
/// more command or a few.
async fn calls(redis: &Redis) -> anyhow::Result<f64> {
    let text: String = redis::from_redis_value(redis.say(&["INFO", "commandstats"]).await?)?;
    let of = |command: &str| -> f64 {
        let line =
            text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0.0)
    };
    let scripts = of("evalsha") + of("eval");
    Ok(of("info") + of("ping") + of("hget") + (of("time") - scripts) + scripts)
}
