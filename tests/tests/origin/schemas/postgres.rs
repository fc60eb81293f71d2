//! Changes of a Postgres schema.

use std::sync::Arc;

use corral_host::origin::{OriginOptions, PostgresOrigin};

use super::{Step, play};
use crate::server::{Server, connection, run};

const STEPS: [Step; 21] = [
    Step {
        kind: "a table is there",
        change: "CREATE TABLE t (id int8 PRIMARY KEY, v int4, w text);
                 INSERT INTO t VALUES (1, 7, 'x')",
        row: r#"{"id":1,"v":7,"w":"x"}"#,
        text: Some("7"),
    },
    Step {
        kind: "a column is added",
        change: "ALTER TABLE t ADD COLUMN a int4",
        row: r#"{"id":1,"v":7,"w":"x","a":null}"#,
        text: Some("7"),
    },
    Step {
        kind: "a column is added with a default",
        change: "ALTER TABLE t ADD COLUMN b int4 DEFAULT 5",
        row: r#"{"id":1,"v":7,"w":"x","a":null,"b":5}"#,
        text: Some("7"),
    },
    Step {
        kind: "a column is dropped",
        change: "ALTER TABLE t DROP COLUMN a",
        row: r#"{"id":1,"v":7,"w":"x","b":5}"#,
        text: Some("7"),
    },
    Step {
        kind: "a column is renamed",
        change: "ALTER TABLE t RENAME COLUMN w TO s",
        row: r#"{"id":1,"v":7,"s":"x","b":5}"#,
        text: Some("7"),
    },
    Step {
        kind: "a number becomes text",
        change: "ALTER TABLE t ALTER COLUMN v TYPE text",
        row: r#"{"id":1,"v":"7","s":"x","b":5}"#,
        text: Some("7"),
    },
    Step {
        kind: "two columns exchange their names",
        change: "ALTER TABLE t RENAME COLUMN v TO k; ALTER TABLE t RENAME COLUMN s TO v;
                 ALTER TABLE t RENAME COLUMN k TO s",
        row: r#"{"id":1,"s":"7","v":"x","b":5}"#,
        text: Some("x"),
    },
    Step {
        kind: "a number becomes a boolean",
        change: "ALTER TABLE t ALTER COLUMN b DROP DEFAULT;
                 ALTER TABLE t ALTER COLUMN b TYPE bool USING b <> 0",
        row: r#"{"id":1,"s":"7","v":"x","b":true}"#,
        text: Some("x"),
    },
    Step {
        kind: "text becomes a document",
        change: "ALTER TABLE t ALTER COLUMN v TYPE jsonb USING jsonb_build_object('x', v)",
        row: r#"{"id":1,"s":"7","v":{"x": "x"},"b":true}"#,
        text: Some(r#"{"x":"x"}"#),
    },
    Step {
        kind: "a document becomes a document without equality",
        change: "ALTER TABLE t ALTER COLUMN v TYPE json",
        row: r#"{"id":1,"s":"7","v":{"x": "x"},"b":true}"#,
        text: None,
    },
    Step {
        kind: "a document becomes a decimal",
        change: "ALTER TABLE t ALTER COLUMN v TYPE numeric(10, 2) USING 7",
        row: r#"{"id":1,"s":"7","v":7.00,"b":true}"#,
        text: Some("7"),
    },
    Step {
        kind: "two tables are swapped",
        change: "CREATE TABLE u (id int8 PRIMARY KEY, v timestamptz);
                 INSERT INTO u VALUES (1, '2024-05-01 02:00+02');
                 ALTER TABLE t RENAME TO w; ALTER TABLE u RENAME TO t",
        row: r#"{"id":1,"v":"2024-05-01T00:00:00+00:00"}"#,
        text: Some("2024-05-01T00:00:00.000000Z"),
    },
    Step {
        kind: "they are swapped back",
        change: "ALTER TABLE t RENAME TO u; ALTER TABLE w RENAME TO t",
        row: r#"{"id":1,"s":"7","v":7.00,"b":true}"#,
        text: Some("7"),
    },
    Step {
        kind: "the table is dropped and made anew",
        change: "DROP TABLE t; CREATE TABLE t (v text, id int8 PRIMARY KEY);
                 INSERT INTO t VALUES ('y', 1)",
        row: r#"{"v":"y","id":1}"#,
        text: Some("y"),
    },
    Step {
        kind: "a view takes the table's place",
        change: "ALTER TABLE t RENAME TO base;
                 CREATE VIEW t AS SELECT id, upper(v) AS v FROM base",
        row: r#"{"id":1,"v":"Y"}"#,
        text: Some("Y"),
    },
    Step {
        kind: "the view is replaced",
        change: "CREATE OR REPLACE VIEW t AS SELECT id, v, 2 AS two FROM base",
        row: r#"{"id":1,"v":"y","two":2}"#,
        text: Some("y"),
    },
    Step {
        kind: "the table takes the view's place",
        change: "DROP VIEW t; ALTER TABLE base RENAME TO t",
        row: r#"{"v":"y","id":1}"#,
        text: Some("y"),
    },
    Step {
        kind: "a column is dropped and added again",
        change: "ALTER TABLE t DROP COLUMN v, ADD COLUMN v varchar(9) DEFAULT 'z'",
        row: r#"{"id":1,"v":"z"}"#,
        text: Some("z"),
    },
    Step {
        kind: "text becomes an enum",
        change: "CREATE TYPE e AS ENUM ('z'); ALTER TABLE t ALTER COLUMN v DROP DEFAULT;
                 ALTER TABLE t ALTER COLUMN v TYPE e USING v::e",
        row: r#"{"id":1,"v":"z"}"#,
        text: Some("z"),
    },
    Step {
        kind: "an enum becomes a domain",
        change: "CREATE DOMAIN d AS float8; ALTER TABLE t ALTER COLUMN v TYPE d USING 3",
        row: r#"{"id":1,"v":3}"#,
        text: Some("3"),
    },
    Step {
        kind: "the column that is asked for is dropped",
        change: "ALTER TABLE t DROP COLUMN v",
        row: r#"{"id":1}"#,
        text: None,
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_of_a_postgres_schema_that_was_there() {
    let server = Server::shared().await;
    let url = server.schema("changing").await;
    let mut other = connection(&url).await;
    let origin = PostgresOrigin::connect(&url, &OriginOptions::default()).unwrap();
    play(Arc::new(origin), &STEPS, async |change: &str| {
        run(&mut other, &format!("BEGIN; {change}; COMMIT")).await;
    })
    .await;
}
