//! The SQLite origin over a file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use corral_host::origin::{
    ColumnType, Origin, OriginError, OriginOptions, OutputColumn, SqliteOrigin,
};
use corral_tests::servers::until;
use serde_json::json;
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use tempfile::TempDir;

use crate::kit::{AMPLE, SHORT, code, commit, json, many, names, null, one, text, value, write};

/// Runs until it is stopped. It reads a table first, so that it holds a snapshot of the file.
const ENDLESS: &str =
    "WITH RECURSIVE r(n) AS (SELECT count(*) FROM t UNION ALL SELECT n + 1 FROM r)
                       SELECT max(n) AS n FROM r";

#[tokio::test]
async fn every_storage_class_is_answered_as_what_it_is() {
    let shop = Shop::new().await;
    let spellings = [
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("0.1", "0.1"),
        ("1.0", "1.0"),
        ("9e999", r#""Infinity""#),
        ("-9e999", r#""-Infinity""#),
        ("'é🦀\"\\'", r#""é🦀\"\\""#),
        ("''", r#""""#),
        ("char(10, 0, 97)", r#""\n\u0000a""#),
        ("x'00FF'", r#""\\x00ff""#),
        ("x''", r#""\\x""#),
        ("NULL", "null"),
        ("json('{\"a\": 1}')", r#""{\"a\":1}""#),
    ];
    for (expression, expected) in spellings {
        let read = one(&format!("SELECT {expression} AS v"), &[]);
        let answer = text(&*shop.origin, &read, &[]).await;
        assert_eq!(answer, format!(r#"{{"v":{expected}}}"#), "{expression}");
    }
}

#[tokio::test]
async fn columns_declared_boolean_or_json_are_answered_as_such() {
    let mut shop = Shop::new().await;
    shop.run("CREATE TABLE d (id INTEGER, b BOOLEAN, j JSON, k jsonb, s TEXT)").await;
    shop.run(r#"INSERT INTO d VALUES (1, 1, '{"a": [1.50]}', ' [] ', '{}'), (2, 0, 'no json', NULL, NULL), (3, 7, 5, 'null', '')"#).await;
    let answer = text(&*shop.origin, &many("SELECT * FROM d ORDER BY id", &[]), &[]).await;
    let expected = concat!(
        r#"[{"id":1,"b":true,"j":{"a": [1.50]},"k":[],"s":"{}"},"#,
        r#"{"id":2,"b":false,"j":"no json","k":null,"s":null},"#,
        r#"{"id":3,"b":7,"j":5,"k":null,"s":""}]"#
    );
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn every_parameter_arrives_as_the_storage_class_that_is_promised() {
    let shop = Shop::new().await;
    let parameters = [
        ("bool", "true", "integer", json!(1)),
        ("int8", "-9223372036854775808", "integer", json!(i64::MIN)),
        ("float8", "0.1", "real", json!(0.1)),
        ("float4", "0.1", "real", json!(0.1)),
        ("numeric", "42.0", "integer", json!(42)),
        ("numeric", "12.50", "real", json!(12.5)),
        ("text", "O'é", "text", json!("O'é")),
        ("text", "", "text", json!("")),
        (
            "uuid",
            "6F1C9A520D5E4F5B8A3E2B7F6F0C1D2E",
            "text",
            json!("6f1c9a52-0d5e-4f5b-8a3e-2b7f6f0c1d2e"),
        ),
        ("date", "2024-05-01", "text", json!("2024-05-01")),
        ("timestamptz", "2024-05-01T14:00:00+02:00", "text", json!("2024-05-01T12:00:00.000000Z")),
        ("jsonb", r#"{"b":1,"a":2}"#, "text", json!(r#"{"a":2,"b":1}"#)),
        ("bytea", "\\x00ff", "blob", json!("\\x00ff")),
        ("bytea", "\\x", "blob", json!("\\x")),
    ];
    for (ty, given, class, expected) in parameters {
        let read = one("SELECT typeof($1) AS t, $1 AS v", &[ty]);
        let answer = json(&*shop.origin, &read, &[value(ty, given)]).await;
        assert_eq!(answer, json!({"t": class, "v": expected}), "{ty} {given}");
        let answer = json(&*shop.origin, &read, &[null(ty)]).await;
        assert_eq!(answer, json!({"t": "null", "v": null}), "{ty} null");
    }
}

#[tokio::test]
async fn an_array_is_a_list_for_json_each() {
    let mut shop = Shop::new().await;
    shop.run("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')").await;
    let sql = "SELECT v FROM t WHERE id IN (SELECT value FROM json_each($1)) ORDER BY id DESC";
    let answer = text(&*shop.origin, &many(sql, &["int8[]"]), &[value("int8[]", "[1,3]")]).await;
    assert_eq!(answer, r#"[{"v":"c"},{"v":"a"}]"#);
}

#[tokio::test]
async fn parameters_are_bound_by_number_in_any_order() {
    let shop = Shop::new().await;
    let read = one("SELECT $2 AS b, $1 AS a, $2 AS c", &["int8", "text"]);
    let answer = text(&*shop.origin, &read, &[value("int8", "1"), value("text", "x")]).await;
    assert_eq!(answer, r#"{"b":"x","a":1,"c":"x"}"#);
}

#[tokio::test]
async fn one_row_none_and_several() {
    let mut shop = Shop::new().await;
    let (first, all) =
        (one("SELECT id FROM t ORDER BY id DESC", &[]), many("SELECT id FROM t", &[]));
    assert!(shop.origin.load(&first, &[], &[], AMPLE).await.unwrap().body.is_none());
    assert_eq!(text(&*shop.origin, &all, &[]).await, "[]");
    shop.run("INSERT INTO t VALUES (1, 'a'), (2, 'b')").await;
    assert_eq!(text(&*shop.origin, &first, &[]).await, r#"{"id":2}"#);
    assert_eq!(text(&*shop.origin, &all, &[]).await, r#"[{"id":1},{"id":2}]"#);
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_refused() {
    let shop = Shop::new().await;
    let sql = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)
               SELECT hex(zeroblob(50000)) AS x FROM r";
    let error = shop.origin.load(&many(sql, &[]), &[], &[], AMPLE).await.unwrap_err();
    assert_eq!(code(&error), "too large");
    assert_eq!(text(&*shop.origin, &one("SELECT 1 AS a", &[]), &[]).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn an_endless_read_ends_by_its_deadline() {
    let mut shop = Shop::new().await;
    let start = Instant::now();
    let error = shop.origin.load(&one(ENDLESS, &[]), &[], &[], SHORT).await.unwrap_err();
    assert!(matches!(error, OriginError::Timeout(SHORT)), "{error}");
    assert!(start.elapsed() < AMPLE / 2);
    until("the statement has ended", async || shop.is_unread().await).await;
    assert_eq!(text(&*shop.origin, &one("SELECT 1 AS a", &[]), &[]).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn an_endless_read_that_nobody_waits_for_ends_too() {
    let mut shop = Shop::new().await;
    let origin = Arc::clone(&shop.origin);
    let forever = Duration::from_secs(3600);
    let task = tokio::spawn(async move {
        let _ = origin.load(&one(ENDLESS, &[]), &[], &[], forever).await;
    });
    until("it runs", async || !shop.is_unread().await).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    until("the statement has ended", async || shop.is_unread().await).await;
}

#[tokio::test]
async fn an_endless_write_ends_by_its_deadline_and_leaves_nothing() {
    let shop = Shop::new().await;
    let sql = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) INSERT INTO t SELECT n, '' FROM r";
    let error = shop.origin.execute(&write(sql, &[]), &[], &[], SHORT).await.err().unwrap();
    assert_eq!(code(&error), "timeout");
    assert_eq!(shop.count().await, 0);
    assert_eq!(commit(&*shop.origin, "INSERT INTO t VALUES (1, 'x')").await, 1);
}

#[tokio::test]
async fn a_read_can_neither_write_nor_leave_its_file() {
    let mut shop = Shop::new().await;
    shop.run("INSERT INTO t VALUES (1, 'a')").await;
    let refused = [
        "DELETE FROM t",
        "DELETE FROM t RETURNING id",
        "WITH x AS (SELECT 1) DELETE FROM t",
        "PRAGMA query_only = 0",
        "ATTACH DATABASE 'other.db' AS other",
        "SELECT 1; DELETE FROM t",
        "SELECT :name",
        "SELECT $0",
        "",
    ];
    for sql in refused {
        let error = shop.origin.load(&one(sql, &[]), &[], &[], AMPLE).await.unwrap_err();
        assert!(matches!(error, OriginError::Rejected { .. }), "{sql}: {error}");
    }
    assert_eq!(shop.count().await, 1);
    assert_eq!(commit(&*shop.origin, "DELETE FROM t").await, 1, "a write may");
}

#[tokio::test]
async fn a_write_reports_its_rows_and_is_seen_once_committed() {
    let shop = Shop::new().await;
    let insert = write("INSERT INTO t VALUES ($1, 'x'), ($1 + 1, 'y')", &["int8"]);
    let written = shop.origin.execute(&insert, &[value("int8", "1")], &[], AMPLE).await.unwrap();
    assert_eq!((written.rows, written.returned.len()), (2, 0));
    assert_eq!(shop.count().await, 0);
    written.transaction.commit().await.unwrap();
    assert_eq!(shop.count().await, 2);

    let update = write("UPDATE t SET v = 'z' RETURNING id, v", &[]);
    let asked = names(&["v", "id", "old.id"]);
    let written = shop.origin.execute(&update, &[], &asked, AMPLE).await.unwrap();
    let row = |id: &str| vec![Some("z".to_owned()), Some(id.to_owned()), None];
    assert_eq!(written.returned, [row("1"), row("2")]);
    assert_eq!((written.rows, written.missing), (2, names(&["old.id"])));
}

#[tokio::test]
async fn a_dropped_or_failed_write_leaves_nothing_and_the_next_one_runs() {
    let mut shop = Shop::new().await;
    shop.run("CREATE TABLE child (id INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED)").await;
    let insert = write("INSERT INTO t VALUES (1, 'x')", &[]);
    drop(shop.origin.execute(&insert, &[], &[], AMPLE).await.unwrap());
    assert_eq!(commit(&*shop.origin, "INSERT INTO t VALUES (1, 'x')").await, 1);

    let error = shop.origin.execute(&insert, &[], &[], AMPLE).await.err().unwrap();
    assert_eq!(code(&error), "1555", "{error}");

    let orphan = write("INSERT INTO child VALUES (99)", &[]);
    let written = shop.origin.execute(&orphan, &[], &[], AMPLE).await.unwrap();
    let error = written.transaction.commit().await.unwrap_err();
    assert_eq!(code(error.cause()), "787", "{error}");
    assert_eq!(commit(&*shop.origin, "INSERT INTO t VALUES (2, 'x')").await, 1);
    assert_eq!(shop.count().await, 2);
}

#[tokio::test]
async fn a_lock_of_another_process_is_unavailable_and_hinders_no_reader() {
    let mut shop = Shop::new().await;
    shop.run("BEGIN IMMEDIATE").await;
    let insert = write("INSERT INTO t VALUES (1, 'x')", &[]);
    let error = shop.origin.execute(&insert, &[], &[], AMPLE).await.err().unwrap();
    assert!(matches!(error, OriginError::Unavailable(_)), "{error}");
    assert_eq!(shop.count().await, 0);
    shop.run("ROLLBACK").await;
    assert_eq!(commit(&*shop.origin, "INSERT INTO t VALUES (1, 'x')").await, 1);
}

#[tokio::test]
async fn chance_is_a_problem_and_the_clock_a_note() {
    let shop = Shop::new().await;
    let prepared = async |sql: &str| shop.origin.prepare_read(&one(sql, &[])).await.unwrap();
    for sql in ["SELECT random() AS r", "SELECT id, hex(randomblob(4)) AS b FROM t"] {
        let prepared = prepared(sql).await;
        let is_said = prepared.complaints.iter().any(|c| c.contains("readers share one answer"));
        assert!(prepared.varies && is_said, "{sql}: {:?}", prepared.complaints);
    }
    for sql in [
        "SELECT datetime('now') AS t",
        "SELECT CURRENT_TIMESTAMP AS t",
        "SELECT id FROM t WHERE v < strftime('%s', 'now')",
    ] {
        let prepared = prepared(sql).await;
        let is_said = prepared.notes.iter().any(|note| note.contains("its lifetime alone"));
        assert!(
            is_said && !prepared.varies && prepared.complaints.is_empty(),
            "{sql}: {prepared:?}"
        );
    }
    for sql in ["SELECT id, date(v) AS d FROM t", "SELECT 'now' AS n, 'random(1)' AS r"] {
        let prepared = prepared(sql).await;
        assert!(prepared.notes.is_empty() && prepared.complaints.is_empty(), "{sql}: {prepared:?}");
    }
}

#[tokio::test]
async fn preparing_compares_numbers_and_columns() {
    let shop = Shop::new().await;
    let fitting =
        shop.origin.prepare_read(&one("SELECT id, v FROM t WHERE id = $1", &["int8"])).await;
    let fitting = fitting.unwrap();
    let typed = |name: &str, ty: &str| OutputColumn {
        name: name.to_owned(),
        ty: ColumnType::Named(ty.parse().unwrap()),
    };
    let columns = vec![typed("id", "int8"), typed("v", "text")];
    assert_eq!((fitting.columns, fitting.complaints), (columns, vec![]));

    let misfits: [(&str, &[&str], &str); 3] = [
        ("SELECT id FROM t WHERE id = $2", &["int8"], "$2 is used"),
        ("SELECT id FROM t", &["int8"], "$1 is declared and not used"),
        ("SELECT id, v AS id FROM t", &[], "the column `id` is answered more than once"),
    ];
    for (sql, params, expected) in misfits {
        let complaints = shop.origin.prepare_read(&one(sql, params)).await.unwrap().complaints;
        assert!(complaints.iter().any(|c| c.contains(expected)), "{sql}: {complaints:?}");
    }
    let error = shop.origin.prepare_read(&one("SELECT nothing FROM t", &[])).await.unwrap_err();
    assert_eq!(code(&error), "1");
    let prepared = shop.origin.prepare_write(&write("DELETE FROM t RETURNING id", &[])).await;
    assert_eq!(prepared.unwrap().columns, [typed("id", "int8")]);
}

#[tokio::test]
async fn a_file_that_is_missing_is_unavailable_until_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("late.db");
    let url = format!("sqlite:{}", path.display());
    let origin = SqliteOrigin::connect(&url, &OriginOptions::default()).unwrap();
    let read = one("SELECT count(*) AS n FROM sqlite_schema", &[]);
    for _ in 0..2 {
        assert_eq!(code(&origin.load(&read, &[], &[], AMPLE).await.unwrap_err()), "unavailable");
        assert_eq!(code(&origin.ping().await.unwrap_err()), "unavailable");
    }
    assert!(!path.exists(), "a mistyped path must not become a database");
    let mut other = open(&url).await;
    sqlx::raw_sql("CREATE TABLE t (id INTEGER)").execute(&mut other).await.unwrap();
    assert_eq!(json(&origin, &read, &[]).await, json!({"n": 1}));
    origin.ping().await.unwrap();
}

#[tokio::test]
async fn a_file_that_nobody_else_has_open_is_read_and_written() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("quiet.db").display());
    let mut other = open(&url).await;
    let table = "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)";
    sqlx::raw_sql(table).execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let origin = SqliteOrigin::connect(&url, &OriginOptions::default()).unwrap();
    let read = one("SELECT count(*) AS n FROM t", &[]);
    assert_eq!(json(&origin, &read, &[]).await, json!({"n": 0}));
    assert_eq!(commit(&origin, "INSERT INTO t VALUES (1, 'x')").await, 1);
    assert_eq!(json(&origin, &read, &[]).await, json!({"n": 1}));
}

pub(crate) struct Shop {
    pub(crate) origin: Arc<SqliteOrigin>,
    other: SqliteConnection,
    _directory: TempDir,
}

impl Shop {
    pub(crate) async fn new() -> Self {
        Self::with(OriginOptions { max_loads: 1, ..OriginOptions::default() }).await
    }

    pub(crate) async fn with(options: OriginOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("shop.db").display());
        let mut other = open(&url).await;
        let table = "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)";
        sqlx::raw_sql(table).execute(&mut other).await.unwrap();
        let origin = Arc::new(SqliteOrigin::connect(&url, &options).unwrap());
        Self { origin, other, _directory: directory }
    }

    /// A connection as another process would have it.
    pub(crate) fn other(&mut self) -> &mut SqliteConnection {
        &mut self.other
    }

    pub(crate) async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut self.other).await.unwrap();
    }

    async fn count(&self) -> i64 {
        let read = one("SELECT count(*) AS n FROM t", &[]);
        json(&*self.origin, &read, &[]).await["n"].as_i64().unwrap()
    }

    /// Whether no statement reads the file; only then can the log be emptied.
    async fn is_unread(&mut self) -> bool {
        self.run("INSERT INTO t VALUES (1000, '') ON CONFLICT DO UPDATE SET v = v || 'x'").await;
        let checkpoint = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)");
        checkpoint.fetch_one(&mut self.other).await.unwrap().get::<i64, _>(0) == 0
    }
}

async fn open(url: &str) -> SqliteConnection {
    let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
    // With no busy timeout, a lock is reported at once.
    options.create_if_missing(true).busy_timeout(Duration::ZERO).connect().await.unwrap()
}
