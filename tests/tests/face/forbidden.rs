//! Servers that forbid commands, as managed ones do: what `corral check` says of each, and what hosts do
//! without.

use corral_tests::client::Answer;
use corral_tests::servers::{Edition, Host, Postgres, Redis, eventually};
use corral_tests::shop::{self, Shop};
use futures_util::future::join_all;
use hyper::StatusCode;
use serde_json::json;

use super::access::File;
use super::common::SOON;

const NO_INFO: &str = "store.url: it forbids INFO to this user, so its version, role, memory settings and \
                       identity are not known: a restart from a snapshot or a promoted replica can't be told, \
                       and after one, old values may be answered until their lifetime ends; allow +info";
const NO_SCRIPTS: &str = "store.url: this server forbids scripts to this user, and every claim, fill and \
                          invalidation is one; allow +eval +evalsha";
const NO_TIME: &str = "store.url: this server forbids TIME to this user, and every host and every script asks \
                       for it; allow +time";
const NO_SUBSCRIBE: &str = "store: it forbids SUBSCRIBE on corral:1:settled to this user, so it tells no waiter \
                            that a load has ended: waiters look 40 times a second; allow +subscribe +publish \
                            &corral:1:settled";
const NO_PUBLISH: &str = "store: it forbids PUBLISH on corral:1:settled to this user, so it tells no waiter \
                          that a load has ended: waiters look 40 times a second; allow +subscribe +publish \
                          &corral:1:settled";
const NO_TRACKING: &str = "store: it does not tell of changes, so no entity can have a near cache; allow CLIENT \
                           TRACKING and CLIENT CACHING to this user";
const NO_NEAR: &str = "store.url: it does not tell of changes, so entity \"product.page\" gets no near cache; \
                       allow CLIENT TRACKING and CLIENT CACHING to this user, or leave out near";
const NO_LOOK: &str = "store: it forbids SCAN, PTTL or ZCARD to this user, so the keys in it were not looked \
                       at; allow +scan +pttl +zcard for the check";
const NO_RESP3: &str = "store: it does not know HELLO, so it speaks RESP2 and tells nothing by itself: entities \
                        get no near cache, and waiters look 40 times a second whether a load has ended; name a \
                        server, or a proxy, that speaks RESP3";
const NO_RESP3_NEAR: &str = "store.url: it does not tell of changes, so entity \"product.page\" gets no near \
                             cache; name a server, or a proxy, that speaks RESP3, or leave out near";

/// A load of `report.slow` takes so many ms: longer than it takes a second host to ask.
const SLOW_MS: u32 = 500;

