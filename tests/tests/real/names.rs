//! The names of stored values: no value answers another request, no value of another program is
//! used, and a thing that is spelled in two ways has one name.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::common::{Servers, beside_others, content, hit, posted};

#[tokio::test]
async fn a_hand_written_key_of_another_program_is_left_alone_and_never_answered() {
    let _turn = beside_others().await;
    let servers = Servers::shared().await;
    let entity = r#"
[entity.report]
params = ["id:int8"]
read = "SELECT $1::int8 AS id, 'of the database' AS text"
ttl = "1h"
"#;
    let store = servers.new_store().unwrap();
    let host = servers.host_over(&store, entity).await;
    let theirs = json!({"id": 3, "text": "of the old service"}).to_string();
    let mut connection = old_service(&store).await;
    set(&mut connection, "v1:report:3", &theirs).await;
    for _ in 0..2 {
        let ours = content(&host, "/read/report?id=3").await;
        assert_eq!(ours, json!({"id": 3, "text": "of the database"}));
    }
    assert_eq!(hit(&host, "/read/report?id=3").await["text"], "of the database");
    assert_eq!(get(&mut connection, "v1:report:3").await.as_deref(), Some(theirs.as_str()));
    posted(&host, "/invalidate", &json!({"reads": [{"entity": "report", "params": {"id": 3}}]}))
        .await;
    assert_eq!(get(&mut connection, "v1:report:3").await.as_deref(), Some(theirs.as_str()));
    set(&mut connection, "v1:report:4", &theirs).await;
    assert_eq!(content(&host, "/read/report?id=4").await["text"], "of the database");
}

#[tokio::test]
async fn a_query_with_a_number_is_another_one_than_with_its_text() {
    let _turn = beside_others().await;
    let host = Servers::shared().await.host("[query]\nenabled = true\n").await;
    let query = |param: Value| json!({"sql": "SELECT pg_typeof($1)::text AS t", "params": [param]});
    for (param, expected) in [(json!(1), "bigint"), (json!("1"), "text"), (json!(1), "bigint")] {
        let rows = posted(&host, "/query", &query(param.clone())).await;
        assert_eq!(rows, json!([{"t": expected}]), "{param}");
    }
}

#[tokio::test]
async fn a_query_with_other_tags_is_filed_under_them() {
    let _turn = beside_others().await;
    let servers = Servers::shared().await;
    servers
        .postgres
        .psql("CREATE TABLE tagged (n int); INSERT INTO tagged VALUES (1)")
        .await
        .unwrap();
    let host = servers.host("[query]\nenabled = true\n").await;
    let query = |tag: &str| json!({"sql": "SELECT n FROM tagged", "tags": [tag]});
    for tag in ["first", "second"] {
        posted(&host, "/query", &query(tag)).await;
    }
    servers.postgres.psql("UPDATE tagged SET n = 2").await.unwrap();
    posted(&host, "/invalidate", &json!({"tags": ["second"]})).await;
    let rows = posted(&host, "/query", &query("second")).await;
    assert_eq!(rows, json!([{"n": 2}]), "a value under this tag outlived its invalidation");
}

#[tokio::test]
async fn a_query_with_another_lifetime_lives_no_longer_than_that() {
    let _turn = beside_others().await;
    let host = Servers::shared().await.host("[query]\nenabled = true\n").await;
    let query = |ttl: &str| json!({"sql": "SELECT 1 AS n", "ttl": ttl});
    for (ttl, most_s) in [("1h", 4_320), ("5s", 6), ("1h", 4_320)] {
        let answer = host.post("/query", &query(ttl)).await.unwrap();
        let status = answer.header("cache-status").to_owned();
        let ttl_s = status.split("ttl=").nth(1).and_then(|rest| rest.split(';').next());
        let ttl_s: i64 = ttl_s.unwrap().parse().unwrap();
        assert!(ttl_s <= most_s, "asked for {ttl}: {status}");
    }
}

#[tokio::test]
async fn after_a_restart_with_another_statement_nothing_is_answered_that_the_old_one_gave() {
    let _turn = beside_others().await;
    let entity = |statement: &str, more: &str| {
        format!("[entity.thing]\n{more}\nread = \"{statement}\"\nttl = \"1h\"\n")
    };
    let one = "params = [\"a:int8\", \"b:int8\"]";
    let pair = "SELECT $1::int8 AS a, $2::int8 AS b";
    let changes = [
        (
            "another statement",
            entity(pair, one),
            entity("SELECT $1::int8 AS a, $2::int8 AS b, 'new' AS c", one),
            json!({"a": 1, "b": 2, "c": "new"}),
        ),
        (
            "many rows in place of one",
            entity(pair, one),
            entity(pair, &format!("{one}\nrows = \"many\"")),
            json!([{"a": 1, "b": 2}]),
        ),
        (
            "parameters in another order",
            entity("SELECT $2::int8 AS a, $1::int8 AS b", "params = [\"b:int8\", \"a:int8\"]"),
            entity(pair, one),
            json!({"a": 1, "b": 2}),
        ),
    ];
    let servers = Servers::shared().await;
    for (what, before, after, expected) in changes {
        let store = servers.new_store().unwrap();
        let mut host = servers.host_over(&store, &before).await;
        hit(&host, "/read/thing?a=1&b=2").await;
        hit(&host, "/read/thing?a=2&b=1").await;
        host.configure(&servers.config_over(&store, &after)).unwrap();
        host.restart().await.unwrap();
        assert_eq!(content(&host, "/read/thing?a=1&b=2").await, expected, "{what}");
        assert_eq!(hit(&host, "/read/thing?a=1&b=2").await, expected, "{what}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused_and_share_no_key() {
    let _turn = beside_others().await;
    let entity = "[entity.echo]\nparams = [\"name:text\"]\nread = \"SELECT $1::text AS name\"\nttl = \"1h\"\n";
    let host = Servers::shared().await.host(entity).await;
    for name in ["%FF", "%E2%82", "%C0%AF", "a%ED%A0%80"] {
        let answer = host.get(&format!("/read/echo?name={name}")).await.unwrap();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}: {answer:?}");
        assert!(answer.text().unwrap().contains("name"), "it names the parameter: {answer:?}");
    }
    assert_eq!(content(&host, "/read/echo?name=%E2%82%AC").await["name"], "€");
}

async fn old_service(store: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(store).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn set(connection: &mut redis::aio::MultiplexedConnection, key: &str, value: &str) {
    let mut setting = redis::cmd("SET");
    setting.arg(key).arg(value).arg("EX").arg(600).exec_async(connection).await.unwrap();
}

async fn get(connection: &mut redis::aio::MultiplexedConnection, key: &str) -> Option<String> {
    // A value that another program has overwritten may not be text any more.
    let value: Option<Vec<u8>> = redis::cmd("GET").arg(key).query_async(connection).await.unwrap();
    value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
