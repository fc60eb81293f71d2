//! Changes of a SQLite schema.

use std::sync::Arc;

use corral_host::origin::{OriginOptions, SqliteOrigin};

use super::{Step, play};
use crate::sqlite::Shop;

const STEPS: [Step; 21] = [
    Step {
        kind: "a table is there",
        change: "DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER, w TEXT);
                 INSERT INTO t VALUES (1, 7, 'x')",
        row: r#"{"id":1,"v":7,"w":"x"}"#,
        text: Some("7"),
    },
    Step {
        kind: "a column is added",
        change: "ALTER TABLE t ADD COLUMN a INTEGER",
        row: r#"{"id":1,"v":7,"w":"x","a":null}"#,
        text: Some("7"),
    },
    Step {
        kind: "a column is added with a default",
        change: "ALTER TABLE t ADD COLUMN b INTEGER DEFAULT 1",
        row: r#"{"id":1,"v":7,"w":"x","a":null,"b":1}"#,
        text: Some("7"),
    },
    Step {
        kind: "a column is dropped",
        change: "ALTER TABLE t DROP COLUMN a",
        row: r#"{"id":1,"v":7,"w":"x","b":1}"#,
        text: Some("7"),
    },
    Step {
        kind: "a column is renamed",
        change: "ALTER TABLE t RENAME COLUMN w TO s",
        row: r#"{"id":1,"v":7,"s":"x","b":1}"#,
        text: Some("7"),
    },
    Step {
        kind: "a number becomes text",
        change: "CREATE TABLE n (id INTEGER PRIMARY KEY, v TEXT, s TEXT, b INTEGER);
                 INSERT INTO n SELECT * FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t",
        row: r#"{"id":1,"v":"7","s":"x","b":1}"#,
        text: Some("7"),
    },
    Step {
        kind: "two columns exchange their names",
        change: "ALTER TABLE t RENAME COLUMN v TO k; ALTER TABLE t RENAME COLUMN s TO v;
                 ALTER TABLE t RENAME COLUMN k TO s",
        row: r#"{"id":1,"s":"7","v":"x","b":1}"#,
        text: Some("x"),
    },
    Step {
        kind: "a number becomes a boolean",
        change: "CREATE TABLE n (id INTEGER PRIMARY KEY, s TEXT, v TEXT, b BOOLEAN);
                 INSERT INTO n SELECT * FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t",
        row: r#"{"id":1,"s":"7","v":"x","b":true}"#,
        text: Some("x"),
    },
    Step {
        kind: "text becomes a document",
        change: "CREATE TABLE n (id INTEGER PRIMARY KEY, s TEXT, v JSON, b BOOLEAN);
                 INSERT INTO n SELECT id, s, json_array(v), b FROM t;
                 DROP TABLE t; ALTER TABLE n RENAME TO t",
        row: r#"{"id":1,"s":"7","v":["x"],"b":true}"#,
        text: None,
    },
    Step {
        kind: "a document becomes text that is compared without case",
        change: "CREATE TABLE n (id INTEGER PRIMARY KEY, s TEXT, v TEXT COLLATE NOCASE, b BOOLEAN);
                 INSERT INTO n SELECT * FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t",
        row: r#"{"id":1,"s":"7","v":"[\"x\"]","b":true}"#,
        text: None,
    },
    Step {
        kind: "text becomes a float",
        change: "CREATE TABLE n (id INTEGER PRIMARY KEY, s TEXT, v REAL, b BOOLEAN);
                 INSERT INTO n SELECT id, s, 7, b FROM t;
                 DROP TABLE t; ALTER TABLE n RENAME TO t",
        row: r#"{"id":1,"s":"7","v":7.0,"b":true}"#,
        text: Some("7"),
    },
    Step {
        kind: "two tables are swapped",
        change: "CREATE TABLE u (id INTEGER PRIMARY KEY, v BOOLEAN); INSERT INTO u VALUES (1, 1);
                 ALTER TABLE t RENAME TO w; ALTER TABLE u RENAME TO t",
        row: r#"{"id":1,"v":true}"#,
        text: Some("true"),
    },
    Step {
        kind: "they are swapped back",
        change: "ALTER TABLE t RENAME TO u; ALTER TABLE w RENAME TO t",
        row: r#"{"id":1,"s":"7","v":7.0,"b":true}"#,
        text: Some("7"),
    },
    Step {
        kind: "the table is dropped and made anew",
        change: "DROP TABLE t; CREATE TABLE t (v TEXT, id INTEGER PRIMARY KEY);
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
        change: "DROP VIEW t; CREATE VIEW t AS SELECT id, v, 2 AS two FROM base",
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
        change: "ALTER TABLE t DROP COLUMN v; ALTER TABLE t ADD COLUMN v VARCHAR(9) DEFAULT 'z'",
        row: r#"{"id":1,"v":"z"}"#,
        text: Some("z"),
    },
    Step {
        kind: "a column loses its type",
        change: "CREATE TABLE n (id INTEGER PRIMARY KEY, v);
                 INSERT INTO n VALUES (1, 5); DROP TABLE t; ALTER TABLE n RENAME TO t",
        row: r#"{"id":1,"v":5}"#,
        text: Some("5"),
    },
    Step {
        kind: "a table is kept by its key",
        change: "CREATE TABLE n (v NUMERIC, id INTEGER PRIMARY KEY) WITHOUT ROWID;
                 INSERT INTO n VALUES (1.5, 1); DROP TABLE t; ALTER TABLE n RENAME TO t",
        row: r#"{"v":1.5,"id":1}"#,
        text: Some("1.5"),
    },
    Step {
        kind: "the column that is asked for is dropped",
        change: "ALTER TABLE t DROP COLUMN v",
        row: r#"{"id":1}"#,
        text: None,
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_of_a_sqlite_schema_that_was_there() {
    let mut shop = Shop::with(OriginOptions::default()).await;
    let origin: Arc<SqliteOrigin> = Arc::clone(&shop.origin);
    play(origin, &STEPS, async |change: &str| {
        shop.run(&format!("BEGIN IMMEDIATE; {change}; COMMIT")).await;
    })
    .await;
}
