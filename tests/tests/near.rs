//! The near cache of real hosts: coherent with a real Redis through all disturbances of the way in
//! between, and bounded.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use corral_host::policy::builtin;
use corral_tests::client::Answer;
use corral_tests::scenario::near;
use corral_tests::servers::{Host, Postgres, Redis, eventually};
use corral_tests::shop::{self, Shop, expected_product};
use hyper::StatusCode;
use serde_json::json;

/// Entries end only when a change is reported, so a missed report shows.
const FOR_EVER: &str = "near = \"5m\"\ndeadline";

/// Far longer than any wait.
const SOON: Duration = Duration::from_secs(30);

const PRODUCTS: u32 = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_near_hit_says_so_and_costs_neither_the_policy_nor_the_store_a_call() {
    let scene = Scene::start(1, FOR_EVER, "").await;
    let host = &scene.hosts[0];
    keeps(host, 1).await;
    let stored = product(host, 1).await;
    let before = host.metrics().await.unwrap();
    let commands = scene.commands().await;
    for _ in 0..50 {
        let answer = product(host, 1).await;
        assert_eq!(detail(&answer), "near");
        assert_eq!(answer.json().unwrap(), expected_product(1));
        for header in ["etag", "content-type", "corral-policy", "content-length"] {
            assert_eq!(answer.header(header), stored.header(header), "{header}");
        }
        assert!(
            answer.is_hit() && answer.header("cache-status").contains("key=\"v1:product.page:1\"")
        );
        assert!(!answer.header("age").is_empty());
    }
    let unchanged = conditional(host, 1, stored.header("etag")).await;
    assert_eq!((unchanged.status, detail(&unchanged)), (StatusCode::NOT_MODIFIED, "near"));
    assert_eq!(scene.commands().await, commands, "a near hit asked the store for the value");
    let after = host.metrics().await.unwrap();
    let calls = |metrics: &corral_tests::servers::Metrics| metrics.sum("corral_policy_calls_total");
    assert_eq!(calls(&after), calls(&before));
    let near = |outcome| after.sum_where("corral_reads_total", &[("outcome", outcome)]);
    assert!(near("near") >= 51.0 && after.sum("corral_near_entries") >= 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_on_one_host_is_read_on_the_other() {
    let scene = Scene::start(2, FOR_EVER, "").await;
    for price in 1..=30 {
        let (writer, reader) = (&scene.hosts[price % 2], &scene.hosts[1 - price % 2]);
        keeps(writer, 1).await;
        keeps(reader, 1).await;
        let cache = reprice(writer, 1, price).await;
        assert_eq!(cache, "invalidated");
        // The next read on the writing host sees it; reads on other hosts see it once the change is
        // reported to them.
        assert_eq!(price_of(&product(writer, 1).await), price);
        sees(reader, 1, price).await;
    }
    let invalidated = json!({ "tags": ["product:1"] });
    keeps(&scene.hosts[1], 1).await;
    scene.postgres.psql("UPDATE products SET price_cents = 77 WHERE id = 1").await.unwrap();
    scene.hosts[0].post("/invalidate", &invalidated).await.unwrap();
    sees(&scene.hosts[1], 1, 77).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_killed_while_somebody_writes_leave_nothing_behind() {
    let scene = Scene::start(2, FOR_EVER, "").await;
    let mut admin = scene.redis.connect().await.unwrap();
    for price in 1..=15 {
        for host in &scene.hosts {
            keeps(host, 1).await;
        }
        let kill = async {
            for kind in ["normal", "pubsub"] {
                let mut kill = redis::cmd("CLIENT");
                kill.arg("KILL").arg("TYPE").arg(kind).arg("SKIPME").arg("yes");
                kill.exec_async(&mut admin).await.unwrap();
            }
        };
        let ((), _cache) = tokio::join!(kill, reprice(&scene.hosts[0], 1, price));
        assert_eq!(price_of(&product(&scene.hosts[0], 1).await), price);
        sees(&scene.hosts[1], 1, price).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_takes_what_the_near_caches_hold_with_it() {
    let mut scene = Scene::start(2, FOR_EVER, "").await;
    for host in &scene.hosts {
        keeps(host, 1).await;
    }
    scene.redis.kill();
    let cache = reprice(&scene.hosts[0], 1, 11).await;
    assert_eq!(cache, "pending");
    assert_eq!(price_of(&product(&scene.hosts[0], 1).await), 11);
    sees(&scene.hosts[1], 1, 11).await;
    assert_ne!(detail(&product(&scene.hosts[1], 1).await), "near");
    scene.redis.restart_empty().await.unwrap();
    for host in &scene.hosts {
        keeps(host, 1).await;
        assert_eq!(price_of(&product(host, 1).await), 11);
    }
    reprice(&scene.hosts[1], 1, 12).await;
    sees(&scene.hosts[0], 1, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_exchange_no_answer_names_the_policy_before() {
    let scene = Scene::start(1, FOR_EVER, "").await;
    let host = &scene.hosts[0];
    for generation in 2..=4 {
        keeps(host, 1).await;
        let exchanged = host.put("/admin/policy", builtin().to_vec()).await.unwrap();
        assert_eq!(exchanged.status, StatusCode::OK, "{exchanged:?}");
        let names = |answer: &Answer| answer.header("corral-policy").to_owned();
        let suffix = format!(";generation={generation}");
        let first = product(host, 1).await;
        assert!(names(&first).ends_with(&suffix) && detail(&first) == "store", "{first:?}");
        keeps(host, 1).await;
        assert!(names(&product(host, 1).await).ends_with(&suffix));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_off_where_its_time_or_its_room_is_zero() {
    for (entity, near) in [("deadline", ""), (FOR_EVER, "[near]\nbytes = 0\n")] {
        let scene = Scene::start(1, entity, near).await;
        let host = &scene.hosts[0];
        for _ in 0..5 {
            assert_ne!(detail(&product(host, 1).await), "near");
        }
        let metrics = host.metrics().await.unwrap();
        assert_eq!(metrics.sum("corral_near_entries") + metrics.sum("corral_near_bytes"), 0.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_keys_takes_no_more_room_than_it_has() {
    const BYTES: f64 = (128 << 10) as f64;
    let scene = Scene::start(1, FOR_EVER, "[near]\nbytes = \"128KiB\"\n").await;
    let host = &scene.hosts[0];
    let mut most = 0.0_f64;
    for round in 0..2 {
        for id in 1..=PRODUCTS {
            assert_eq!(price_of(&product(host, id).await), expected_price(id), "round {round}");
            if id.is_multiple_of(100) {
                most = most.max(host.metrics().await.unwrap().sum("corral_near_bytes"));
            }
        }
    }
    assert!(most > BYTES / 2.0 && most <= BYTES, "{most} of {BYTES} bytes");
    keeps(host, PRODUCTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_track_gets_no_near_cache_and_a_warning() {
    let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    Shop::small().load(&postgres.url()).await.unwrap();
    let url = redis.url_without(&["client|tracking"]).await.unwrap();
    let config = shop::config(Some(&url), &postgres.url()).replace("deadline", FOR_EVER);
    let host = Host::start(&config).await.unwrap();
    for _ in 0..5 {
        assert_ne!(detail(&product(&host, 1).await), "near");
    }
    assert_eq!(host.log().matches("the store does not tell of changes").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_host_is_behind_for_as_long_as_word_takes_and_never_longer_than_it_may() {
    let near = Duration::from_secs(1);
    let report = near::run(near, 50, 2).await.unwrap();
    println!("{report:#?}");
    assert!(report.holds(), "{report:#?}");
    assert!(report.silent.max_ms > 0.0, "the silence was not felt: {report:#?}");
}

struct Scene {
    hosts: Vec<Host>,
    redis: Redis,
    postgres: Postgres,
}

impl Scene {
    /// Hosts over one shop; `deadline` stands in for that word in every entity.
    async fn start(hosts: usize, deadline: &str, more: &str) -> Self {
        let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
        Shop::small().load(&postgres.url()).await.unwrap();
        let config = shop::config(Some(&redis.url()), &postgres.url());
        let config = config.replace("deadline", deadline) + more;
        let mut scene = Self { hosts: Vec::new(), redis, postgres };
        for _ in 0..hosts {
            scene.hosts.push(Host::start(&config).await.unwrap());
        }
        scene
    }

    /// How often the server was asked for a value.
    async fn commands(&self) -> String {
        let mut info = redis::cmd("INFO");
        let mut connection = self.redis.connect().await.unwrap();
        let text: String = info.arg("commandstats").query_async(&mut connection).await.unwrap();
        let gets = text.lines().find(|line| line.starts_with("cmdstat_getrange:"));
        gets.unwrap().split(',').next().unwrap().to_owned()
    }
}

async fn product(host: &Host, id: u32) -> Answer {
    let answer = host.get(&format!("/read/product.page?id={id}")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer
}

async fn conditional(host: &Host, id: u32, etag: &str) -> Answer {
    let url = host.url(&format!("/read/product.page?id={id}"));
    let headers = [("if-none-match", etag)];
    corral_tests::client::Client::new()
        .request(hyper::Method::GET, &url, &headers, "")
        .await
        .unwrap()
}

/// The write's answer about the cache.
async fn reprice(host: &Host, id: u32, price: usize) -> String {
    let row = json!({ "id": id, "price_cents": price });
    let answer = host.post("/write/product.page/reprice", &row).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json().unwrap()["cache"].as_str().unwrap().to_owned()
}

fn price_of(answer: &Answer) -> usize {
    usize::try_from(answer.json().unwrap()["price_cents"].as_u64().unwrap()).unwrap()
}

fn expected_price(id: u32) -> usize {
    usize::try_from(expected_product(id)["price_cents"].as_u64().unwrap()).unwrap()
}

fn detail(answer: &Answer) -> &str {
    answer.header("cache-status").split("; detail=").nth(1).unwrap_or_default()
}

/// Waits until the host answers from its near cache.
async fn keeps(host: &Host, id: u32) {
    eventually("the near cache", SOON, || async {
        Ok((detail(&product(host, id).await) == "near").then_some(()))
    })
    .await
    .unwrap();
}

/// Waits until the host answers this price.
async fn sees(host: &Host, id: u32, price: usize) {
    eventually(&format!("the price {price}"), SOON, || async {
        Ok((price_of(&product(host, id).await) == price).then_some(()))
    })
    .await
    .unwrap();
}
