//! Commits with an unknown outcome, and how the outcome becomes known.

use corral_host::origin::{
    CommitError, Origin, OriginError, OriginOptions, PostgresOrigin, Uncommitted, Xid,
};
use corral_tests::servers::{Signal, signal, until};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::kit::{AMPLE, SHORT, code, one, value, write};
use crate::proxy::{Meddling, Proxy, error};
use crate::server::{Server, run};

#[tokio::test]
async fn a_commit_that_waits_for_its_standby_is_in_doubt_until_others_can_see_it() {
    let (server, origin) = replicated().await;
    server.postgres().hold_commits().await.unwrap();
    let (xid, error) = hanging(&origin, 1).await;
    assert!(matches!(error, CommitError::InDoubt(OriginError::Timeout(SHORT))), "{error}");
    assert!(!origin.has_ended(xid).await.unwrap());
    assert_eq!(count(&mut server.admin().await).await, 0);
    server.postgres().release_commits().await.unwrap();
    until("it has ended", async || origin.has_ended(xid).await.unwrap()).await;
    assert_eq!(count(&mut server.admin().await).await, 1);
}

#[tokio::test]
async fn a_question_waits_for_no_write_and_no_read() {
    let (server, origin) = replicated().await;
    server.postgres().hold_commits().await.unwrap();
    let first = insert(&origin, 1).await;
    let second = insert(&origin, 2).await;
    // Both places for writes are taken by commits that hang, and the place for reads is taken too.
    let xid = first.xid.unwrap();
    let read = one("SELECT pg_sleep(60)", &[]);
    let questions = async {
        until("the commits hang", async || waiting(&mut server.admin().await).await == 2).await;
        assert!(!origin.has_ended(xid).await.unwrap());
        server.postgres().release_commits().await.unwrap();
        until("it has ended", async || origin.has_ended(xid).await.unwrap()).await;
    };
    tokio::select! {
        ((), committed, _) = async { tokio::join!(
            questions,
            first.transaction.commit(),
            second.transaction.commit(),
        ) } => committed.unwrap(),
        _ = origin.load(&read, &[], &[], AMPLE * 3) => unreachable!("it sleeps for a minute"),
    }
}

#[tokio::test]
async fn a_backend_that_is_ended_while_it_waits_for_its_standby_has_committed() {
    let (server, origin) = replicated().await;
    let mut admin = server.admin().await;
    server.postgres().hold_commits().await.unwrap();
    let written = insert(&origin, 1).await;
    let xid = written.xid.unwrap();
    let (committed, ()) = tokio::join!(written.transaction.commit(), async {
        until("the commit waits", async || waiting(&mut admin).await == 1).await;
        run(
            &mut admin,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                         WHERE wait_event = 'SyncRep'",
        )
        .await;
    });
    assert!(matches!(committed, Err(CommitError::InDoubt(_))), "{committed:?}");
    until("it has ended", async || origin.has_ended(xid).await.unwrap()).await;
    assert_eq!(count(&mut admin).await, 1);
}

#[tokio::test]
async fn no_error_that_may_be_a_poolers_says_that_nothing_was_written() {
    let (server, proxy, origin) = proxied().await;
    let lies = [
        (error("FATAL", "57P01"), false),
        (error("PANIC", "XX000"), false),
        (error("FATAL", "23505"), false),
        (error("ERROR", "57014"), true),
        (error("ERROR", "08006"), true),
        // An error that says that the transaction failed, but from a server that does not go on.
        (error("ERROR", "40001"), false),
        (Vec::new(), false),
    ];
    for (id, (told, goes_on)) in (1..).zip(lies) {
        proxy.meddle(Meddling::Lie { told: told.clone(), goes_on });
        let written = insert(&origin, id).await;
        let xid = written.xid.unwrap();
        let error = written.transaction.commit().await.unwrap_err();
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(matches!(error, CommitError::InDoubt(_)), "{told}: {error:?}");
        until("it has ended", async || origin.has_ended(xid).await.unwrap()).await;
        assert_eq!(count(&mut server.admin().await).await, id, "{told}");
    }
}

#[tokio::test]
async fn a_commit_that_never_arrived_has_ended_without_a_trace() {
    let (server, proxy, origin) = proxied().await;
    for told in [error("FATAL", "57P01"), Vec::new()] {
        proxy.meddle(Meddling::Swallow { told });
        let written = insert(&origin, 1).await;
        let xid = written.xid.unwrap();
        let error = written.transaction.commit().await.unwrap_err();
        assert!(matches!(error, CommitError::InDoubt(_)), "{error:?}");
        until("it has ended", async || origin.has_ended(xid).await.unwrap()).await;
        assert_eq!(count(&mut server.admin().await).await, 0);
    }
}

