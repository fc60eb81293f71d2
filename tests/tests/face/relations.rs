//! `corral check` compares what writes change with what reads use, according to the database.

use corral_tests::servers::{Postgres, Redis};
use sqlx::ConnectOptions as _;

use super::access::File;

/// A view over two tables, a foreign key that deletes, and a trigger whose effect the database does
/// not show.
const SCHEMA: &str = "
CREATE TABLE teams (id bigint PRIMARY KEY, name text, size bigint);
CREATE TABLE users (id bigint PRIMARY KEY, name text,
    team_id bigint CONSTRAINT of_team REFERENCES teams ON DELETE CASCADE);
CREATE VIEW people AS SELECT u.id, u.name, u.team_id, t.name AS team
    FROM users u JOIN teams t ON t.id = u.team_id;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER noted AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION note();
CREATE ROLE low LOGIN;
GRANT ALL ON ALL TABLES IN SCHEMA public TO low;
REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC;
";

/// The same in SQLite, which does show a trigger's effect.
const SQLITE: &str = "
CREATE TABLE teams (id INTEGER PRIMARY KEY, name TEXT, size INTEGER);
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, team_id INTEGER);
CREATE VIEW people AS SELECT u.id, u.name, u.team_id, t.name AS team
    FROM users u JOIN teams t ON t.id = u.team_id;
CREATE TRIGGER closed AFTER DELETE ON teams
    BEGIN DELETE FROM users WHERE team_id = old.id; END;
";

/// `person` shows the name of a team, but no write of teams touches it. `count` shows none and need
/// not be touched.
const ENTITIES: &str = r#"
[entity.person]
params = ["id:int8"]
read = "SELECT id, name, team, team_id FROM people WHERE id = $1"
ttl = "5m"
tags = ["person:{id}", "team:{row.team_id}"]

[entity.team]
params = ["id:int8"]
read = "SELECT id, name FROM teams WHERE id = $1"
ttl = "1h"

[entity.team.write.rename]
params = ["id:int8", "name:text"]
sql = "UPDATE teams SET name = $2 WHERE id = $1"
touches = ["team(id)"]

[entity.team.write.close]
params = ["id:int8"]
sql = "DELETE FROM teams WHERE id = $1"
touches = ["team(id)"]

[entity.team.write.count]
params = ["id:int8", "size:int8"]
sql = "UPDATE teams SET size = $2 WHERE id = $1"
touches = ["team(id)"]
"#;

const TRIGGER: &str = "entity.team.write.close.sql: the trigger noted on users may change other \
                       tables, and the database does not tell which";

#[tokio::test]
async fn a_write_has_to_touch_every_read_that_uses_what_it_changes() {
    let postgres = Postgres::start().await.unwrap();
    postgres.psql(SCHEMA).await.unwrap();
    let (is_ready, said) = checked(&postgres.url(), ENTITIES).await;
    assert!(!is_ready, "{said}");
    for problem in [
        "18:11 entity.team.write.rename.touches: it changes name of teams, which person uses, and \
         touches nothing of person: the read stays as it was for its lifetime (5m); touch it \
         (\"person(id)\") or a tag that it carries (\"person:{id}\", \"team:{row.team_id}\")",
        "23:11 entity.team.write.close.touches: it changes teams and users (by the foreign key \
         of_team), which person uses, and touches nothing of person",
        "allow = [\"stale-reads\"] here",
        TRIGGER,
        "2 problems",
    ] {
        assert!(said.contains(problem), "{problem} is missing in {said}");
    }

    let touched = ENTITIES.replace("[\"team(id)\"]", "[\"team(id)\", \"tag team:{id}\"]");
    let (is_ready, said) = checked(&postgres.url(), &touched).await;
    assert!(is_ready && said.contains(TRIGGER), "{said}");
    assert_eq!(notes(&said), 1, "{said}");

    let allowed = ENTITIES.replace("[\"team(id)\"]", "[\"team(id)\"]\nallow = [\"stale-reads\"]");
    let (is_ready, said) = checked(&postgres.url(), &allowed).await;
    assert!(is_ready, "{said}");
    assert_eq!(notes(&said), 0, "{said}");
}

#[tokio::test]
async fn a_role_that_may_not_ask_is_told_what_was_not_compared_and_what_would_allow_it() {
    let postgres = Postgres::start().await.unwrap();
    postgres.psql(SCHEMA).await.unwrap();
    let (is_ready, said) = checked(&postgres.url().replace("postgres@", "low@"), ENTITIES).await;
    assert!(is_ready, "{said}");
    let note = "origin.url: some statements were not compared";
    assert!(said.contains(note) && said.contains("GRANT TEMPORARY ON DATABASE"), "{said}");
    assert_eq!(said.matches("GRANT TEMPORARY").count(), 1, "once for all statements: {said}");
}

#[tokio::test]
async fn a_trigger_that_sqlite_shows_is_compared_as_the_write_is() {
    let home = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", home.path().join("teams.db").display());
    let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
    let mut connection = options.create_if_missing(true).connect().await.unwrap();
    sqlx::raw_sql(SQLITE).execute(&mut connection).await.unwrap();
    let (is_ready, said) = checked(&url, ENTITIES).await;
    assert!(!is_ready, "{said}");
    for problem in [
        "entity.team.write.rename.touches: it changes name of teams, which person uses",
        "entity.team.write.close.touches: it changes teams and users (by the trigger closed)",
        "2 problems",
    ] {
        assert!(said.contains(problem), "{problem} is missing in {said}");
    }
    let touched = ENTITIES.replace("[\"team(id)\"]", "[\"team(id)\", \"tag team:{id}\"]");
    let (is_ready, said) = checked(&url, &touched).await;
    assert!(is_ready, "{said}");
}

#[tokio::test]
async fn the_example_of_the_readme_is_ready_to_serve() {
    let readme = include_str!("../../../README.md");
    let (_, begun) = readme.split_once("```toml\n# corral.toml\n").unwrap();
    let (example, _) = begun.split_once("```").unwrap();
    let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
    let (_, begun) = readme.split_once("psql shop -c \"").unwrap();
    let (schema, _) = begun.split_once('"').unwrap();
    postgres.psql(schema).await.unwrap();
    let origin = postgres.url().replace("postgres://postgres@", "postgres://app:app@");
    let config = example
        .replace("\"redis://127.0.0.1:6379\"", &format!("\"{}\"\ntimeout = \"5s\"", redis.url()))
        .replace("postgres://app:app@127.0.0.1/shop", &origin);
    let (is_ready, said) = check(&config).await;
    assert!(is_ready && notes(&said) == 0, "{said}");
}

/// [`check`] of entities over this origin.
async fn checked(origin: &str, entities: &str) -> (bool, String) {
    check(&format!("[origin]\nurl = \"{origin}\"\n{entities}")).await
}

/// Whether a configuration is ready to serve, and what `corral check` prints about it.
async fn check(config: &str) -> (bool, String) {
    let output = File::new(config).run("check").await;
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn notes(said: &str) -> usize {
    said.lines().filter(|line| line.starts_with("note: ")).count()
}
