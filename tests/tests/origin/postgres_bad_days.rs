//! Connections that die silently, servers that stop writing, transactions that block each other,
//! and passwords that are exchanged.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use corral_host::origin::{CurrentUrl, Origin, OriginError, OriginOptions, PostgresOrigin};
use corral_tests::forwarder::Forwarder;
use corral_tests::servers::until;
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::kit::{AMPLE, SHORT, code, commit, load, load_within, one, value, write};
use crate::server::{Server, connection, run};

/// Connections of the pool.
const MANY: usize = 4;

/// A connection that was idle for longer is tested before it is used.
const RESTED: Duration = Duration::from_millis(1_100);

#[tokio::test]
async fn connections_that_died_without_a_word_cost_no_answer() {
    let server = Server::shared().await;
    let way = Forwarder::start(server.postgres().port()).await.unwrap();
    let origin = through(&way);
    open_all(&origin).await;
    way.isolate();
    sleep(RESTED).await;
    for _ in 0..MANY {
        load(&origin, &one("SELECT 1 AS a", &[]), &[]).await.unwrap();
        commit(&origin, "SELECT 1 AS a").await;
    }
}

#[tokio::test]
async fn of_connections_that_die_in_use_one_costs_an_answer_and_the_others_none() {
    let server = Server::shared().await;
    let way = Forwarder::start(server.postgres().port()).await.unwrap();
    let origin = through(&way);
    open_all(&origin).await;
    way.isolate();
    let read = one("SELECT 1 AS a", &[]);
    // On a busy machine it may have been idle for longer; then the test costs little.
    let first = load_within(&origin, &read, &[], SHORT).await;
    assert!(first.as_ref().map_or_else(|error| code(error) == "timeout", |_| true), "{first:?}");
    let others = (0..MANY).map(|_| load(&origin, &read, &[]));
    for answer in join_all(others).await {
        answer.unwrap();
    }
}

/// Answers as many reads at once as the pool has connections.
async fn open_all(origin: &PostgresOrigin) {
    let slow = one("SELECT pg_sleep(0.2)::text AS s", &[]);
    for answer in join_all((0..MANY).map(|_| load(origin, &slow, &[]))).await {
        answer.unwrap();
    }
    commit(origin, "SELECT 1 AS a").await;
}

#[tokio::test]
async fn a_write_leaves_a_server_that_became_read_only_for_the_one_that_took_its_place() {
    let (old, new) = (Server::start().await, Server::start().await);
    for server in [&old, &new] {
        run(&mut server.admin().await, "CREATE TABLE t (n int)").await;
    }
    let way = Forwarder::start(old.postgres().port()).await.unwrap();
    let origin = through(&way);
    let insert = "INSERT INTO t VALUES (1)";
    assert_eq!(commit(&origin, insert).await, 1);
    let mut admin = old.admin().await;
    run(&mut admin, "ALTER SYSTEM SET default_transaction_read_only = on").await;
    run(&mut admin, "SELECT pg_reload_conf()").await;
    // No server has taken its place yet, which is not the client's fault.
    until("it does not write any more", async || {
        match origin.execute(&write(insert, &[]), &[], &[], AMPLE).await {
            Ok(_rolled_back) => false,
            Err(error) => {
                assert_eq!(code(&error), "unavailable", "{error}");
                true
            }
        }
    })
    .await;
    load(&origin, &one("SELECT 1 AS a", &[]), &[]).await.unwrap();
    way.point_to(new.postgres().port());
    assert_eq!(commit(&origin, insert).await, 1);
    // Reads have left the former server, too.
    let count = one("SELECT count(*)::int AS n FROM t WHERE pg_is_in_recovery() = false", &[]);
    let port = one("SELECT inet_server_port() AS port", &[]);
    assert_eq!(crate::kit::json(&origin, &port, &[]).await["port"], new.postgres().port());
    assert_eq!(crate::kit::json(&origin, &count, &[]).await["n"], 1);
}

#[tokio::test]
async fn reads_leave_a_server_whose_standby_was_promoted_though_it_lives_and_nobody_writes() {
    let old = Server::replicated().await;
    let new = old.follower().await;
    let way = Forwarder::start(old.postgres().port()).await.unwrap();
    let origin = through(&way);
    come_from(&origin, &old).await;
    run(&mut new.admin().await, "SELECT pg_promote()").await;
    way.point_to(new.postgres().port());
    come_from(&origin, &new).await;
}

#[tokio::test]
async fn reads_leave_a_standby_once_the_address_leads_to_its_primary_again() {
    let primary = Server::replicated().await;
    let standby = primary.follower().await;
    let way = Forwarder::start(standby.postgres().port()).await.unwrap();
    let origin = through(&way);
    come_from(&origin, &standby).await;
    way.point_to(primary.postgres().port());
    come_from(&origin, &primary).await;
}