#[tokio::test]
async fn a_commit_that_was_answered_with_a_rollback_has_written_nothing() {
    let (server, proxy, origin) = proxied().await;
    proxy.meddle(Meddling::Instead("COMMIT", "ROLLBACK"));
    let error = insert(&origin, 1).await.transaction.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::RolledBack(_)), "{error:?}");
    assert_eq!(count(&mut server.admin().await).await, 0);
    insert(&origin, 1).await.transaction.commit().await.unwrap();
}

#[tokio::test]
async fn what_the_database_refuses_at_commit_was_not_written_and_its_connection_is_used_again() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    run(
        &mut admin,
        "CREATE TABLE t (id int8 PRIMARY KEY);
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'not on a Sunday'; END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.id = 13) EXECUTE FUNCTION refuse();
        CREATE TABLE child (id int8 REFERENCES t DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    let url = format!("{}?options=-c%20default_transaction_isolation%3Dserializable", server.url());
    let origin = connect(&url);
    let pid = write("SELECT pg_backend_pid() AS pid", &[]);
    let written = origin.execute(&pid, &[], &["pid".to_owned()], AMPLE).await.unwrap();
    written.transaction.commit().await.unwrap();
    let before = written.returned;
    for (sql, expected) in
        [("INSERT INTO child VALUES (99)", "23503"), ("INSERT INTO t VALUES (13)", "P0001")]
    {
        let written = origin.execute(&write(sql, &[]), &[], &[], AMPLE).await.unwrap();
        let refused = written.transaction.commit().await.unwrap_err();
        let CommitError::RolledBack(cause) = &refused else { panic!("{sql}: {refused:?}") };
        assert_eq!(code(cause), expected);
    }
    assert_eq!(
        origin.execute(&pid, &[], &["pid".to_owned()], AMPLE).await.unwrap().returned,
        before
    );
    // Each of them reads what the other one writes.
    let next = write("INSERT INTO t SELECT $1 + count(*) FROM t", &["int8"]);
    let first = origin.execute(&next, &[value("int8", "100")], &[], AMPLE).await.unwrap();
    let second = origin.execute(&next, &[value("int8", "200")], &[], AMPLE).await.unwrap();
    first.transaction.commit().await.unwrap();
    let refused = second.transaction.commit().await.unwrap_err();
    let CommitError::RolledBack(cause) = &refused else { panic!("{refused:?}") };
    assert_eq!(code(cause), "40001");
}

#[tokio::test]
async fn what_has_written_nothing_has_no_id_and_its_commit_is_confirmed() {
    let server = Server::shared().await;
    let origin = connect(&server.url());
    let written = origin.execute(&write("SELECT 1 AS a", &[]), &[], &[], AMPLE).await.unwrap();
    assert_eq!(written.xid, None);
    written.transaction.commit().await.unwrap();
}

#[tokio::test]
async fn an_id_has_ended_when_it_was_rolled_back_or_never_given_out() {
    let (_server, origin) = private().await;
    let xid = rolled_back(&origin, 1).await;
    for never in [0, xid.number + 1_000_000, u64::MAX].map(Xid::from) {
        assert!(origin.has_ended(never).await.unwrap(), "{never}");
    }
}

#[tokio::test]
async fn how_a_transaction_ended_is_said_within_the_life_of_its_server() {
    let (_server, origin) = private().await;
    let written = insert(&origin, 1).await;
    let committed = written.xid.unwrap();
    written.transaction.commit().await.unwrap();
    assert_eq!(origin.has_committed(committed).await.unwrap(), Some(true));
    let rolled_back = rolled_back(&origin, 2).await;
    assert_eq!(origin.has_committed(rolled_back).await.unwrap(), Some(false));
    // An intent carries only the transaction's number.
    let anonymous = Xid::from(committed.number);
    assert_eq!(origin.has_committed(anonymous).await.unwrap(), None);
}

