//! What reads use, according to a real catalogue.

use corral_host::origin::{
    Columns, Footprint, Origin, OriginError, OriginOptions, PostgresOrigin, Table, TableUsage,
    Unseen,
};

use crate::kit::{AMPLE, code, many};
use crate::postgres_changes::{changed, changes};
use crate::server::{Server, connection, run};

/// Users, their orders and what is in them, in a schema of the test's own.
const SHOP: &str = "
CREATE TABLE teams (id int8 PRIMARY KEY, name text);
CREATE TABLE users (id int8 PRIMARY KEY, name text, email text, team_id int8 REFERENCES teams,
    shown text GENERATED ALWAYS AS (upper(name)) STORED);
CREATE TABLE orders (id int8 PRIMARY KEY, total int8,
    user_id int8 CONSTRAINT of_user REFERENCES users ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE items (id int8 PRIMARY KEY, note text,
    order_id int8 CONSTRAINT of_order REFERENCES orders ON DELETE SET NULL);
CREATE VIEW people AS SELECT id, name AS called FROM users;
CREATE VIEW buyers AS SELECT p.called, o.total FROM people p JOIN orders o ON o.user_id = p.id;
CREATE TABLE events (day date, text text) PARTITION BY RANGE (day);
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE places (name text);
CREATE TABLE capitals (state text) INHERITS (places);
";

#[tokio::test]
async fn a_read_uses_tables_and_columns_through_views() {
    let server = Server::shared().await;
    let origin = shop(&server, "used").await;
    let used = async |sql: &str, params: &[&str]| reads(&origin, sql, params).await;
    assert_eq!(
        used("SELECT name FROM users WHERE id = $1 AND team_id = $2", &["int8", "int8"]).await,
        "users(id name team_id)"
    );
    assert_eq!(
        used("SELECT total FROM buyers WHERE called = $1", &["text"]).await,
        "orders(total user_id) users(id name)"
    );
    assert_eq!(used("SELECT count(*) FROM users", &[]).await, "users()");
    assert_eq!(used("SELECT row_to_json(u) FROM users u", &[]).await, "users(*)");
    assert_eq!(used("SELECT u FROM (SELECT id FROM users) u", &[]).await, "users(*)");
    assert_eq!(used("SELECT xmin, id FROM users", &[]).await, "users(*)");
    assert_eq!(used("TABLE teams", &[]).await, "teams(id name)");
    assert_eq!(used("SELECT $1::int8 AS id, $1::int8 AS id", &["int8"]).await, "");
    assert_eq!(
        used(
            "SELECT (SELECT max(total) FROM orders WHERE user_id = u.id), email FROM users u
              WHERE EXISTS (SELECT FROM teams) FOR UPDATE -- of all",
            &[]
        )
        .await,
        "orders(total user_id) teams() users(email id)"
    );
}

#[tokio::test]
async fn a_partition_and_a_child_count_as_the_table_at_the_top() {
    let server = Server::shared().await;
    let origin = shop(&server, "parts").await;
    assert_eq!(reads(&origin, "SELECT text FROM events", &[]).await, "events(text)");
    // Any update may move a row out of this partition.
    assert_eq!(reads(&origin, "SELECT text FROM events_2024", &[]).await, "events(*)");
    assert_eq!(reads(&origin, "SELECT state FROM capitals", &[]).await, "places(state)");
    let insert = "INSERT INTO events_2024 VALUES ('2024-02-03', 'x')";
    assert_eq!(changed(&origin, insert, &[]).await, "events+");
    assert_eq!(changed(&origin, "DELETE FROM capitals", &[]).await, "places-");
    assert_eq!(changed(&origin, "UPDATE events SET text = 'y'", &[]).await, "events(text)");
}

#[tokio::test]
async fn parameters_are_replaced_only_where_they_are_parameters() {
    let server = Server::shared().await;
    let origin = shop(&server, "quoted").await;
    for sql in [
        "SELECT '$2', name AS \"$3\" FROM users WHERE id = $1 -- $4",
        "SELECT $$ $2 $$, $a$ ' $3 $a$, E'\\' $4' FROM users WHERE id = $1 /* /* $5 */ $6 */",
        "SELECT 'a'\n'$2' FROM users WHERE id = ANY (ARRAY[$1]) LIMIT $1 OFFSET $1",
        "SELECT id FROM users WHERE id=$1AND id<>-$1",
        "SELECT a$2 FROM (SELECT id AS a$2 FROM users) AS q WHERE a$2 = ($1)::int4",
    ] {
        assert!(reads(&origin, sql, &["int8"]).await.starts_with("users("), "{sql}");
    }
    let types = ["int8[]", "timestamptz", "jsonb", "numeric", "bytea", "uuid", "float4"];
    let sql = "SELECT id FROM users WHERE id = ANY ($1) AND $2 < now() AND $3 ? 'a' AND $4 > 1
               AND $5 <> '' AND $6 IS NOT NULL AND $7 = 1";
    assert_eq!(reads(&origin, sql, &types).await, "users(id)");
}

#[tokio::test]
async fn backslashes_escape_where_the_database_says_so() {
    let server = Server::start().await;
    run(
        &mut server.admin().await,
        "CREATE TABLE users (id int8);
         ALTER DATABASE postgres SET standard_conforming_strings = off",
    )
    .await;
    let origin = connect(&server.url());
    let sql = r"SELECT id FROM users WHERE '\' $1 ' <> '' AND id = $1";
    assert_eq!(reads(&origin, sql, &["int8"]).await, "users(id)");
}

#[tokio::test]
async fn a_function_that_may_read_tables_is_named_and_one_whose_body_is_known_is_followed() {
    let server = Server::shared().await;
    let more = "
         CREATE FUNCTION hidden() RETURNS int8 LANGUAGE sql STABLE AS 'SELECT count(*) FROM orders';
         CREATE FUNCTION shown() RETURNS int8 LANGUAGE sql STABLE
             BEGIN ATOMIC SELECT sum(total) FROM orders; END;
         CREATE FUNCTION pure(int8) RETURNS int8 LANGUAGE sql IMMUTABLE AS 'SELECT $1';
         CREATE FUNCTION scribble() RETURNS int8 LANGUAGE sql AS
             'DELETE FROM orders RETURNING id'";
    let origin = shop_with(&server, "functions", more).await;
    let footprint = footprint(&origin, "SELECT hidden(), shown(), pure(1)", &[]).await;
    assert_eq!(shape(&footprint), "orders(total)");
    assert_eq!(footprint.unseen, [Unseen::Function("hidden()".to_owned())]);
    let changes = changes(&origin, "SELECT scribble(), hidden()", &[]).await;
    assert!(changes.tables.is_empty());
    assert_eq!(changes.unseen, [Unseen::Function("scribble()".to_owned())]);
}

#[tokio::test]
async fn row_level_security_is_told_where_it_applies_to_the_role() {
    let server = Server::start().await;
    run(
        &mut server.admin().await,
        "
        CREATE ROLE reader LOGIN; CREATE ROLE owner;
        CREATE TABLE docs (id int8, team int8, body text);
        CREATE TABLE members (role text, team int8);
        CREATE TABLE plain (id int8);
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader, owner;
        ALTER TABLE docs ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON docs FOR SELECT
            USING (team IN (SELECT team FROM members WHERE role = current_user));
        CREATE VIEW all_docs AS SELECT id FROM docs;
        CREATE VIEW their_docs AS SELECT id FROM docs; ALTER VIEW their_docs OWNER TO owner;
        CREATE VIEW own_docs WITH (security_invoker = true) AS SELECT id FROM docs;
        GRANT SELECT ON all_docs, their_docs, own_docs TO reader",
    )
    .await;
    let reader = connect(&server.url().replace("postgres@", "reader@"));
    let secured = async |origin: &PostgresOrigin, sql: &str| {
        let footprint = footprint(origin, sql, &[]).await;
        let secured = footprint.tables.iter().filter(|(_, usage)| usage.row_security);
        let names: Vec<String> = secured.map(|(table, _)| table.to_string()).collect();
        (names.join(" "), shape(&footprint))
    };
    let (docs, used) = ("docs".to_owned(), "docs(id team) members(role team)".to_owned());
    assert_eq!(secured(&reader, "SELECT id FROM docs").await, (docs.clone(), used.clone()));
    assert_eq!(secured(&reader, "SELECT id FROM own_docs").await, (docs.clone(), used.clone()));
    // With the rights of the view's owner, to which the policy applies as well.
    assert_eq!(secured(&reader, "SELECT id FROM their_docs").await, (docs, used));
    let free = (String::new(), "docs(id)".to_owned());
    assert_eq!(secured(&reader, "SELECT id FROM all_docs").await, free);
    assert_eq!(secured(&connect(&server.url()), "SELECT id FROM docs").await, free);
    let plain = (String::new(), "plain(id)".to_owned());
    assert_eq!(secured(&reader, "SELECT id FROM plain").await, plain);
}

#[tokio::test]
async fn a_role_without_temporary_objects_is_told_what_it_needs() {
    let server = Server::start().await;
    run(
        &mut server.admin().await,
        "CREATE ROLE low LOGIN; CREATE TABLE t (id int8);
         GRANT ALL ON t TO low; REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC",
    )
    .await;
    let origin = connect(&server.url().replace("postgres@", "low@"));
    let error = origin.reads_from(&many("SELECT id FROM t", &[])).await.unwrap_err();
    assert_eq!(code(&error), "42501");
    let OriginError::Rejected { message, .. } = error else { panic!() };
    assert!(message.contains("GRANT TEMPORARY ON DATABASE postgres TO low"), "{message}");
    assert_eq!(changed(&origin, "UPDATE t SET id = $1", &["int8"]).await, "t(id)");
}

#[tokio::test]
async fn looking_leaves_nothing_behind() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    run(&mut admin, "CREATE TABLE t (id int8)").await;
    let origin = connect(&server.url());
    for _ in 0..3 {
        assert_eq!(reads(&origin, "SELECT id FROM t", &[]).await, "t(id)");
        assert_eq!(changed(&origin, "INSERT INTO t VALUES (1)", &[]).await, "t+");
    }
    let left = "SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM pg_class
                WHERE relname LIKE '\\_corral%') + (SELECT count(*) FROM pg_prepared_xacts)";
    let left: i64 = sqlx::query_scalar(left).fetch_one(&mut admin).await.unwrap();
    assert_eq!(left, 0);
}

