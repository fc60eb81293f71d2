//! What a write touches by the columns of its row, as the row is and as it was.

use corral_tests::servers::Host;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::common::{Servers, get, loads, pair, post, status_parameter};

/// The lists of a team are tagged by their parameter, so that an empty list is found too. The
/// statement locks the row before it reads it, so that the old columns include another writer's
/// change of a moment before.
const TEAMS: &str = r#"
[entity."team.members"]
params = ["team:int8"]
read = "SELECT id FROM users WHERE team_id = $1 ORDER BY id"
rows = "many"
ttl = "5m"
tags = ["members:{team}"]

[entity."team.size"]
params = ["team:int8"]
read = "SELECT count(*) AS size FROM users WHERE team_id = $1"
ttl = "5m"

[entity."team.members".write.move]
params = ["id:int8", "team:int8"]
sql = """
UPDATE users AS u SET team_id = $2
FROM (SELECT id, team_id FROM users WHERE id = $1 FOR UPDATE) AS o
WHERE u.id = o.id
RETURNING u.id, u.team_id, o.team_id AS "old.team_id\""""
touches = ["tag members:{row.team_id}", "tag members:{old.team_id}", "team.size(row.team_id)",
           "team.size(old.team_id)", "user.profile(row.id)"]

[entity."team.members".write.join]
params = ["name:text", "team:int8"]
sql = """
INSERT INTO users VALUES (nextval('joiners'), $1, 'new@example.com', 'customer', $2)
RETURNING id AS user_id, team_id"""
then = "write-through"
touches = ["tag members:{team}", "team.size(row.team_id)", "user.profile(row.user_id)",
           "user.card(row.user_id)"]
"#;

#[tokio::test]
async fn a_row_that_moves_is_gone_from_where_it_was_and_is_where_it_is() {
    let [one, two] = pair(TEAMS).await;
    let members = |team: u32| format!("/read/team.members?team={team}");
    let size = |team: u32| format!("/read/team.size?team={team}");
    assert_eq!(json(&one, &members(31)).await, json!([{"id": 31}]));
    // The list is empty, and that is stored.
    assert_eq!(json(&one, &members(5_031)).await, json!([]));
    for (team, count) in [(31, 1), (5_031, 0)] {
        assert_eq!(json(&one, &size(team)).await, json!({ "size": count }));
    }
    json(&one, "/read/user.profile?id=31").await;
    let moved = post(&two, "/write/team.members/move", r#"{"id": 31, "team": 5031}"#).await;
    assert_eq!(moved.json().unwrap(), json!({"rows": 1, "cache": "invalidated"}));
    assert_eq!(json(&one, &members(31)).await, json!([]));
    assert_eq!(json(&one, &members(5_031)).await, json!([{"id": 31}]));
    for (team, count) in [(31, 0), (5_031, 1)] {
        assert_eq!(json(&one, &size(team)).await, json!({ "size": count }));
    }
    assert_eq!(json(&one, "/read/user.profile?id=31").await["team_id"], 5_031);
}

#[tokio::test]
async fn a_row_that_was_asked_for_before_it_was_made_is_there_at_once() {
    let [one, two] = pair(TEAMS).await;
    let profile = "/read/user.profile?id=7000";
    for _ in 0..2 {
        assert_eq!(get(&one, profile).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(loads(&[&one, &two], "user.profile", None).await, 1.0);
    let joined = post(&two, "/write/team.members/join", r#"{"name": "Ada", "team": 5030}"#).await;
    assert_eq!(joined.json().unwrap(), json!({"rows": 1, "cache": "refreshed"}));
    let found = get(&one, profile).await;
    assert_eq!(found.json().unwrap()["name"], "Ada");
    // The write loaded it. Its key came from the returned column, in the spelling of the
    // parameter's type.
    assert_eq!(status_parameter(&found, "hit"), Some("hit"));
    assert_eq!(loads(&[&one, &two], "user.profile", Some("write-through")).await, 1.0);
    assert!(get(&one, "/read/team.size?team=5030").await.is_hit());
}

#[tokio::test]
async fn a_write_whose_statement_does_not_say_what_the_row_was_is_refused_before_it_commits() {
    let servers = Servers::shared().await;
    let without = TEAMS.replace(", o.team_id AS \"old.team_id\\\"", "");
    assert_ne!(without, TEAMS);
    let host = servers.host(&without).await;
    let refused = post(&host, "/write/team.members/move", r#"{"id": 32, "team": 5032}"#).await;
    let document = refused.json().unwrap();
    assert_eq!((refused.status.as_u16(), &document["column"]), (502, &json!("old.team_id")));
    let rows = servers.postgres.psql("SELECT team_id FROM users WHERE id = 32").await.unwrap();
    assert_eq!(rows, [[Some("32".to_owned())]]);
}

async fn json(host: &Host, path: &str) -> Value {
    get(host, path).await.json().unwrap()
}
