//! Slow statements, a full pool, and a server that dies, hangs and returns.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corral_host::origin::{Origin, OriginError, OriginOptions, PostgresOrigin};
use corral_tests::servers::until;
use serde_json::json;
use sqlx::PgConnection;

use crate::kit::{AMPLE, SHORT, code, commit, json, one, text, write};
use crate::server::{Server, run};

#[tokio::test]
async fn a_slow_read_ends_by_its_deadline_in_the_database_too() {
    let server = Server::shared().await;
    let mut admin = server.admin().await;
    // Once with the session's deadline and once with another one.
    for session in [SHORT, AMPLE] {
        let origin = single(&server.url(), session);
        let pid = json(&origin, &one("SELECT pg_backend_pid() AS pid", &[]), &[]).await;
        let marker = format!("/* slow {} */", session.as_millis());
        let read = one(&format!("SELECT pg_sleep(60) {marker}"), &[]);
        let start = Instant::now();
        let error = origin.load(&read, &[], &[], SHORT).await.unwrap_err();
        assert!(matches!(error, OriginError::Timeout(SHORT)), "{error}");
        assert!(start.elapsed() < AMPLE / 2);
        until("the statement has ended", async || running(&mut admin, &marker).await == 0).await;
        // The database ended it, so the connection is still the same.
        assert_eq!(json(&origin, &one("SELECT pg_backend_pid() AS pid", &[]), &[]).await, pid);
    }
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_does_not_spoil_the_next() {
    let server = Server::shared().await;
    let mut admin = server.admin().await;
    let origin = Arc::new(single(&server.url(), AMPLE));
    let task = tokio::spawn({
        let origin = Arc::clone(&origin);
        async move {
            let read = one("SELECT pg_sleep(60) AS s /* abandoned */", &[]);
            let _ = origin.load(&read, &[], &[], AMPLE).await;
        }
    });
    until("it runs", async || running(&mut admin, "/* abandoned */").await == 1).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(text(&*origin, &one("SELECT 1 AS a", &[]), &[]).await, r#"{"a":1}"#);
    run(&mut admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60) AS s%' AND pid <> pg_backend_pid()").await;
}

#[tokio::test]
async fn a_full_pool_is_unavailable_and_never_exceeded() {
    let server = Server::shared().await;
    let mut admin = server.admin().await;
    let options = OriginOptions { max_loads: 2, deadline: AMPLE, ..OriginOptions::default() };
    let origin = Arc::new(PostgresOrigin::connect(&server.url(), &options).unwrap());
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let origin = Arc::clone(&origin);
            tokio::spawn(async move {
                let read = one("SELECT pg_sleep(60) /* full pool */", &[]);
                origin.load(&read, &[], &[], AMPLE).await.map_err(|error| error.to_string())
            })
        })
        .collect();
    until("both run", async || running(&mut admin, "/* full pool */").await == 2).await;
    let error = origin.load(&one("SELECT 1", &[]), &[], &[], SHORT).await.unwrap_err();
    assert!(
        matches!(&error, OriginError::Unavailable(m) if m.contains("all 2 connections")),
        "{error}"
    );
    busy.iter().for_each(tokio::task::JoinHandle::abort);
    run(&mut admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%/* full pool */%' AND pid <> pg_backend_pid()").await;
}

#[tokio::test]
async fn a_connection_that_died_while_idle_costs_no_failure() {
    let server = Server::shared().await;
    let mut admin = server.admin().await;
    let url = format!("{}?application_name=doomed", server.url());
    let origin = single(&url, AMPLE);
    let pid = one("SELECT pg_backend_pid() AS pid", &[]);
    let kill = "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE application_name = 'doomed'";
    let before = json(&origin, &pid, &[]).await;
    assert_eq!(commit(&origin, "SELECT 1 AS a").await, 1);
    run(&mut admin, kill).await;
    assert_ne!(json(&origin, &pid, &[]).await, before);
    assert_eq!(commit(&origin, "SELECT 1 AS a").await, 1);
    run(&mut admin, kill).await;
    origin.ping().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_cut_in_the_middle_of_a_write_is_unavailable() {
    let server = Server::shared().await;
    let origin = single(&server.url(), AMPLE);
    let sql = "SELECT pg_terminate_backend(pg_backend_pid()) AS done";
    let error = origin.execute(&write(sql, &[]), &[], &[], AMPLE).await.err().unwrap();
    assert_eq!(code(&error), "unavailable", "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_is_left_by_the_deadline_and_its_connection_not_used_again() {
    let server = Server::shared().await;
    let origin = single(&server.url(), AMPLE);
    let read = one("SELECT pg_backend_pid() AS pid", &[]);
    let pid = json(&origin, &read, &[]).await["pid"].to_string();
    let frozen = Frozen::new(&pid);
    let start = Instant::now();
    let error = origin.load(&read, &[], &[], SHORT).await.unwrap_err();
    assert!(matches!(error, OriginError::Timeout(SHORT)), "{error}");
    assert!(start.elapsed() < AMPLE / 2);
    let fresh = json(&origin, &read, &[]).await["pid"].to_string();
    assert_ne!(fresh, pid);
    drop(frozen);
}

#[tokio::test]
async fn a_server_that_stops_is_unavailable_at_once_and_used_again_when_it_returns() {
    let mut server = Server::start().await;
    let options = OriginOptions { deadline: AMPLE, ..OriginOptions::default() };
    let origin = PostgresOrigin::connect(&server.url(), &options).unwrap();
    let read = one("SELECT 1 AS a", &[]);
    assert_eq!(json(&origin, &read, &[]).await, json!({"a": 1}));
    assert_eq!(commit(&origin, "SELECT 1 AS a").await, 1);
    server.stop().await;
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(code(&origin.load(&read, &[], &[], AMPLE).await.unwrap_err()), "unavailable");
        let error = origin.execute(&write("SELECT 1", &[]), &[], &[], AMPLE).await.err().unwrap();
        assert_eq!(code(&error), "unavailable");
        assert_eq!(code(&origin.ping().await.unwrap_err()), "unavailable");
    }
    assert!(start.elapsed() < AMPLE / 2, "it waited for a server that refuses connections");
    server.resume().await;
    assert_eq!(json(&origin, &read, &[]).await, json!({"a": 1}));
    assert_eq!(commit(&origin, "SELECT 1 AS a").await, 1);
}

#[tokio::test]
async fn a_server_that_takes_no_more_connections_is_unavailable() {
    let server = Server::shared().await;
    let mut admin = server.admin().await;
    run(&mut admin, "CREATE ROLE narrow LOGIN CONNECTION LIMIT 0").await;
    let origin = single(&server.url().replace("postgres@", "narrow@"), AMPLE);
    let error = origin.load(&one("SELECT 1", &[]), &[], &[], AMPLE).await.unwrap_err();
    assert_eq!(code(&error), "unavailable", "{error}");
}

/// A stopped process, continued when dropped.
struct Frozen(String);

impl Frozen {
    fn new(pid: &str) -> Self {
        assert!(Command::new("kill").args(["-STOP", pid]).status().unwrap().success());
        Self(pid.to_owned())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-CONT", &self.0]).status();
    }
}

fn single(url: &str, deadline: Duration) -> PostgresOrigin {
    let options =
        OriginOptions { max_loads: 1, max_writes: 1, deadline, ..OriginOptions::default() };
    PostgresOrigin::connect(url, &options).unwrap()
}

async fn running(admin: &mut PgConnection, marker: &str) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE state = 'active' AND pid <> pg_backend_pid() AND strpos(query, $1) > 0";
    sqlx::query_scalar(sql).bind(marker).fetch_one(admin).await.unwrap()
}