#[tokio::test]
async fn an_id_that_a_server_gives_out_again_after_a_crash_is_not_the_one_that_was_lost() {
    for crash in [Crash::OfTheServer, Crash::OfABackend] {
        let (mut server, origin) = private().await;
        let log_writer = log_writer(&server).await.unwrap();
        signal(log_writer, Signal::Stop).unwrap();
        let lost = insert(&origin, 1).await;
        let xid = lost.xid.unwrap();
        match crash {
            Crash::OfTheServer => {
                server.stop().await;
                server.resume().await;
            }
            Crash::OfABackend => {
                signal(log_writer, Signal::Kill).unwrap();
                until("it has crashed and come back", async || {
                    self::log_writer(&server).await.is_ok_and(|now| now != log_writer)
                })
                .await;
            }
        }
        assert!(matches!(lost.transaction.commit().await, Err(CommitError::InDoubt(_))));
        assert_eq!(count(&mut server.admin().await).await, 0);
        until("its id is given out again", async || {
            let id = 2 + i64::try_from(xid.number).unwrap();
            let sql = format!("INSERT INTO t SELECT count(*) + {id} FROM t");
            run(&mut server.admin().await, &sql).await;
            let sql = format!("SELECT pg_visible_in_snapshot('{xid}', pg_current_snapshot())");
            sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_one(&mut server.admin().await)
                .await
                .unwrap()
        })
        .await;
        // The control: the server itself takes the new transaction for the old one.
        let sql = format!("SELECT pg_xact_status('{xid}')");
        let status: Option<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut server.admin().await)
            .await
            .unwrap();
        assert_eq!(status.as_deref(), Some("committed"));
        assert!(origin.has_ended(xid).await.unwrap());
        assert_eq!(origin.has_committed(xid).await.unwrap(), None, "{crash:?}");
    }
}

#[derive(Debug, Clone, Copy)]
enum Crash {
    OfTheServer,
    /// Of a backend: the postmaster survives, and ends all other backends.
    OfABackend,
}

/// The process that writes the log of transactions.
async fn log_writer(server: &Server) -> anyhow::Result<u32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'";
    let mut connection = server.postgres().connect().await?;
    let pid: i32 = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
    Ok(u32::try_from(pid)?)
}

#[tokio::test]
async fn a_standby_does_not_say_whether_a_transaction_has_ended() {
    let server = Server::standby().await;
    let origin = connect(&server.url());
    let error = origin.has_ended(Xid::from(3)).await.unwrap_err();
    assert!(matches!(&error, OriginError::Unavailable(m) if m.contains("standby")), "{error}");
}

async fn replicated() -> (Server, PostgresOrigin) {
    let server = Server::replicated().await;
    run(&mut server.admin().await, "CREATE TABLE t (id int8 PRIMARY KEY)").await;
    let origin = connect(&server.url());
    (server, origin)
}

async fn private() -> (Server, PostgresOrigin) {
    let server = Server::start().await;
    run(&mut server.admin().await, "CREATE TABLE t (id int8 PRIMARY KEY)").await;
    let origin = connect(&server.url());
    (server, origin)
}

/// An insert that is rolled back, after it was seen to be open.
async fn rolled_back(origin: &PostgresOrigin, id: i64) -> Xid {
    let written = insert(origin, id).await;
    let xid = written.xid.unwrap();
    assert!(!origin.has_ended(xid).await.unwrap(), "it is open");
    drop(written);
    until("it is rolled back", async || origin.has_ended(xid).await.unwrap()).await;
    xid
}

async fn proxied() -> (Server, Proxy, PostgresOrigin) {
    let server = Server::start().await;
    run(&mut server.admin().await, "CREATE TABLE t (id int8 PRIMARY KEY)").await;
    let proxy = Proxy::start(server.postgres().port()).await;
    let origin = connect(&proxy.url());
    (server, proxy, origin)
}

fn connect(url: &str) -> PostgresOrigin {
    let options =
        OriginOptions { max_loads: 1, max_writes: 2, deadline: AMPLE, ..OriginOptions::default() };
    PostgresOrigin::connect(url, &options).unwrap()
}

async fn insert(origin: &PostgresOrigin, id: i64) -> Uncommitted {
    let insert = write("INSERT INTO t VALUES ($1)", &["int8"]);
    origin.execute(&insert, &[value("int8", &id.to_string())], &[], AMPLE).await.unwrap()
}

/// An insert whose commit does not end within its time.
async fn hanging(origin: &PostgresOrigin, id: i64) -> (Xid, CommitError) {
    let insert = write("INSERT INTO t VALUES ($1)", &["int8"]);
    let written =
        origin.execute(&insert, &[value("int8", &id.to_string())], &[], SHORT).await.unwrap();
    (written.xid.unwrap(), written.transaction.commit().await.unwrap_err())
}

/// How many commits wait for a standby.
async fn waiting(admin: &mut PgConnection) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE wait_event = 'SyncRep' AND query LIKE 'COMMIT%'";
    sqlx::query_scalar(sql).fetch_one(admin).await.unwrap()
}

async fn count(admin: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(admin).await.unwrap()
}