/// The control: the regular check whether the address leads elsewhere costs no connection of the
/// reads.
#[tokio::test]
async fn a_connection_is_kept_while_new_ones_find_the_same_server() {
    let server = Server::shared().await;
    let way = Forwarder::start(server.postgres().port()).await.unwrap();
    let origin = through(&way);
    let session = one("SELECT pg_backend_pid() AS pid", &[]);
    let before = crate::kit::json(&origin, &session, &[]).await;
    let opened = way.opened();
    until("the origin looks where the address leads", async || {
        assert_eq!(crate::kit::json(&origin, &session, &[]).await, before);
        way.opened() > opened
    })
    .await;
    assert_eq!(crate::kit::json(&origin, &session, &[]).await, before);
}

/// Reads until this server answers one.
async fn come_from(origin: &PostgresOrigin, server: &Server) {
    let port = one("SELECT inet_server_port() AS port", &[]);
    until("reads come from the server to which the address leads", async || {
        crate::kit::json(origin, &port, &[]).await["port"] == server.postgres().port()
    })
    .await;
}

#[tokio::test]
async fn a_deadlock_is_told_from_what_the_client_did_wrong() {
    let server = Server::shared().await;
    let url = server.schema("deadlock").await;
    let mut other = connection(&url).await;
    run(
        &mut other,
        "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0), (2, 0);
         CREATE FUNCTION lock_both() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
             UPDATE t SET n = n + 1 WHERE id = 1; UPDATE t SET n = n + 1 WHERE id = 2;
             RETURN 1; END $$",
    )
    .await;
    // A statement that begins a transaction in the middle of a message includes the statements
    // before it.
    run(&mut other, "SET deadlock_timeout = '1h'").await;
    run(&mut other, "BEGIN; UPDATE t SET n = n + 1 WHERE id = 2").await;
    let origin = PostgresOrigin::connect(&url, &OriginOptions::default()).unwrap();
    let both = write("SELECT lock_both()", &[]);
    let (done, _) = tokio::join!(origin.execute(&both, &[], &[], AMPLE), async {
        let mut admin = server.admin().await;
        until("it waits for the second row", async || {
            let sql = "SELECT count(*) FROM pg_stat_activity \
                       WHERE wait_event_type = 'Lock' AND query LIKE '%lock_both()%'";
            sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut admin).await.unwrap() > 0
        })
        .await;
        run(&mut other, "UPDATE t SET n = n + 1 WHERE id = 1").await;
    });
    let error = done.err().unwrap();
    assert!(matches!(&error, OriginError::Undone { code, .. } if code == "40P01"), "{error}");
}

#[tokio::test]
async fn a_password_that_was_exchanged_is_read_where_it_is_configured() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    run(&mut admin, "CREATE ROLE app LOGIN PASSWORD 'first'").await;
    server.postgres().ask_for_password("app").await.unwrap();

    let url = |password: &str| server.url().replace("postgres@", &format!("app:{password}@"));
    let configured = Arc::new(Mutex::new(url("first")));
    let again = Arc::clone(&configured);
    let again = CurrentUrl::new(move || Some(again.lock().unwrap().clone()));
    let options = OriginOptions { again: Some(again), ..OriginOptions::default() };
    let origin = PostgresOrigin::connect(&url("first"), &options).unwrap();
    let read = one("SELECT $1 AS a", &["int4"]);
    load(&origin, &read, &[value("int4", "1")]).await.unwrap();

    run(&mut admin, "ALTER ROLE app PASSWORD 'second'").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
    run(&mut admin, end).await;
    let error = until_error(&origin, &read).await;
    assert_eq!(code(&error), "unavailable");
    assert!(!error.to_string().contains("first"), "{error}");
    *configured.lock().unwrap() = url("second");
    load(&origin, &read, &[value("int4", "2")]).await.unwrap();
    commit(&origin, "SELECT 1 AS a").await;
    origin.identity().await.unwrap();
}

/// A session ends a moment after it was told to.
async fn until_error(
    origin: &PostgresOrigin,
    read: &corral_host::origin::ReadStatement,
) -> OriginError {
    loop {
        if let Err(error) = load(origin, read, &[value("int4", "1")]).await {
            return error;
        }
    }
}

fn through(way: &Forwarder) -> PostgresOrigin {
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", way.port());
    let options = OriginOptions { max_loads: 4, max_writes: 1, ..OriginOptions::default() };
    PostgresOrigin::connect(&url, &options).unwrap()
}
