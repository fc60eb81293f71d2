//! Stampedes: five hundred readers at once, on two hosts, of one value that has to be loaded.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use corral_tests::fleet::Fleet;
use corral_tests::load::{Crowd, Outcome, everything_ends};
use corral_tests::servers::{Host, Postgres, Redis, eventually};
use corral_tests::shop::{self, Shop};
use serde_json::json;

const READERS: usize = 500;
const LOADS: &str = "corral_origin_loads_total";

/// The policy's lease: how long a dead holder keeps other flights waiting.
const LEASE: Duration = Duration::from_secs(1);

/// Time for everything but waiting: five hundred answers of a debug build on a machine that is busy
/// with other tests. A reader whom nothing wakes waits for longer, until its deadline of ten seconds.
const SLACK: Duration = Duration::from_secs(5);

/// Far longer than any wait.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_value_is_loaded_once_however_long_its_load_takes() {
    let fleet = Fleet::start(2, &Shop::small(), "").await.unwrap();
    let mut crowd = Crowd::gather(READERS, &fleet.urls()).await.unwrap();
    // The last load is longer than its lease, and keeps the lease by renewing it.
    for (id, load_ms) in [(1, 100), (2, 900), (3, 2_500)] {
        let report = Report { id, load_ms };
        let loads = fleet.sum(LOADS).await.unwrap();
        let outcomes = crowd.ask(&report.path()).await.unwrap();
        assert_eq!(fleet.sum(LOADS).await.unwrap() - loads, 1.0, "{report:?}");
        for outcome in &outcomes {
            assert_eq!(outcome.content().unwrap(), report.content());
            assert!(outcome.took() <= report.load() + SLACK, "{report:?} {:?}", outcome.took());
        }
    }
    everything_ends(&fleet.redis).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_value_is_loaded_once() {
    let fleet = Fleet::start(2, &Shop::small(), "").await.unwrap();
    let report = Report { id: 1, load_ms: 100 };
    leave_expired(&fleet, &report).await.unwrap();
    let mut crowd = Crowd::gather(READERS, &fleet.urls()).await.unwrap();
    let outcomes = crowd.ask(&report.path()).await.unwrap();
    assert_eq!(fleet.sum(LOADS).await.unwrap(), 1.0);
    for outcome in &outcomes {
        assert_eq!(outcome.content().unwrap(), report.content());
        assert!(outcome.took() <= report.load() + SLACK, "{:?}", outcome.took());
    }
    let replaced = |outcome: &Outcome| status(outcome).contains("fwd=stale");
    assert!(outcomes.iter().any(replaced), "the value was cold: {}", status(&outcomes[0]));
    everything_ends(&fleet.redis).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_holder_costs_one_more_load_and_at_most_its_lease() {
    let mut fleet = Fleet::start(2, &Shop::small(), "").await.unwrap();
    let report = Report { id: 1, load_ms: 1_500 };
    let mut crowd = Crowd::gather(READERS, &fleet.urls()).await.unwrap();
    let asking = tokio::spawn(async move { crowd.ask(&report.path()).await.unwrap() });
    let holder = eventually("a host loads", SOON, || async {
        Ok(loads_by_host(&fleet).await?.iter().position(|loads| *loads > 0.0))
    });
    let holder = holder.await.unwrap();
    let survivor = 1 - holder;
    assert_eq!(loads_by_host(&fleet).await.unwrap()[survivor], 0.0, "one holds, the other waits");
    let killed = Instant::now();
    fleet.hosts[holder].kill();

    let outcomes = asking.await.unwrap();
    let of = |host| outcomes.iter().skip(host).step_by(2);
    assert!(of(holder).all(|outcome| outcome.answer.is_err()), "it was killed after its load");
    for outcome in of(survivor) {
        assert_eq!(outcome.content().unwrap(), report.content());
        let waited = outcome.ended - killed;
        assert!(waited <= LEASE + report.load() + SLACK, "{waited:?}");
    }
    let loads = fleet.hosts[survivor].metrics().await.unwrap().sum(LOADS);
    assert_eq!(loads, 1.0, "one by the killed host, one by the other");
    everything_ends(&fleet.redis).await.unwrap();
}

/// The control: if hosts can't share, the counter shows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_name_their_keys_apart_load_once_each() {
    let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    Shop::small().load(&postgres.url()).await.unwrap();
    let mut hosts = Vec::new();
    for namespace in ["v1", "v2"] {
        let config = shop::config(Some(&redis.url()), &postgres.url());
        let config = format!("{config}[policy.settings]\nnamespace = \"{namespace}\"\n");
        hosts.push(Host::start(&config).await.unwrap());
    }
    let fleet = Fleet { hosts, redis, postgres };
    let mut crowd = Crowd::gather(READERS, &fleet.urls()).await.unwrap();
    let apart = Report { id: 1, load_ms: 900 };
    let outcomes = crowd.ask(&apart.path()).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.content().unwrap() == apart.content()));
    assert_eq!(loads_by_host(&fleet).await.unwrap(), [1.0, 1.0]);
    everything_ends(&fleet.redis).await.unwrap();

    // Without a store, hosts do not share loads. Readers that come to a host during a load do not
    // share that load either: they share the next one.
    fleet.redis.stop().unwrap();
    let alone = Report { id: 2, load_ms: 900 };
    let outcomes = crowd.ask(&alone.path()).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.content().unwrap() == alone.content()));
    let loads = fleet.sum(LOADS).await.unwrap() - 2.0;
    assert!(loads >= 2.0, "the hosts can't have shared, and loaded {loads} times");
    assert!(loads <= 8.0, "readers of one host share, and there were {loads} loads");
}

/// A read of `report.slow`.
#[derive(Debug, Clone, Copy)]
struct Report {
    id: u32,
    load_ms: u64,
}

impl Report {
    fn path(&self) -> String {
        format!("/read/report.slow?id={}&ms={}", self.id, self.load_ms)
    }

    fn content(&self) -> serde_json::Value {
        json!({"id": self.id, "ms": self.load_ms})
    }

    fn load(&self) -> Duration {
        Duration::from_millis(self.load_ms)
    }
}

/// A host under which everything expires at once leaves a value to the other hosts, which may
/// answer it only if a load fails.
async fn leave_expired(fleet: &Fleet, report: &Report) -> anyhow::Result<()> {
    let config = shop::config(Some(&fleet.redis.url()), &fleet.postgres.url());
    let (others, own) = config.split_once("[entity.\"report.slow\"]").context("no report")?;
    let own = own.replace("ttl = \"5m\"", "ttl = \"1ms\"");
    let host = Host::start(&format!("{others}[entity.\"report.slow\"]{own}")).await?;
    let answer = host.get(&report.path()).await?;
    ensure!(answer.header("cache-status").contains("stored"), "not stored: {answer:?}");
    Ok(())
}

async fn loads_by_host(fleet: &Fleet) -> anyhow::Result<Vec<f64>> {
    let mut loads = Vec::new();
    for host in &fleet.hosts {
        loads.push(host.metrics().await?.sum(LOADS));
    }
    Ok(loads)
}

fn status(outcome: &Outcome) -> &str {
    outcome.answer.as_ref().map(|answer| answer.header("cache-status")).unwrap_or_default()
}
