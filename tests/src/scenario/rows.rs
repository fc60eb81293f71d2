//! Rows that carry versions: items, each of a team, so that every answer says how old it is.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use crate::client::Answer;
use crate::servers::{Postgres, Redis};
use crate::sim::truth::{Body, Subject};

const SCHEMA: &str = "
CREATE TABLE teams (id bigint PRIMARY KEY, version bigint NOT NULL);
CREATE TABLE items (id bigint PRIMARY KEY, version bigint NOT NULL, team bigint NOT NULL);";

/// A version never decreases, whatever the outcome of a commit in doubt.
const ENTITIES: &str = r#"
[entity.item]
params = ["id:int8"]
read = """SELECT i.version, i.team, t.version AS team_version, 0 AS at_ms
          FROM items i JOIN teams t ON t.id = i.team WHERE i.id = $1"""
rows = "one"
ttl = "1h"
tags = ["item:{id}", "team:{row.team}"]
deadline = "3s"

[entity.item.write.put]
params = ["id:int8", "version:int8"]
sql = "UPDATE items SET version = greatest(version, $2) WHERE id = $1"
then = "invalidate"
touches = ["item(id)"]

[entity.item.write.through]
params = ["id:int8", "version:int8"]
sql = "UPDATE items SET version = greatest(version, $2) WHERE id = $1"
then = "write-through"
touches = ["item(id)"]

[entity.team]
params = ["team:int8"]
read = "SELECT version, id AS team, version AS team_version, 0 AS at_ms FROM teams WHERE id = $1"
rows = "one"
ttl = "1h"
tags = ["team:{team}"]
deadline = "3s"

[entity.team.write.rename]
params = ["team:int8", "version:int8"]
sql = "UPDATE teams SET version = greatest(version, $2) WHERE id = $1"
then = "invalidate"
touches = ["tag team:{team}"]
"#;

/// Makes `items` items of `teams` teams, all of version 1.
pub(super) async fn make(postgres: &Postgres, items: u8, teams: u8) -> anyhow::Result<()> {
    postgres.psql(SCHEMA).await?;
    let teams_sql = format!("INSERT INTO teams SELECT n, 1 FROM generate_series(0, {teams} - 1) n");
    postgres.psql(&teams_sql).await?;
    let items_sql = format!(
        "INSERT INTO items SELECT n, 1, n % {teams} FROM generate_series(0, {items} - 1) n"
    );
    postgres.psql(&items_sql).await?;
    Ok(())
}

/// The configuration of a host over these servers. `store` is added to the table `[store]`, and the
/// host's near cache may answer for `near`.
pub(super) fn config(redis_url: &str, postgres: &Postgres, store: &str, near: Duration) -> String {
    let origin = postgres.url();
    let near = format!("near = \"{}ms\"\ndeadline", near.as_millis());
    let entities = ENTITIES.replace("deadline", &near);
    format!("[store]\nurl = \"{redis_url}\"\n{store}\n[origin]\nurl = \"{origin}\"\n{entities}")
}

/// Whether the near cache gave an answer.
pub(super) fn is_near(answer: &Answer) -> bool {
    answer.header("cache-status").ends_with("; detail=near")
}

/// A row's version in the origin.
pub(super) async fn version(postgres: &Postgres, subject: Subject) -> anyhow::Result<u64> {
    let sql = match subject {
        Subject::Item(id) => format!("SELECT version FROM items WHERE id = {id}"),
        Subject::Team(id) | Subject::Roster(id) => {
            format!("SELECT version FROM teams WHERE id = {id}")
        }
    };
    let rows = postgres.psql(&sql).await?;
    let version = rows.first().and_then(|row| row.first()?.clone()).context("a row")?;
    Ok(version.parse()?)
}

/// The path at which a row is read.
pub(super) fn read_path(subject: Subject) -> String {
    match subject {
        Subject::Item(id) => format!("/read/item?id={id}"),
        Subject::Team(id) | Subject::Roster(id) => format!("/read/team?team={id}"),
    }
}

/// The path at which a row gets a version, and the request's body.
pub(super) fn write_of(subject: Subject, version: u64, through: bool) -> (&'static str, String) {
    let (path, body) = match subject {
        Subject::Item(id) if through => {
            ("/write/item/through", json!({ "id": id, "version": version }))
        }
        Subject::Item(id) => ("/write/item/put", json!({ "id": id, "version": version })),
        Subject::Team(id) | Subject::Roster(id) => {
            ("/write/team/rename", json!({ "team": id, "version": version }))
        }
    };
    (path, body.to_string())
}

/// The row in an answer.
pub(super) fn body(bytes: &[u8]) -> anyhow::Result<Body> {
    Body::decode(bytes).with_context(|| format!("no row: {}", String::from_utf8_lossy(bytes)))
}

/// Keys of the namespace without a lifetime.
pub(super) async fn immortal(redis: &Redis) -> anyhow::Result<Vec<String>> {
    redis.keys_without_lifetime("*").await
}
