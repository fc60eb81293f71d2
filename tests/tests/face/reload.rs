//! A new configuration in place of the one in force: in one step, or not at all.

use corral_host::policy::builtin;
use corral_tests::client::Client;
use corral_tests::policies::variant;
use corral_tests::servers::{Host, Postgres, eventually};
use hyper::StatusCode;
use serde_json::json;

use super::common::{SOON, Servers, ask, get, new_store, post};

/// Only SIGHUP makes the host read its file; it does not watch it.
const UNWATCHED: &str = "[policy]\nwatch = false\n";

const COUNTED: &str = "[entity.\"user.count\"]\nread = \"SELECT count(*) AS users FROM users\"\nttl = \"1m\"\ntags = [\"users\"]\n";

const CARD: &str = "read = \"SELECT id, name FROM users WHERE id = $1\"";
const LARGER_CARD: &str = "read = \"SELECT id, name, role FROM users WHERE id = $1\"";

async fn config(store: &str, more: &str) -> String {
    Servers::shared().await.config_over(store, "", &format!("{UNWATCHED}{more}"))
}

async fn until_it_says(host: &Host, what: &str) {
    let said = async || Ok(host.log().contains(what).then_some(()));
    eventually(what, SOON, said).await.unwrap_or_else(|_| panic!("{what}: {}", host.log()));
}