/// A command that is forbidden, what is said of it without a near cache and with one, and whether hosts have
/// one.
type Lack = (&'static str, &'static [&'static str], &'static [&'static str], bool);

/// What hosts do without.
const DEGRADING: [Lack; 9] = [
    ("config", &[], &[], true),
    ("role", &[], &[], true),
    ("script", &[], &[], true),
    ("info", &[NO_INFO], &[NO_INFO], true),
    ("subscribe", &[NO_SUBSCRIBE], &[NO_SUBSCRIBE], true),
    ("publish", &[NO_PUBLISH], &[NO_PUBLISH], true),
    ("client|tracking", &[NO_TRACKING], &[NO_NEAR], false),
    ("client|caching", &[NO_TRACKING], &[NO_NEAR], false),
    ("scan", &[NO_LOOK], &[NO_LOOK], true),
];

/// What hosts can't do without.
const REFUSED: [(&str, &str); 3] =
    [("eval", NO_SCRIPTS), ("evalsha", NO_SCRIPTS), ("time", NO_TIME)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_lack_costs_one_thing_and_check_names_it() {
    let postgres = &shop().await;
    let cases =
        DEGRADING.iter().zip(1..).map(|((command, bare, with_near, has_near), id)| async move {
            let redis = Redis::start().await.unwrap();
            let url = redis.url_without(&[command]).await.unwrap();
            says(&config(&url, postgres, false), command, bare).await;
            says(&config(&url, postgres, true), command, with_near).await;
            serves(&config(&url, postgres, true), command, id, *has_near).await;
        });
    join_all(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_speak_resp3_serves_without_what_it_would_push() {
    let redis = Redis::start_with(&["--rename-command", "HELLO", ""]).await.unwrap();
    let (url, postgres) = (redis.url(), shop().await);
    says(&config(&url, &postgres, false), "hello", &[NO_RESP3]).await;
    says(&config(&url, &postgres, true), "hello", &[NO_RESP3, NO_RESP3_NEAR]).await;
    serves(&config(&url, &postgres, true), "hello", 1, false).await;
    let url = redis.url_without(&[]).await.unwrap();
    serves(&config(&url, &postgres, true), "hello, with a password", 2, false).await;
    let wrong = url.replace("secret", "wrong");
    let output = File::new(&config(&wrong, &postgres, false)).run("check").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("authentication failed"), "{said}");
}

#[tokio::test]
async fn a_server_without_what_every_operation_needs_is_refused_by_name_at_the_start_too() {
    let (redis, postgres) = (Redis::start().await.unwrap(), shop().await);
    for (command, refusal) in REFUSED {
        let url = redis.url_without(&[command]).await.unwrap();
        let config = config(&url, &postgres, false);
        let output = File::new(&config).run("check").await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{command}: {said}");
        assert_eq!(said.matches("store.url: ").count(), 1, "{command}: {said}");
        assert!(said.contains(refusal) && !said.contains("secret"), "{command}: {said}");

        let output = File::new(&config).run("serve").await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(refusal), "{command}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_are_taken_away_while_a_host_serves_cost_the_cache_and_no_answer() {
    let (redis, postgres) = (Redis::start().await.unwrap(), shop().await);
    let url = redis.url_without(&[]).await.unwrap();
    let host = Host::start(&config(&url, &postgres, false)).await.unwrap();
    assert_eq!(price(&product(&host, 1).await), price_of(1));
    redis.url_without(&["eval", "evalsha"]).await.unwrap();
    redis.say(&["CLIENT", "KILL", "TYPE", "normal"]).await.unwrap();
    for id in 1..=20 {
        assert_eq!(price(&product(&host, id).await), price_of(id));
    }
    eventually("the host says why", SOON, || async {
        Ok(host.log().contains("this server forbids scripts to this user").then_some(()))
    })
    .await
    .unwrap();
    redis.url_without(&[]).await.unwrap();
    eventually("the store is used again", SOON, || async {
        Ok(product(&host, 2).await.is_hit().then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_server_is_called_by_its_own_name() {
    let (redis, postgres) =
        (Redis::start_edition(Edition::Redis6, &[]).await.unwrap(), shop().await);
    let names = [
        (redis, "store: Redis 6.2.14, 0 keys"),
        (Redis::start_edition(Edition::Valkey8, &[]).await.unwrap(), "store: Valkey 8.1.8, 0 keys"),
        (Redis::start_edition(Edition::Valkey9, &[]).await.unwrap(), "store: Valkey 9.1.2, 0 keys"),
    ];
    for (server, name) in names {
        let output = File::new(&config(&server.url(), &postgres, false)).run("check").await;
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && said.contains(name), "{said}");
    }
}

async fn shop() -> Postgres {
    let postgres = Postgres::start().await.unwrap();
    Shop::small().load(&postgres.url()).await.unwrap();
    postgres
}

fn config(store: &str, postgres: &Postgres, near: bool) -> String {
    let config = shop::config(Some(store), &postgres.url());
    // On a busy machine 50 ms are no sign of an outage.
    let config = config.replacen("[origin]", "timeout = \"5s\"\n[origin]", 1);
    if near { config.replacen("deadline", "near = \"5m\"\ndeadline", 1) } else { config }
}

/// Checks what `corral check` says of the store beside that it answers and what it is.
async fn says(config: &str, command: &str, expected: &[&str]) {
    let output = File::new(config).run("check").await;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let of_store = |line: &&str| line.starts_with("store: ") || line.contains("store.url: ");
    let lines: Vec<&str> = said.lines().filter(of_store).collect();
    assert_eq!(lines[0], "store: redis answers", "{command}: {said}");
    assert!(lines[1].ends_with(" keys of ours looked at"), "{command}: {said}");
    assert_eq!(lines.len(), 2 + expected.len(), "{command}: {said}");
    for (line, expected) in lines[2..].iter().zip(expected) {
        assert!(line.ends_with(expected), "{command}: {line:?} in place of {expected:?}");
    }
    let is_ready = !expected.iter().any(|sentence| sentence.starts_with("store.url: "));
    assert_eq!(output.status.success(), is_ready, "{command}: {said}");
}

/// Checks that two hosts share answers and loads, and that neither is stale after a write on the other.
async fn serves(config: &str, without: &str, id: u32, has_near: bool) {
    let hosts = [Host::start(config).await.unwrap(), Host::start(config).await.unwrap()];
    for round in 0..6_usize {
        let (writer, reader) = (&hosts[round % 2], &hosts[1 - round % 2]);
        stored(reader, id).await;
        let new = 1_000 + round;
        let row = json!({ "id": id, "price_cents": new });
        let answer = writer.post("/write/product.page/reprice", &row).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{without}: {answer:?}");
        assert_eq!(answer.json().unwrap()["cache"], "invalidated", "{without}");
        assert_eq!(price(&product(writer, id).await), new, "{without}");
        eventually("the other host sees the write", SOON, || async {
            Ok((price(&product(reader, id).await) == new).then_some(()))
        })
        .await
        .unwrap();
    }
    let near = eventually("an answer from the near cache", SOON, || async {
        let answer = product(&hosts[0], id).await;
        let is_near = answer.header("cache-status").contains("detail=near");
        Ok((is_near || !has_near && answer.is_hit()).then_some(is_near))
    });
    assert_eq!(near.await.unwrap(), has_near, "{without}");

    // One host loads, and the other one waits for it.
    let path = format!("/read/report.slow?id={id}&ms={SLOW_MS}");
    let [one, other] = [hosts[0].get(&path), hosts[1].get(&path)];
    let (one, other) = tokio::join!(one, other);
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.status, other.status), (StatusCode::OK, StatusCode::OK), "{without}");
    let mut loads = 0.0;
    for host in &hosts {
        let metrics = host.metrics().await.unwrap();
        loads += metrics.sum_where("corral_origin_loads_total", &[("entity", "report.slow")]);
    }
    assert_eq!(loads, 1.0, "{without}");
}

/// Waits until a host answers from the store or its near cache.
async fn stored(host: &Host, id: u32) {
    eventually("a hit", SOON, || async { Ok(product(host, id).await.is_hit().then_some(())) })
        .await
        .unwrap();
}

async fn product(host: &Host, id: u32) -> Answer {
    let answer = host.get(&format!("/read/product.page?id={id}")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer
}

fn price(answer: &Answer) -> usize {
    answer.json().unwrap()["price_cents"].as_u64().unwrap().try_into().unwrap()
}

fn price_of(id: u32) -> usize {
    shop::expected_product(id)["price_cents"].as_u64().unwrap().try_into().unwrap()
}
