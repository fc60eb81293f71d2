//! Writes and lists of very many rows: they work, or are refused with a text that helps, and they
//! do not count against the policy.

use std::time::Duration;

use corral_host::store::{Intent, IntentTarget, Prefix, RangeId, RedisStore, Store as _, StoreTag};
use corral_tests::servers::{Host, Postgres, Redis, eventually};
use hyper::StatusCode;
use serde_json::Value;

use super::common::{SOON, get, post, status_parameter};

pub(super) const ENTITIES: &str = r#"
[entity.item]
params = ["id:int8"]
read = "SELECT id, n FROM items WHERE id = $1"
ttl = "5m"
tags = ["item:{id}"]
deadline = "30s"

[entity.item.write.bump]
params = ["most:int8"]
sql = "UPDATE items SET n = n + 1 WHERE id <= $1 RETURNING id"
touches = ["tag item:{row.id}"]

[entity.item.write.swell]
params = ["id:int8", "size:int4"]
sql = "UPDATE items SET n = n + 1 WHERE id = $1 RETURNING id, repeat('x', $2::int) AS note"
touches = ["tag item:{row.id}", "tag note:{row.note}"]

[entity.noted]
params = ["id:int8"]
read = "SELECT id, 'x' AS note FROM items WHERE id = $1"
ttl = "5m"
tags = ["note:{row.note}"]

[entity.items]
params = ["most:int8"]
read = "SELECT id, n FROM items WHERE id <= $1"
rows = "many"
ttl = "5m"
tags = ["item:{row.id}"]
deadline = "30s"

[entity.documents]
params = ["most:int8"]
read = "SELECT id, document FROM documents WHERE id <= $1"
rows = "many"
ttl = "5m"
tags = ["document:{row.document}"]

[entity.papers]
params = ["most:int8"]
read = "SELECT id, paper FROM documents WHERE id <= $1"
rows = "many"
ttl = "5m"
tags = ["paper:{row.paper}"]
"#;

/// One document is nested too deeply for a tag. Values of the type `json` never have a text that
/// tags are made of.
pub(super) const SCHEMA: &str = r#"CREATE TABLE items (id bigint PRIMARY KEY, n bigint NOT NULL);
    INSERT INTO items SELECT id, 0 FROM generate_series(1, 100000) AS id;
    CREATE TABLE documents (id bigint PRIMARY KEY, document jsonb, paper json);
    INSERT INTO documents VALUES (1, '{"a": 1}', '"\ud800"'),
        (2, (repeat('[', 200) || repeat(']', 200))::jsonb, NULL)"#;

struct Scene {
    postgres: Postgres,
    host: Host,
    redis: Redis,
}

impl Scene {
    async fn start() -> Self {
        let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
        postgres.psql(SCHEMA).await.unwrap();
        let (store, origin) = (redis.url(), postgres.url());
        // A slow answer of a debug build on a busy machine is no outage, and a slow call is not the policy's.
        let servers = format!(
            "[store]\nurl = {store:?}\ntimeout = \"5s\"\n[origin]\nurl = {origin:?}\n\
             [policy.limits]\ncall = \"1s\"\n"
        );
        let host = Host::start(&format!("{servers}{ENTITIES}")).await.unwrap();
        Self { postgres, host, redis }
    }

    async fn bump(&self, most: u32) -> corral_tests::client::Answer {
        post(&self.host, "/write/item/bump", &format!("{{\"most\": {most}}}")).await
    }

    async fn n(&self) -> String {
        let rows = self.postgres.psql("SELECT sum(n)::text FROM items").await.unwrap();
        rows[0][0].clone().unwrap()
    }

    /// Checks that nothing counts against the policy, and that no line of the log is long.
    async fn nobody_blames_the_policy(&self) {
        let status: Value = get(&self.host, "/admin/policy").await.json().unwrap();
        let current = &status["current"];
        assert_eq!((&current["traps"], &current["refused"]), (&0.into(), &0.into()), "{status}");
        let log = self.host.log();
        assert!(log.lines().all(|line| line.len() < 1_000), "{log}");
    }
}

#[tokio::test]
async fn a_write_of_thousands_of_rows_touches_a_tag_of_each() {
    let scene = Scene::start().await;
    let before: Value = get(&scene.host, "/read/item?id=4000").await.json().unwrap();
    assert_eq!(before["n"], 0);
    let answer = scene.bump(5_000).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.json().unwrap()["cache"], "invalidated");
    let after: Value = get(&scene.host, "/read/item?id=4000").await.json().unwrap();
    assert_eq!(after["n"], 1);
    scene.nobody_blames_the_policy().await;
}