#[tokio::test]
async fn a_hangup_puts_entities_and_tokens_in_force_together() {
    let store = new_store().await;
    let old = config(&store, "").await;
    let host = Host::start(&old).await.unwrap();
    assert_eq!(get(&host, "/read/user.count").await.status, StatusCode::NOT_FOUND);
    assert!(get(&host, "/read/user.card?id=5").await.json().unwrap().get("role").is_none());
    let tokens = "[access]\nread = \"the-read-token\"\n";
    let new = config(&store, &format!("{COUNTED}{tokens}")).await;
    assert!(new.contains(CARD));
    host.configure(&new.replace(CARD, LARGER_CARD)).unwrap();
    // No request is lost, and a client without a token sees nothing of the new configuration.
    host.hup().unwrap();
    eventually("the token is needed", SOON, || async {
        let answer = get(&host, "/read/user.card?id=5").await;
        if answer.status == StatusCode::OK {
            assert!(answer.json()?.get("role").is_none(), "a new entity without its token");
        }
        Ok((answer.status == StatusCode::UNAUTHORIZED).then_some(()))
    })
    .await
    .unwrap();
    let token = [("authorization", "Bearer the-read-token")];
    let card = ask(&host, "GET /read/user.card?id=5", &token, "").await;
    assert!(card.json().unwrap().get("role").is_some(), "{card:?}");
    let mut hit = false;
    for _ in 0..2 {
        let count = ask(&host, "GET /read/user.count", &token, "").await;
        assert_eq!(count.status, StatusCode::OK);
        hit = count.is_hit();
    }
    assert!(hit, "a new entity is stored as soon as it is served");
    let metrics = host.metrics().await.unwrap();
    assert!(metrics.sum_where("corral_reads_total", &[("entity", "user.count")]) >= 2.0);
    // Another reload of the same file changes nothing.
    host.hup().unwrap();
    until_it_says(&host, "it is the same").await;
    host.configure(&old).unwrap();
    host.hup().unwrap();
    eventually("the entity is gone", SOON, || async {
        Ok((get(&host, "/read/user.count").await.status == StatusCode::NOT_FOUND).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_changed_file_is_followed_without_a_hangup() {
    let servers = Servers::shared().await;
    let store = servers.new_store().unwrap();
    let host = servers.host_over(&store, "").await;
    host.configure(&servers.config_over(&store, "grace = \"3s\"", COUNTED)).unwrap();
    eventually("the entity is there", SOON, || async {
        Ok((get(&host, "/read/user.count").await.status == StatusCode::OK).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_is_wrong_or_needs_a_restart_changes_nothing_and_is_named() {
    let [store, other_store] = [new_store().await, new_store().await];
    let host = Host::start(&config(&store, "").await).await.unwrap();
    let good = config(&store, COUNTED).await;
    for (broken, why) in [
        (good.replace("ttl = ", "tll = "), "did you mean \"ttl\""),
        (good.replace("count(*)", "cuont(*)"), "user.count"),
        (format!("threads = 3\n{good}"), "threads needs a restart"),
        (good.replace(&store, &other_store), "[store] needs a restart"),
        (
            good.replace(UNWATCHED, &format!("{UNWATCHED}[policy.settings]\njitter = 7.0\n")),
            "jitter",
        ),
        ("not = [toml".to_owned(), "not TOML"),
    ] {
        host.configure(&broken).unwrap();
        host.hup().unwrap();
        until_it_says(&host, why).await;
        assert_eq!(get(&host, "/read/user.count").await.status, StatusCode::NOT_FOUND, "{why}");
        assert_eq!(get(&host, "/read/user.card?id=5").await.status, StatusCode::OK, "{why}");
    }
    // The control: without the mistake the configuration comes into force.
    host.configure(&good).unwrap();
    host.hup().unwrap();
    until_it_says(&host, "was read again and is in force").await;
    eventually("the entity is there", SOON, || async {
        Ok((get(&host, "/read/user.count").await.status == StatusCode::OK).then_some(()))
    })
    .await
    .unwrap();
}

/// The text of a refusal contains the sender's words, which the log escapes.
#[tokio::test]
async fn a_setting_whose_name_reads_like_a_line_of_the_log_is_none_there() {
    let origin = Servers::shared().await.postgres.url();
    let entity = "[entity.n]\nread = \"SELECT 1 AS n\"\nttl = \"1m\"\n";
    let host = Host::start(&format!("[origin]\nurl = \"{origin}\"\n{entity}")).await.unwrap();
    let forged = "2026-01-01T00:00:00Z  WARN forged";
    let settings = json!({ (format!("x\n{forged}")): 1 }).to_string();
    let answer = ask(&host, "PUT /admin/policy/settings", &[], settings).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:?}");
    // The control: those words are in the log, within another line.
    until_it_says(&host, &format!("x\\n{forged}")).await;
    let log = host.log();
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01T00:00:00Z")), "{log}");
}

#[tokio::test]
async fn a_request_in_progress_keeps_the_configuration_that_it_began_with() {
    let store = new_store().await;
    let host = Host::start(&config(&store, "").await).await.unwrap();
    let slow = get(&host, "/read/report.slow?id=1&ms=3000");
    let exchanged = async {
        eventually("the load runs", SOON, || async {
            let loads = [("entity", "report.slow")];
            let metrics = host.metrics().await?;
            Ok((metrics.sum_where("corral_origin_loads_total", &loads) > 0.0).then_some(()))
        })
        .await
        .unwrap();
        let new = config(&store, COUNTED)
            .await
            .replace("[entity.\"report.slow\"]", "[entity.\"report.other\"]");
        host.configure(&new).unwrap();
        host.hup().unwrap();
        eventually("the entity is gone", SOON, || async {
            let gone = get(&host, "/read/report.slow?id=2&ms=1").await.status;
            Ok((gone == StatusCode::NOT_FOUND).then_some(()))
        })
        .await
        .unwrap();
    };
    let (answer, ()) = tokio::join!(slow, exchanged);
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.json().unwrap(), json!({"id": 1, "ms": 3000}));
    assert_eq!(host.metrics().await.unwrap().sum("corral_policy_refused_total"), 0.0);
}

#[tokio::test]
async fn a_host_that_has_not_changed_invalidates_what_one_that_has_fills() {
    let old = config(&new_store().await, "").await;
    let (changed, other) = (Host::start(&old).await.unwrap(), Host::start(&old).await.unwrap());
    changed.configure(&old.replace(CARD, LARGER_CARD)).unwrap();
    changed.hup().unwrap();
    eventually("the changed entity is stored", SOON, || async {
        let card = get(&changed, "/read/user.card?id=9").await;
        Ok((card.json()?.get("role").is_some() && card.is_hit()).then_some(()))
    })
    .await
    .unwrap();
    for name in ["Ada", "Bea", "Cleo"] {
        let body = json!({"id": 9, "name": name}).to_string();
        assert_eq!(post(&other, "/write/user.card/rename", &body).await.status, StatusCode::OK);
        assert_eq!(get(&changed, "/read/user.card?id=9").await.json().unwrap()["name"], name);
        assert_eq!(get(&other, "/read/user.card?id=9").await.json().unwrap()["name"], name);
    }
}

#[tokio::test]
async fn a_policy_that_one_goes_back_to_knows_the_entities_in_force() {
    let store = new_store().await;
    let host = Host::start(&config(&store, "").await).await.unwrap();
    let newer = variant(builtin(), 1);
    assert_eq!(ask(&host, "PUT /admin/policy", &[], newer).await.status, StatusCode::OK);
    let with_write = format!(
        "{COUNTED}[entity.\"user.count\".write.leave]\nparams = [\"id:int8\"]\n\
         sql = \"DELETE FROM users WHERE id = $1\"\ntouches = [\"user.count()\", \"tag users\"]\n"
    );
    host.configure(&config(&store, &with_write).await).unwrap();
    host.hup().unwrap();
    until_it_says(&host, "was read again and is in force").await;
    for back in [false, true, true] {
        if back {
            let back = ask(&host, "POST /admin/policy/rollback", &[], "").await;
            assert_eq!(back.status, StatusCode::OK, "{back:?}");
        }
        let wrote = post(&host, "/write/user.count/leave", r#"{"id": -1}"#).await;
        assert_eq!(wrote.status, StatusCode::OK, "{wrote:?}");
        get(&host, "/read/user.count").await;
        eventually("the policy decides on what is new", SOON, || async {
            Ok(get(&host, "/read/user.count").await.is_hit().then_some(()))
        })
        .await
        .unwrap();
    }
}

/// The host watches the file, and the file has another password. This does not keep other changes
/// from coming into force.
#[tokio::test]
async fn a_password_that_was_exchanged_keeps_no_other_change_from_coming_into_force() {
    let postgres = Postgres::start().await.unwrap();
    postgres.psql("CREATE ROLE app LOGIN PASSWORD 'first'").await.unwrap();
    postgres.ask_for_password("app").await.unwrap();
    let config = |password: &str, database: &str, n: u8| {
        let url = format!("postgres://app:{password}@127.0.0.1:{}/{database}", postgres.port());
        format!("[origin]\nurl = \"{url}\"\n[entity.n]\nread = \"SELECT {n} AS n\"\nttl = \"1m\"\n")
    };
    let host = Host::start(&config("first", "postgres", 1)).await.unwrap();
    assert_eq!(get(&host, "/read/n").await.json().unwrap(), json!({"n": 1}));
    postgres.psql("ALTER ROLE app PASSWORD 'second'").await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
    postgres.psql(end).await.unwrap();
    host.configure(&config("second", "postgres", 2)).unwrap();
    eventually("the statement is another one", SOON, || async {
        let answer = get(&host, "/read/n").await;
        Ok((answer.json()? == json!({"n": 2})).then_some(()))
    })
    .await
    .unwrap();
    // The control: another database is another origin.
    host.configure(&config("second", "template1", 3)).unwrap();
    until_it_says(&host, "[origin] needs a restart").await;
}

/// A single entity may load on every connection; with other entities, it has to leave them some.
#[tokio::test]
async fn an_entity_that_is_alone_no_more_leaves_connections_to_the_other_one() {
    const SLOW: &str = "[entity.slow]\nparams = [\"id:int8\"]\n\
        read = \"SELECT $1::bigint AS id FROM pg_sleep(3)\"\nttl = \"1m\"\ndeadline = \"30s\"\n";
    const QUICK: &str = "[entity.quick]\nparams = [\"id:int8\"]\n\
        read = \"SELECT $1::bigint AS id\"\nttl = \"1m\"\n";
    let postgres = Postgres::start().await.unwrap();
    let of = |entities: &str| {
        format!("{UNWATCHED}[origin]\nurl = \"{}\"\nmax_loads = 4\n{entities}", postgres.url())
    };
    let host = Host::start(&of(SLOW)).await.unwrap();
    host.configure(&of(&format!("{SLOW}{QUICK}"))).unwrap();
    host.hup().unwrap();
    eventually("the other one is there", SOON, || async {
        Ok((get(&host, "/read/quick?id=0").await.status == StatusCode::OK).then_some(()))
    })
    .await
    .unwrap();
    let readers = (0..6).map(|id| {
        let url = host.url(&format!("/read/slow?id={id}"));
        tokio::spawn(async move { Client::default().get(&url).await })
    });
    let readers: Vec<_> = readers.collect();
    eventually("they read", SOON, || async {
        Ok((host.metrics().await?.sum("corral_flights") >= 6.0).then_some(()))
    })
    .await
    .unwrap();
    for id in 1..10 {
        let answer = get(&host, &format!("/read/quick?id={id}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    assert!(host.metrics().await.unwrap().sum("corral_flights") >= 4.0, "the control");
    for reader in readers {
        assert_eq!(reader.await.unwrap().unwrap().status, StatusCode::OK);
    }
}
