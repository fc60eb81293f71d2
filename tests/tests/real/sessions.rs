//! Sessions and schemas: a read leaves nothing behind, and another process's change of a table is
//! noticed at once.

use corral_tests::servers::Host;
use hyper::StatusCode;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::common::{Servers, beside_others, check, content};

/// One session for reads, so that each read would meet what the one before left.
const ONE_SESSION: &str = "max_loads = 1\n";

/// A read of the session's state, and reads that try to change it.
const ENTITIES: &str = r#"
[entity.state]
params = ["nth:int8"]
read = "SELECT $1::int8 AS nth, current_setting('timezone') AS zone, current_setting('search_path') AS path, coalesce(current_setting('app.who', true), '') AS who, (timestamptz '2024-05-01T12:00:00Z')::text AS noon"
ttl = "1h"

[entity.spoil_zone]
read = "SELECT set_config('timezone', 'Asia/Tokyo', false) AS v"
ttl = "1h"

[entity.spoil_path]
read = "SELECT set_config('search_path', 'elsewhere', false) AS v"
ttl = "1h"

[entity.spoil_who]
read = "SELECT set_config('app.who', 'somebody', false) AS v"
ttl = "1h"
"#;

#[tokio::test]
async fn a_read_leaves_nothing_behind_in_its_session() {
    let _turn = beside_others().await;
    let servers = Servers::shared().await;
    let host = servers.host(&format!("{ONE_SESSION}{ENTITIES}")).await;
    let state = async |nth: u32| {
        let mut state = content(&host, &format!("/read/state?nth={nth}")).await;
        state.as_object_mut().unwrap().remove("nth");
        state
    };
    let before = state(0).await;
    for (nth, spoiling) in (1..).zip(["spoil_zone", "spoil_path", "spoil_who"]) {
        // It may be refused or answered; only the state that it leaves matters.
        host.get(&format!("/read/{spoiling}")).await.unwrap();
        assert_eq!(state(nth).await, before, "after {spoiling}");
    }
}

#[tokio::test]
async fn check_refuses_a_read_that_changes_its_session() {
    let _turn = beside_others().await;
    let servers = Servers::shared().await;
    let host = servers.host(ENTITIES).await;
    let (content, said) = check(&host);
    assert!(!content, "{said}");
    for entity in ["spoil_zone", "spoil_path", "spoil_who"] {
        assert!(said.contains(entity), "{entity} is not named: {said}");
    }
}

/// A file that a host reads and that this process alters as a migration would.
struct Migrated {
    host: Host,
    file: String,
    _home: TempDir,
}

impl Migrated {
    async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("shop.db").display().to_string();
        let schema = r#"
CREATE TABLE things (id INTEGER PRIMARY KEY, note TEXT, flag BOOLEAN, doc JSON);
INSERT INTO things VALUES (1, 'a', 1, '{"x":1}'), (2, 'b', 1, '{"x":2}'), (3, 'c', 0, '{"x":3}'),
    (4, 'd', 1, '{"x":4}');"#;
        run(&format!("sqlite:{file}?mode=rwc"), schema).await;
        let config = format!("[origin]\nurl = \"sqlite:{file}\"\n{ONE_SESSION}{THINGS}");
        Self { host: Host::start(&config).await.unwrap(), file, _home: home }
    }

    /// Alters the table as another process.
    async fn alter(&self, sql: &str) {
        run(&format!("sqlite:{}", self.file), sql).await;
    }

    /// A read that is cold and has to have this answer.
    async fn cold(&self, path: &str, expected: &Value) {
        let answer = self.host.get(path).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        assert_eq!(answer.json().unwrap(), *expected, "{path}");
    }
}

const THINGS: &str = r#"
[entity.thing]
params = ["id:int8"]
read = "SELECT * FROM things WHERE id = $1"
ttl = "1h"
deadline = "5s"

[entity.after]
params = ["id:int8"]
read = "SELECT * FROM things WHERE id > $1 ORDER BY id"
rows = "many"
ttl = "1h"
deadline = "5s"
"#;

#[tokio::test]
async fn a_column_that_another_process_adds_to_sqlite_loses_no_row() {
    let _turn = beside_others().await;
    let scene = Migrated::start().await;
    let before = json!({"id": 1, "note": "a", "flag": true, "doc": {"x": 1}});
    scene.cold("/read/thing?id=1", &before).await;
    assert_eq!(content(&scene.host, "/read/after?id=2").await.as_array().unwrap().len(), 2);
    scene.alter("ALTER TABLE things ADD COLUMN more TEXT DEFAULT 'm'").await;
    let after = json!({"id": 2, "note": "b", "flag": true, "doc": {"x": 2}, "more": "m"});
    scene.cold("/read/thing?id=2", &after).await;
    let last = json!([{"id": 4, "note": "d", "flag": true, "doc": {"x": 4}, "more": "m"}]);
    scene.cold("/read/after?id=3", &last).await;
}

#[tokio::test]
async fn a_column_that_another_process_drops_from_sqlite_changes_no_type() {
    let _turn = beside_others().await;
    let scene = Migrated::start().await;
    content(&scene.host, "/read/thing?id=1").await;
    content(&scene.host, "/read/after?id=2").await;
    scene.alter("ALTER TABLE things DROP COLUMN note").await;
    scene.cold("/read/thing?id=2", &json!({"id": 2, "flag": true, "doc": {"x": 2}})).await;
    scene.cold("/read/after?id=3", &json!([{"id": 4, "flag": true, "doc": {"x": 4}}])).await;
}

async fn run(url: &str, sql: &str) {
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
