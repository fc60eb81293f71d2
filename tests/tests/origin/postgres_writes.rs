//! Writes: what they report, and what remains of a transaction that does not commit.

use corral_host::origin::{CommitError, Origin, OriginError, OriginOptions, PostgresOrigin};
use corral_tests::servers::until;
use sqlx::PgConnection;

use crate::kit::{AMPLE, code, commit, names, texts, value, write};
use crate::server::{Server, connection, run};

#[tokio::test]
async fn a_write_reports_its_rows_and_is_seen_by_others_once_committed() {
    let server = Server::shared().await;
    let (origin, mut other) = table(&server, "seen").await;
    let insert = write("INSERT INTO t SELECT n, 'x' FROM generate_series(1, $1) AS n", &["int4"]);
    let written = origin.execute(&insert, &[value("int4", "3")], &[], AMPLE).await.unwrap();
    assert_eq!((written.rows, written.returned.len()), (3, 0));
    assert_eq!(count(&mut other).await, 0);
    written.transaction.commit().await.unwrap();
    assert_eq!(count(&mut other).await, 3);
}

#[tokio::test]
async fn what_a_write_returns_comes_back_row_by_row() {
    let server = Server::shared().await;
    let (origin, _other) = table(&server, "returned").await;
    let sql = "INSERT INTO t SELECT n, repeat('é', n) FROM generate_series(1, 2) AS n
               RETURNING *, 12345678901234567890.10::numeric AS big -- all of it";
    let asked = names(&["big", "id", "v"]);
    let written = origin.execute(&write(sql, &[]), &[], &asked, AMPLE).await.unwrap();
    let big = "12345678901234567890.1";
    assert_eq!(written.returned, [texts(&[big, "1", "é"]), texts(&[big, "2", "éé"])]);
    assert_eq!((written.rows, written.missing), (2, vec![]));
    written.transaction.commit().await.unwrap();

    let update = write("UPDATE t SET v = '' WHERE id > $1 RETURNING id", &["int8"]);
    for (above, rows) in [("1", 1), ("9", 0)] {
        let (values, asked) = ([value("int8", above)], names(&["id"]));
        let written = origin.execute(&update, &values, &asked, AMPLE).await.unwrap();
        assert_eq!((written.rows, written.returned.len() as u64), (rows, rows));
        assert_eq!(written.missing, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_write_with_a_clause_before_it_returns_rows_too() {
    let server = Server::shared().await;
    let (origin, _other) = table(&server, "clause").await;
    let sql =
        "WITH source AS (SELECT 7 AS id) INSERT INTO t SELECT id, 'x' FROM source RETURNING id";
    let written = origin.execute(&write(sql, &[]), &[], &names(&["id"]), AMPLE).await.unwrap();
    assert_eq!(written.returned, [texts(&["7"])]);
}

#[tokio::test]
async fn a_column_that_a_write_does_not_return_or_returns_twice_is_missing() {
    let server = Server::shared().await;
    let (origin, _other) = table(&server, "missing").await;
    let returning = [
        ("", &["id", "v", "old.id"][..]),
        ("RETURNING id", &["v", "old.id"]),
        ("RETURNING *, id", &["id", "old.id"]),
        (r#"RETURNING v, id AS "old.id", v::json"#, &["id", "v"]),
    ];
    for (number, (returning, missing)) in returning.into_iter().enumerate() {
        let sql = format!("INSERT INTO t VALUES ({number}, '{number}') {returning}");
        let asked = names(&["id", "v", "old.id"]);
        let written = origin.execute(&write(&sql, &[]), &[], &asked, AMPLE).await.unwrap();
        assert_eq!((written.rows, written.missing), (1, names(missing)), "{sql}");
    }
    let nothing = write("DELETE FROM t", &[]);
    let written = origin.execute(&nothing, &[], &names(&["id"]), AMPLE).await.unwrap();
    assert_eq!((written.rows, written.missing), (0, vec![]), "nothing was changed");
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing() {
    let server = Server::shared().await;
    let (origin, mut other) = table(&server, "dropped").await;
    commit(&origin, "INSERT INTO t VALUES (1, 'old')").await;
    let update = write("UPDATE t SET v = 'new'", &[]);
    drop(origin.execute(&update, &[], &[], AMPLE).await.unwrap());
    // The row's lock is free again as soon as the server has rolled back.
    run(&mut other, "SET lock_timeout = '20s'; SELECT * FROM t FOR UPDATE").await;
    let v: String = sqlx::query_scalar("SELECT v FROM t").fetch_one(&mut other).await.unwrap();
    assert_eq!(v, "old");
}

#[tokio::test]
async fn a_write_that_fails_is_rolled_back_and_its_connection_used_again() {
    let server = Server::shared().await;
    let (origin, mut other) = table(&server, "failing").await;
    commit(&origin, "INSERT INTO t VALUES (1, 'x')").await;
    let pid = write("SELECT pg_backend_pid() AS pid", &[]);
    let before = origin.execute(&pid, &[], &names(&["pid"]), AMPLE).await.unwrap();
    let pid_before = before.returned.clone();
    before.transaction.commit().await.unwrap();
    for (sql, expected) in [
        ("INSERT INTO t VALUES (2, 'x'), (1, 'x')", "23505"),
        ("INSERT INTO t VALUES (2, 'x'), (1, 'x') RETURNING id", "23505"),
        ("INSERT INTO nowhere VALUES (1)", "42P01"),
        ("INSERT INTO t VALUES (3, 'x'); DELETE FROM t", "42601"),
    ] {
        let error = origin.execute(&write(sql, &[]), &[], &[], AMPLE).await.err().unwrap();
        assert_eq!(code(&error), expected, "{sql}: {error}");
    }
    assert_eq!(count(&mut other).await, 1);
    let after = origin.execute(&pid, &[], &names(&["pid"]), AMPLE).await.unwrap();
    assert_eq!(after.returned, pid_before);
}

#[tokio::test]
async fn a_constraint_that_fails_at_commit_is_a_rejection() {
    let server = Server::shared().await;
    let (origin, mut other) = table(&server, "deferred").await;
    let constraint = "CREATE TABLE child (id int8 REFERENCES t DEFERRABLE INITIALLY DEFERRED)";
    run(&mut other, constraint).await;
    let insert = write("INSERT INTO child VALUES (99)", &[]);
    let written = origin.execute(&insert, &[], &[], AMPLE).await.unwrap();
    let error = written.transaction.commit().await.unwrap_err();
    assert_eq!(code(error.cause()), "23503");
    assert_eq!(commit(&origin, "INSERT INTO t VALUES (1, 'x')").await, 1);
}

#[tokio::test]
async fn a_commit_whose_connection_was_cut_has_an_unknown_outcome() {
    let server = Server::shared().await;
    let (origin, mut other) = table(&server, "cut").await;
    let insert = write("INSERT INTO t VALUES (1, 'x') RETURNING pg_backend_pid() AS pid", &[]);
    let written = origin.execute(&insert, &[], &names(&["pid"]), AMPLE).await.unwrap();
    let pid = written.returned[0][0].clone().unwrap();
    run(&mut other, &format!("SELECT pg_terminate_backend({pid}, 20000)")).await;
    let error = written.transaction.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::InDoubt(OriginError::Unavailable(_))), "{error}");
    assert_eq!(count(&mut other).await, 0);
}

#[tokio::test]
async fn the_server_ends_the_transaction_of_a_host_that_is_lost() {
    let server = Server::shared().await;
    let (origin, _other) = table(&server, "lost").await;
    let sql = "SELECT current_setting('idle_in_transaction_session_timeout') AS idle,
                      current_setting('statement_timeout') AS statement";
    let default = OriginOptions::default().deadline;
    for (deadline, expected) in [(default, "2s"), (AMPLE, "1")] {
        let asked = names(&["idle", "statement"]);
        let written = origin.execute(&write(sql, &[]), &[], &asked, deadline).await.unwrap();
        let [idle, statement] = &written.returned[0][..] else { panic!("two columns") };
        assert_eq!(idle.as_deref(), Some("1s"));
        let statement = statement.as_deref().unwrap();
        assert!(statement.starts_with(expected), "{statement}");
    }
}

#[tokio::test]
async fn a_write_that_waits_for_a_lock_ends_by_its_deadline() {
    let server = Server::shared().await;
    let (origin, mut other) = table(&server, "locked").await;
    commit(&origin, "INSERT INTO t VALUES (1, 'x')").await;
    run(&mut other, "BEGIN; UPDATE t SET v = 'held'").await;
    let update = write("UPDATE t SET v = 'late' /* locked */", &[]);
    let error = origin.execute(&update, &[], &[], crate::kit::SHORT).await.err().unwrap();
    assert_eq!(code(&error), "timeout");
    run(&mut other, "ROLLBACK").await;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND query LIKE 'UPDATE%/* locked */%'";
    until("the write has ended", async || {
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut other).await.unwrap() == 0
    })
    .await;
    let v: String = sqlx::query_scalar("SELECT v FROM t").fetch_one(&mut other).await.unwrap();
    assert_eq!(v, "x");
}

async fn table(server: &Server, schema: &str) -> (PostgresOrigin, PgConnection) {
    let url = server.schema(schema).await;
    let mut other = connection(&url).await;
    run(&mut other, "CREATE TABLE t (id int8 PRIMARY KEY, v text)").await;
    let options = OriginOptions { max_writes: 1, ..OriginOptions::default() };
    (PostgresOrigin::connect(&url, &options).unwrap(), other)
}

async fn count(other: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(other).await.unwrap()
}