#[tokio::test]
async fn a_write_of_too_many_rows_is_refused_with_words_that_help_as_often_as_it_is_tried() {
    let scene = Scene::start().await;
    for _ in 0..5 {
        let answer = scene.bump(100_000).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:?}");
        assert_eq!(answer.header("retry-after"), "");
        let problem = answer.json().unwrap();
        assert_eq!(problem["type"], "urn:corral:problem:write-too-large");
        let detail = problem["detail"].as_str().unwrap();
        for word in ["100000 rows", "fewer rows", "a tag that all of them carry"] {
            assert!(detail.contains(word), "{word}: {detail}");
        }
        // On a busy machine the time for naming ends before so many names are made.
        assert!(detail.contains("16384") || detail.contains("takes longer than"), "{detail}");
    }
    assert_eq!(scene.n().await, "0");
    scene.nobody_blames_the_policy().await;
}

#[tokio::test]
async fn a_write_whose_row_is_too_large_to_be_named_is_refused_and_undone() {
    let scene = Scene::start().await;
    let swell = async |size: u32| {
        let body = format!("{{\"id\": 1, \"size\": {size}}}");
        post(&scene.host, "/write/item/swell", &body).await
    };
    assert_eq!(swell(1 << 19).await.status, StatusCode::OK, "the control");
    assert_eq!(scene.n().await, "1");
    let answer = swell((1 << 20) + 1).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:?}");
    assert_eq!(answer.json().unwrap()["type"], "urn:corral:problem:write-too-large");
    assert_eq!(scene.n().await, "1", "nothing was written");
    scene.nobody_blames_the_policy().await;
}

#[tokio::test]
async fn a_list_with_more_tags_than_a_value_may_have_is_answered_and_says_that_it_is_not_stored() {
    let scene = Scene::start().await;
    for (most, stored) in [(1_024, true), (1_025, false), (100_000, false)] {
        let answer = get(&scene.host, &format!("/read/items?most={most}")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json().unwrap().as_array().unwrap().len(), most);
        assert_eq!(answer.is_stored(), stored, "{most}: {answer:?}");
        let detail = (!stored).then_some("too-many-tags");
        assert_eq!(status_parameter(&answer, "detail"), detail, "{most}");
    }
    let log = scene.host.log();
    assert_eq!(log.lines().filter(|line| line.contains("1024 different tags")).count(), 1, "{log}");
    scene.nobody_blames_the_policy().await;
}

#[tokio::test]
async fn a_list_with_a_document_of_which_no_tag_can_be_made_says_that_it_is_not_stored() {
    let scene = Scene::start().await;
    let reads = [("/read/documents?most=2", "\"document\""), ("/read/papers?most=1", "\"paper\"")];
    for (read, column) in reads {
        for _ in 0..3 {
            let answer = get(&scene.host, read).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(status_parameter(&answer, "detail"), Some("untaggable"), "{read}");
        }
        let log = scene.host.log();
        assert_eq!(log.lines().filter(|line| line.contains(column)).count(), 1, "{log}");
    }
    // The control: without the deeply nested document the list is stored.
    let read = "/read/documents?most=1";
    assert!(get(&scene.host, read).await.is_stored());
    assert!(get(&scene.host, read).await.is_hit());
    scene.nobody_blames_the_policy().await;
}

#[tokio::test]
async fn thousands_of_tags_that_a_lost_host_announced_are_carried_out_and_make_no_long_line() {
    let scene = Scene::start().await;
    let read = "/read/item?id=5000";
    let is_hit = async || Ok(get(&scene.host, read).await.is_hit().then_some(()));
    eventually("there is something to invalidate", SOON, is_hit).await.unwrap();
    let tag = |id: u32| IntentTarget::Tag(StoreTag::try_new(&format!("item:{id}")).unwrap());
    let intent = Intent::new(7, (1..=5_000).map(tag).collect(), None);
    let store = RedisStore::connect(&scene.redis.url(), Prefix::default(), SOON).unwrap();
    store.announce(RangeId::FIRST, &intent, Duration::from_millis(1)).await.unwrap();
    let carried_out = "carried out what other hosts announced";
    let is_said = async || Ok(scene.host.log().contains(carried_out).then_some(()));
    eventually(carried_out, SOON, is_said).await.unwrap();
    assert!(!get(&scene.host, read).await.is_hit());
    assert!(!scene.host.log().contains("item:5000"), "{}", scene.host.log());
    scene.nobody_blames_the_policy().await;
}
