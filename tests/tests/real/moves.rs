//! The values that a row had before a write, and those that it has only since: reads of both become
//! untrue.

use hyper::StatusCode;
use serde_json::json;

use super::common::{Servers, beside_others, hit, posted};

#[tokio::test]
async fn a_row_that_moves_from_one_list_to_another_leaves_the_first() {
    let _turn = beside_others().await;
    let servers = Servers::shared().await;
    let schema = "CREATE TABLE members (id int8 PRIMARY KEY, team_id int8 NOT NULL);
                  INSERT INTO members VALUES (1, 1), (2, 1), (3, 2)";
    servers.postgres.psql(schema).await.unwrap();
    let entities = r#"
[entity.members]
params = ["team:int8"]
read = "SELECT id FROM members WHERE team_id = $1 ORDER BY id"
rows = "many"
ttl = "1h"
tags = ["members:{team}"]

[entity.members.write.move]
params = ["id:int8", "team:int8"]
sql = """UPDATE members SET team_id = $2 FROM (SELECT id, team_id FROM members WHERE id = $1 FOR UPDATE) was
         WHERE members.id = was.id RETURNING was.team_id AS "old.team_id", members.team_id"""
touches = ["tag members:{old.team_id}", "tag members:{row.team_id}"]
"#;
    let host = servers.host(entities).await;
    assert_eq!(hit(&host, "/read/members?team=1").await, json!([{"id": 1}, {"id": 2}]));
    assert_eq!(hit(&host, "/read/members?team=2").await, json!([{"id": 3}]));
    let told = posted(&host, "/write/members/move", &json!({"id": 1, "team": 2})).await;
    assert_eq!((&told["rows"], &told["cache"]), (&json!(1), &json!("invalidated")));
    assert_eq!(hit(&host, "/read/members?team=1").await, json!([{"id": 2}]));
    assert_eq!(hit(&host, "/read/members?team=2").await, json!([{"id": 1}, {"id": 3}]));
}

#[tokio::test]
async fn a_row_that_a_write_creates_is_there_for_who_asked_too_early() {
    let _turn = beside_others().await;
    let servers = Servers::shared().await;
    let schema = "CREATE TABLE placed (order_id int8 GENERATED ALWAYS AS IDENTITY, what text)";
    servers.postgres.psql(schema).await.unwrap();
    let entities = r#"
[entity."order.detail"]
params = ["id:int8"]
read = "SELECT order_id, what FROM placed WHERE order_id = $1"
ttl = "1h"
negative_ttl = "1h"

[entity."order.detail".write.place]
params = ["what:text"]
sql = "INSERT INTO placed (what) VALUES ($1) RETURNING order_id"
touches = ["order.detail(row.order_id)"]
"#;
    let host = servers.host(entities).await;
    let path = "/read/order.detail?id=1";
    let early = host.get(path).await.unwrap();
    assert_eq!(early.status, StatusCode::NOT_FOUND, "{early:?}");
    let told = posted(&host, "/write/order.detail/place", &json!({"what": "tea"})).await;
    assert_eq!(told["cache"], "invalidated", "{told}");
    assert_eq!(hit(&host, path).await, json!({"order_id": 1, "what": "tea"}));
}
