//! Outages under load: the store frozen, the store killed, the origin down. Every request that can
//! be answered is answered, no read is older than an acknowledged write, and everything recovers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use corral_tests::client::{Answer, Client};
use corral_tests::load::{Load, Outcome, Turn, everything_ends};
use corral_tests::servers::{Host, Postgres, Redis, eventually};
use corral_tests::shop::{self, Shop, expected_product, expected_profile};
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinHandle;

const CONNECTIONS: usize = 16;

/// The budget of a store call, in the configuration. It is many times what a request takes here, so
/// that a request that paid it can be told from one that was slow for another reason.
const BUDGET: Duration = Duration::from_millis(500);

/// Products 1 to this are written all the time; a product's price is its version.
const VERSIONED: usize = 4;

/// Users 1 to this are read.
const USERS: usize = 50;

/// So many requests show how things are now.
const MANY: usize = 1_000;

/// Far longer than any wait.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_frozen_or_killed_under_load_costs_no_answer() {
    let mut scene = Scene::start().await.unwrap();
    let story = Story::begin(&scene.host);
    story.is_cached(&scene.host).await.unwrap();

    scene.redis.stop().unwrap();
    story.is_served_without_store(&scene.host).await.unwrap();
    scene.redis.cont().unwrap();
    story.is_cached(&scene.host).await.unwrap();

    scene.redis.kill();
    story.is_served_without_store(&scene.host).await.unwrap();
    scene.redis.restart_empty().await.unwrap();
    story.is_cached(&scene.host).await.unwrap();

    let reads = story.end().await.unwrap();
    let problems: Vec<_> = reads.iter().filter_map(|read| read.problem.as_ref()).collect();
    assert!(problems.is_empty(), "{} of {}: {problems:.3?}", problems.len(), reads.len());

    let openings = scene.host.log().matches("the store is not trusted").count();
    let slow = reads.iter().filter(|read| read.took >= BUDGET).count();
    assert!(openings >= 2, "it was frozen and killed; {}", scene.host.log());
    assert!(slow >= 1, "no request paid the budget of the first call");
    assert!(slow <= CONNECTIONS * openings, "{slow} paid the budget, {openings} openings");
    everything_ends(&scene.redis).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_origin_a_host_answers_what_it_has() {
    let mut scene = Scene::start().await.unwrap();
    leave_expired_report(&scene).await.unwrap();
    assert_eq!(scene.host.get("/read/user.profile?id=1").await.unwrap().status, StatusCode::OK);

    scene.postgres.stop().unwrap();
    let deadline = scene.refuses("/read/user.profile?id=2").await.unwrap();
    assert_eq!(deadline.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(kind(&deadline), "urn:corral:problem:deadline");
    scene.answers_what_it_has().await.unwrap();
    scene.postgres.cont().unwrap();
    scene.recovers("/read/user.profile?id=2").await.unwrap();

    // A load that was in progress all the time may have filled the store.
    let report = r#"{"reads": [{"entity": "report.slow", "params": {"id": 1, "ms": 1}}]}"#;
    scene.invalidates(report).await.unwrap();
    leave_expired_report(&scene).await.unwrap();
    scene.postgres.kill().await.unwrap();
    let unavailable = scene.refuses("/read/user.profile?id=3").await.unwrap();
    assert_eq!(unavailable.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(kind(&unavailable), "urn:corral:problem:origin-unavailable");
    assert_eq!(unavailable.header("retry-after"), "1");
    scene.answers_what_it_has().await.unwrap();
    scene.postgres.restart().await.unwrap();
    scene.recovers("/read/user.profile?id=3").await.unwrap();
    everything_ends(&scene.redis).await.unwrap();
}

/// A host over its store and its origin.
struct Scene {
    host: Host,
    redis: Redis,
    postgres: Postgres,
}

impl Scene {
    async fn start() -> anyhow::Result<Self> {
        let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
        Shop::small().load(&postgres.url()).await?;
        let prices = format!("UPDATE products SET price_cents = 0 WHERE id <= {VERSIONED}");
        postgres.psql(&prices).await?;
        let host = Host::start(&config(&redis, &postgres)).await?;
        Ok(Self { host, redis, postgres })
    }

    /// Checks the answers without the origin: fresh values, and stale values that are better than
    /// an error.
    async fn answers_what_it_has(&self) -> anyhow::Result<()> {
        let fresh = self.host.get("/read/user.profile?id=1").await?;
        ensure!(fresh.status == StatusCode::OK && fresh.is_hit(), "not cached: {fresh:?}");
        ensure!(fresh.json()? == expected_profile(1), "wrong: {fresh:?}");
        let stale = self.host.get("/read/report.slow?id=1&ms=1").await?;
        ensure!(stale.status == StatusCode::OK, "no stale answer: {stale:?}");
        ensure!(stale.header("cache-status").contains("stale-if-error"), "not stale: {stale:?}");
        Ok(())
    }

    async fn refuses(&self, path: &str) -> anyhow::Result<Answer> {
        let answer = self.host.get(path).await?;
        ensure!(answer.status.is_server_error(), "without an origin: {answer:?}");
        ensure!(answer.header("content-type") == "application/problem+json", "{answer:?}");
        Ok(answer)
    }

    async fn invalidates(&self, what: &'static str) -> anyhow::Result<()> {
        let (url, json) = (self.host.url("/invalidate"), [("content-type", "application/json")]);
        let answer = Client::new().request(Method::POST, &url, &json, what).await?;
        ensure!(answer.status == StatusCode::OK, "{answer:?}");
        Ok(())
    }

    async fn recovers(&self, path: &str) -> anyhow::Result<()> {
        eventually("the origin is used again", SOON, || async {
            let answer = self.host.get(path).await?;
            Ok((answer.status == StatusCode::OK).then_some(()))
        })
        .await
    }
}

/// Readers and one writer that work on a host.
struct Story {
    load: Load<Read>,
    shared: Arc<Shared>,
    writer: JoinHandle<anyhow::Result<()>>,
}

#[derive(Default)]
struct Shared {
    /// The newest acknowledged version of each versioned product.
    acknowledged: [AtomicU64; VERSIONED],
    hits: AtomicUsize,
    bypassed: AtomicUsize,
    invalidated: AtomicUsize,
    pending: AtomicUsize,
    over: AtomicBool,
}

/// A read, judged.
struct Read {
    took: Duration,
    problem: Option<String>,
}

impl Story {
    fn begin(host: &Host) -> Self {
        let shared = Arc::new(Shared::default());
        let writer = tokio::spawn(write(host.url("/write/product.page/reprice"), shared.clone()));
        let (reads, root) = (shared.clone(), host.url("/read"));
        let load = Load::start(CONNECTIONS, move |client, turn| {
            read(client, root.clone(), turn, reads.clone())
        });
        Self { load, shared, writer }
    }

    /// Checks that readers and the writer use the store, and that nothing is owed to it.
    async fn is_cached(&self, host: &Host) -> anyhow::Result<()> {
        reaches(host, "corral_breaker_state", |state| state == 0.0).await?;
        reaches(host, "corral_pending_invalidations", |pending| pending == 0.0).await?;
        grows("hits", &self.shared.hits, MANY).await?;
        grows("invalidated", &self.shared.invalidated, 3).await?;
        let pending = host.metrics().await?.sum("corral_pending_invalidations");
        ensure!(pending == 0.0, "{pending} invalidations are pending on a trusted store");
        Ok(())
    }

    /// Checks that reads go to the origin, and that writes are owed to the store.
    async fn is_served_without_store(&self, host: &Host) -> anyhow::Result<()> {
        reaches(host, "corral_breaker_state", |state| state > 0.0).await?;
        let hits = self.shared.hits.load(Ordering::Relaxed);
        grows("bypassed", &self.shared.bypassed, MANY).await?;
        grows("pending", &self.shared.pending, 3).await?;
        reaches(host, "corral_pending_invalidations", |pending| pending >= 3.0).await?;
        // Hits that were on their way when the store ended.
        let late = self.shared.hits.load(Ordering::Relaxed) - hits;
        ensure!(late <= CONNECTIONS, "{late} hits without a store");
        Ok(())
    }

    async fn end(self) -> anyhow::Result<Vec<Read>> {
        self.shared.over.store(true, Ordering::Relaxed);
        self.writer.await??;
        self.load.stop().await
    }
}

/// Writes one version after the other, as fast as they are acknowledged.
async fn write(url: String, shared: Arc<Shared>) -> anyhow::Result<()> {
    let client = Client::new();
    let json_body = [("content-type", "application/json")];
    for version in 1.. {
        if shared.over.load(Ordering::Relaxed) {
            break;
        }
        let product = version as usize % VERSIONED;
        let body = json!({"id": product + 1, "price_cents": version}).to_string();
        let answer = client.request(Method::POST, &url, &json_body, body).await?;
        ensure!(answer.status == StatusCode::OK, "write {version}: {answer:?}");
        shared.acknowledged[product].store(version, Ordering::Release);
        let counter = match answer.json()?["cache"].as_str() {
            Some("invalidated") => &shared.invalidated,
            Some("pending") => &shared.pending,
            _ => anyhow::bail!("write {version}: {answer:?}"),
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn read(client: Client, root: String, turn: Turn, shared: Arc<Shared>) -> Read {
    let number = turn.connection + turn.nth;
    let (outcome, right) = if turn.nth.is_multiple_of(2) {
        let product = number % VERSIONED;
        let newest = shared.acknowledged[product].load(Ordering::Acquire);
        let url = format!("{root}/product.page?id={}", product + 1);
        let outcome = Outcome::of(&client, &url).await;
        let right = is_version_of(&outcome, product as u32 + 1, newest);
        (outcome, right)
    } else {
        let user = (number % USERS) as u32 + 1;
        let outcome = Outcome::of(&client, &format!("{root}/user.profile?id={user}")).await;
        let right = outcome.content().and_then(|content| {
            ensure!(content == expected_profile(user), "user {user}: {content}");
            Ok(())
        });
        (outcome, right)
    };
    count(&outcome, &shared);
    Read { took: outcome.took(), problem: right.err().map(|error| format!("{error:#}")) }
}

fn is_version_of(outcome: &Outcome, product: u32, newest: u64) -> anyhow::Result<()> {
    let mut content = outcome.content()?;
    let version = content["price_cents"].as_u64().context("a price")?;
    ensure!(version >= newest, "product {product}: {version} was read after {newest} was written");
    let mut expected = expected_product(product);
    content["price_cents"] = 0.into();
    expected["price_cents"] = 0.into();
    ensure!(content == expected, "product {product}: {content}");
    Ok(())
}

fn count(outcome: &Outcome, shared: &Shared) {
    let Ok(answer) = &outcome.answer else { return };
    if answer.is_hit() {
        shared.hits.fetch_add(1, Ordering::Relaxed);
    } else if answer.header("cache-status").contains("store-unavailable") {
        shared.bypassed.fetch_add(1, Ordering::Relaxed);
    }
}

async fn grows(what: &str, counter: &AtomicUsize, by: usize) -> anyhow::Result<()> {
    let goal = counter.load(Ordering::Relaxed) + by;
    let there = || std::future::ready(Ok((counter.load(Ordering::Relaxed) >= goal).then_some(())));
    eventually(&format!("{by} more are {what}"), SOON, there).await?;
    Ok(())
}

async fn reaches(host: &Host, metric: &str, wanted: impl Fn(f64) -> bool) -> anyhow::Result<()> {
    eventually(metric, SOON, || async {
        Ok(wanted(host.metrics().await?.sum(metric)).then_some(()))
    })
    .await
}

fn kind(problem: &Answer) -> String {
    let document = problem.json().unwrap_or_default();
    document["type"].as_str().unwrap_or_default().to_owned()
}

fn config(redis: &Redis, postgres: &Postgres) -> String {
    let budget = format!("[store]\ntimeout = \"{}ms\"\n", BUDGET.as_millis());
    shop::config(Some(&redis.url()), &postgres.url()).replacen("[store]\n", &budget, 1)
}

/// Uses a host under which reports expire at once to leave an expired one to the scene's host.
async fn leave_expired_report(scene: &Scene) -> anyhow::Result<()> {
    let config = config(&scene.redis, &scene.postgres);
    let (others, report) = config.split_once("[entity.\"report.slow\"]").context("no report")?;
    let report = report.replacen("ttl = \"5m\"", "ttl = \"1ms\"", 1);
    let host = Host::start(&format!("{others}[entity.\"report.slow\"]{report}")).await?;
    // On a busy machine the store may answer too late once, and a value that is loaded then is not
    // stored.
    eventually("a report to be stored", SOON, || async {
        let answer = host.get("/read/report.slow?id=1&ms=1").await?;
        Ok(answer.header("cache-status").contains("stored").then_some(()))
    })
    .await
}
