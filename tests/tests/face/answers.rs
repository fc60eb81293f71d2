//! Every kind of answer that an application gets: reads, writes, invalidations.

use corral_tests::servers::{Host, eventually};
use corral_tests::shop::{Shop, expected_profile};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::common::{SOON, Servers, ask, get, loads, pair, post, status_parameter};

#[tokio::test]
async fn a_read_says_where_its_answer_came_from() {
    let [one, two] = pair("").await;
    let miss = get(&one, "/read/user.profile?id=7").await;
    assert_eq!(miss.status, StatusCode::OK);
    assert_eq!(miss.json().unwrap(), expected_profile(7));
    assert_eq!(miss.header("content-type"), "application/json");
    assert_eq!(status_parameter(&miss, "fwd"), Some("miss"));
    assert_eq!(status_parameter(&miss, "stored"), Some("stored"));
    assert_eq!(status_parameter(&miss, "key"), Some("\"v1:user.profile:7\""));
    assert_eq!(status_parameter(&miss, "hit"), None);
    assert!(miss.header("cache-status").starts_with("corral; "));
    let ttl: i64 = status_parameter(&miss, "ttl").unwrap().parse().unwrap();
    assert!((239..=360).contains(&ttl), "5m with a jitter of 20 %: {ttl}");
    let policy = miss.header("corral-policy");
    assert!(policy.contains('@') && policy.ends_with(";generation=1"), "{policy}");

    // Another host and other spellings have the same key.
    for (host, id) in [(&one, "7"), (&two, "7"), (&two, "007"), (&one, "+7"), (&one, "%37")] {
        let hit = get(host, &format!("/read/user.profile?id={id}")).await;
        assert_eq!(hit.body, miss.body, "{id}");
        assert_eq!(hit.header("etag"), miss.header("etag"));
        assert_eq!(status_parameter(&hit, "hit"), Some("hit"), "{id}");
        assert_eq!(status_parameter(&hit, "detail"), Some("store"));
        assert_eq!(status_parameter(&hit, "fwd"), None);
        assert!(hit.header("age").parse::<u64>().unwrap() < 30);
    }
    assert_eq!(loads(&[&one, &two], "user.profile", None).await, 1.0);

    eventually("the value ages", SOON, || async {
        let hit = get(&one, "/read/user.profile?id=7").await;
        let now: i64 = status_parameter(&hit, "ttl").unwrap().parse().unwrap();
        Ok((hit.header("age").parse::<u64>()? >= 1 && now < ttl).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn etags_and_heads_save_the_body() {
    let [one, two] = pair("").await;
    let path = "/read/user.profile?id=8";
    let full = get(&one, path).await;
    let etag = full.header("etag");
    assert_eq!((etag.len(), etag.matches('"').count()), (34, 2), "{etag}");

    for condition in [etag, "*", &format!("W/{etag}"), &format!("\"other\", {etag}")] {
        let headers = [("if-none-match", condition)];
        let unchanged = ask(&two, &format!("GET {path}"), &headers, "").await;
        assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED, "{condition}");
        assert!(unchanged.body.is_empty());
        assert_eq!(unchanged.header("etag"), etag);
        assert_eq!(status_parameter(&unchanged, "hit"), Some("hit"));
    }
    let changed = ask(&two, &format!("GET {path}"), &[("if-none-match", "\"other\"")], "").await;
    assert_eq!((changed.status, &changed.body), (StatusCode::OK, &full.body));

    let head = ask(&two, &format!("HEAD {path}"), &[], "").await;
    assert_eq!(head.status, StatusCode::OK);
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), full.body.len().to_string());
    assert_eq!(head.header("etag"), etag);
    assert_eq!(status_parameter(&head, "key"), Some("\"v1:user.profile:8\""));
}

#[tokio::test]
async fn many_rows_are_an_array_and_no_row_is_remembered_too() {
    let [one, two] = pair("").await;
    let orders = get(&one, "/read/user.orders?id=7").await;
    assert_eq!(orders.json().unwrap(), Shop::small().expected_orders(7));
    let none = get(&one, "/read/user.orders?id=999").await;
    assert_eq!((none.status, none.json().unwrap()), (StatusCode::OK, json!([])));

    let missing = get(&one, "/read/user.profile?id=999").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(missing.json().unwrap()["type"], "urn:corral:problem:no-row");
    assert_eq!(status_parameter(&missing, "stored"), Some("stored"));
    assert!(missing.header("corral-policy").contains("generation=1"));
    let ttl: i64 = status_parameter(&missing, "ttl").unwrap().parse().unwrap();
    assert!((23..=36).contains(&ttl), "30s with a jitter of 20 %: {ttl}");
    for host in [&one, &two] {
        let again = get(host, "/read/user.profile?id=999").await;
        assert_eq!((again.status, &again.body), (StatusCode::NOT_FOUND, &missing.body));
        assert_eq!(status_parameter(&again, "hit"), Some("hit"));
        let head = ask(host, "HEAD /read/user.profile?id=999", &[], "").await;
        assert_eq!((head.status, head.body.len()), (StatusCode::NOT_FOUND, 0));
    }
    assert_eq!(loads(&[&one, &two], "user.profile", None).await, 1.0);
}

#[tokio::test]
async fn the_next_read_after_a_write_sees_it_on_every_host() {
    let [one, two] = pair("").await;
    for host in [&one, &two] {
        assert_eq!(field(host, "/read/user.profile?id=11", "name").await, "User 11");
    }
    let body = r#"{"id": 11, "name": "Ada", "email": "ada@example.com"}"#;
    let wrote = post(&one, "/write/user.profile/rename", body).await;
    assert_eq!(wrote.json().unwrap(), json!({"rows": 1, "cache": "invalidated"}));
    for host in [&two, &one] {
        assert_eq!(field(host, "/read/user.profile?id=11", "name").await, "Ada");
    }
    assert_eq!(loads(&[&one, &two], "user.profile", None).await, 2.0);

    let nobody = r#"{"id": 999, "name": "Ada", "email": "ada@example.com"}"#;
    let wrote = post(&two, "/write/user.profile/rename", nobody).await;
    assert_eq!(wrote.json().unwrap(), json!({"rows": 0, "cache": "invalidated"}));
}

#[tokio::test]
async fn a_write_through_leaves_the_new_value_in_the_store() {
    let [one, two] = pair("").await;
    assert_eq!(field(&one, "/read/user.card?id=12", "name").await, "User 12");
    for (host, name) in [(&one, "Grace"), (&two, "Katherine")] {
        let body = json!({"id": 12, "name": name}).to_string();
        let wrote = post(host, "/write/user.card/rename", &body).await;
        assert_eq!(wrote.json().unwrap(), json!({"rows": 1, "cache": "refreshed"}));
        for reader in [&one, &two] {
            let read = get(reader, "/read/user.card?id=12").await;
            assert_eq!(read.json().unwrap()["name"], name);
            assert_eq!(status_parameter(&read, "hit"), Some("hit"));
        }
    }
    let hosts = [&one, &two];
    assert_eq!(loads(&hosts, "user.card", Some("miss")).await, 1.0);
    assert_eq!(loads(&hosts, "user.card", Some("write-through")).await, 2.0);
}

#[tokio::test]
async fn keys_tags_and_reads_are_invalidated_by_name() {
    let [one, two] = pair("").await;
    let (profile, orders) = ("/read/user.profile?id=13", "/read/user.orders?id=13");
    // What is named, how it is counted, how many keys it removes, and which reads are misses after
    // it.
    let key = json!({"keys": ["v1:user.profile:13", "v1:user.profile:nobody"]});
    let tag = json!({"tags": ["user:13"]});
    let row_tag = json!({"tags": ["team:13"]});
    let read = json!({"reads": [{"entity": "user.orders", "params": {"id": "013"}}]});
    let all = json!({"keys": ["v1:user.profile:13"], "tags": ["user:13"],
                     "reads": [{"entity": "user.orders", "params": {"id": 13}}]});
    for (what, named, removed, profile_misses, orders_misses) in [
        (key, [2, 0, 0], 1, true, false),
        (tag, [0, 1, 0], 2, true, true),
        (row_tag, [0, 1, 0], 1, true, false),
        (read, [0, 0, 1], 1, false, true),
        (all, [1, 1, 1], 2, true, true),
        (json!({}), [0, 0, 0], 0, false, false),
    ] {
        for path in [profile, orders] {
            get(&one, path).await;
        }
        let answer = post(&two, "/invalidate", &what.to_string()).await;
        let counts = json!({"keys": named[0], "tags": named[1], "reads": named[2]});
        let expected = json!({"named": counts, "removed": removed, "cache": "invalidated"});
        assert_eq!((answer.status, answer.json().unwrap()), (StatusCode::OK, expected), "{what}");
        for (path, misses) in [(profile, profile_misses), (orders, orders_misses)] {
            let fwd = status_parameter(&get(&one, path).await, "fwd").map(str::to_owned);
            assert_eq!(fwd.as_deref(), misses.then_some("miss"), "{path} after {what}");
        }
    }
}

#[tokio::test]
async fn no_cache_is_obeyed_where_the_configuration_allows_it() {
    let servers = Servers::shared().await;
    let store = servers.new_store().unwrap();
    let strict = servers.host_over(&store, "").await;
    let lenient = servers.host_over(&store, "[access]\nno_cache = true\n").await;
    let request = "GET /read/user.profile?id=14";
    let no_cache = [("cache-control", "max-age=0, No-Cache")];
    ask(&strict, request, &[], "").await;

    // A browser's reload is a read like any other.
    let reloaded = ask(&strict, request, &no_cache, "").await;
    assert_eq!((reloaded.status, reloaded.is_hit()), (StatusCode::OK, true));
    assert_eq!(loads(&[&strict, &lenient], "user.profile", None).await, 1.0);

    let update = "UPDATE users SET name = 'Behind our back' WHERE id = 14";
    servers.postgres.psql(update).await.unwrap();
    assert_eq!(field(&lenient, "/read/user.profile?id=14", "name").await, "User 14");
    let fresh = ask(&lenient, request, &no_cache, "").await;
    assert_eq!(fresh.json().unwrap()["name"], "Behind our back");
    assert_eq!(status_parameter(&fresh, "fwd"), Some("request"));
    assert_eq!(status_parameter(&fresh, "stored"), Some("stored"));
    // The next read has it from the store.
    let next = ask(&strict, request, &[], "").await;
    assert_eq!((next.is_hit(), &next.body), (true, &fresh.body));
}

async fn field(host: &Host, path: &str, name: &str) -> Value {
    get(host, path).await.json().unwrap()[name].clone()
}