pub(super) async fn shop(server: &Server, schema: &str) -> PostgresOrigin {
    shop_with(server, schema, "").await
}

/// The same with `more` in its schema.
pub(super) async fn shop_with(server: &Server, schema: &str, more: &str) -> PostgresOrigin {
    let url = server.schema(schema).await;
    run(&mut connection(&url).await, &format!("{SHOP}{more}")).await;
    connect(&url)
}

pub(super) fn connect(url: &str) -> PostgresOrigin {
    let options = OriginOptions { deadline: AMPLE, ..OriginOptions::default() };
    PostgresOrigin::connect(url, &options).unwrap()
}

async fn footprint(origin: &PostgresOrigin, sql: &str, params: &[&str]) -> Footprint {
    origin.reads_from(&many(sql, params)).await.map_err(|error| (sql, error)).unwrap()
}

async fn reads(origin: &PostgresOrigin, sql: &str, params: &[&str]) -> String {
    let footprint = footprint(origin, sql, params).await;
    assert_eq!(footprint.unseen, [], "{sql}");
    shape(&footprint)
}

/// The footprint as text: `table(column column)`, `(*)` for every column.
fn shape(footprint: &Footprint) -> String {
    let used = |(table, TableUsage { columns, .. }): (&Table, &TableUsage)| {
        format!("{}({})", name(table), listed(columns))
    };
    footprint.tables.iter().map(used).collect::<Vec<_>>().join(" ")
}

pub(super) fn listed(columns: &Columns) -> String {
    match columns {
        Columns::All => "*".to_owned(),
        Columns::Some(columns) => columns.iter().cloned().collect::<Vec<_>>().join(" "),
    }
}

/// The table's name without the schema, which is the test's own.
pub(super) fn name(table: &Table) -> String {
    if table.schema == "inner_one" { table.to_string() } else { table.name.clone() }
}
