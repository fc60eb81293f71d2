//! Through `PgBouncer`, which lends its connections by transaction: the origin expects nothing of a
//! session, and leaves nothing in it.

use std::sync::Arc;

use corral_host::origin::{CurrentUrl, Origin, OriginOptions, Pooler, PostgresOrigin, Xid};
use corral_tests::servers::{PgBouncer, until};
use tokio::task::JoinSet;

use crate::kit::{
    AMPLE, SHORT, code, commit, json, load, load_within, many, names, one, text, texts, value,
    write,
};
use crate::proxy::Proxy;
use crate::server::{Server, lent, run};

/// Fewer than the clients, so that a connection goes from one client to another.
const LENT: u16 = 3;

/// How `PgBouncer` treats parameters that it does not know: Debian's configuration refuses them;
/// with this setting it drops them silently.
const MANNERS: [&[&str]; 2] = [&[], &["ignore_startup_parameters = extra_float_digits,options"]];

#[tokio::test]
async fn reads_writes_queries_and_checks_go_through_while_tables_change() {
    for manner in MANNERS {
        let server = Server::start().await;
        let pooler = PgBouncer::start(server.postgres().port(), LENT, manner).await.unwrap();
        run(&mut server.admin().await, TABLE).await;
        let origin = Arc::new(PostgresOrigin::connect(&pooler.url(), &busy()).unwrap());
        let mut work = JoinSet::new();
        for worker in 0..12 {
            let origin = Arc::clone(&origin);
            work.spawn(async move { work_on(&origin, worker).await });
        }
        let mut admin = server.admin().await;
        for round in 0..10 {
            let ty = if round % 2 == 0 { "bigint" } else { "int" };
            run(&mut admin, &format!("ALTER TABLE t ALTER COLUMN n TYPE {ty}")).await;
            run(&mut admin, &format!("ALTER TABLE t ADD COLUMN c{round} text DEFAULT 'x'")).await;
        }
        let failures: Vec<String> = work.join_all().await.into_iter().flatten().collect();
        assert!(failures.is_empty(), "{manner:?}: {} {:?}", failures.len(), failures.first());
    }
}

const TABLE: &str = "CREATE TABLE t (id int8 PRIMARY KEY, n int, name text);
    INSERT INTO t SELECT i, 0, 'x' FROM generate_series(0, 99) AS i";

/// Does everything that a host does, in turn; returns what failed.
async fn work_on(origin: &PostgresOrigin, worker: i64) -> Vec<String> {
    let mut failures = Vec::new();
    let by_id = one("SELECT * FROM t WHERE id = $1", &["int8"]);
    let update = write("UPDATE t SET n = n + 1 WHERE id = $1 RETURNING id, n, name", &["int8"]);
    for round in 0..40 {
        let id = [value("int8", &(worker + 12 * (round % 8)).to_string())];
        let mut note = |what: &str, error: String| failures.push(format!("{what}: {error}"));
        let columns = names(&["n", "name"]);
        match origin.load(&by_id, &id, &columns, AMPLE).await {
            Ok(fetched) if fetched.rows.len() == 1 => {}
            other => note("load", format!("{other:?}")),
        }
        let adhoc = one(&format!("SELECT n + {round} AS n FROM t WHERE id = $1"), &["int8"]);
        if let Err(error) = origin.query(&adhoc, &id, AMPLE).await {
            note("query", error.to_string());
        }
        match origin.execute(&update, &id, &columns, AMPLE).await {
            Ok(written) => {
                let xid = written.xid.unwrap();
                if let Err(error) = written.transaction.commit().await {
                    note("commit", error.to_string());
                }
                if !matches!(origin.has_ended(xid).await, Ok(true)) {
                    note("has ended", "no".to_owned());
                }
            }
            Err(error) => note("write", error.to_string()),
        }
        if round % 10 == 0 {
            for prepared in [origin.prepare_read(&by_id).await, origin.prepare_write(&update).await]
            {
                match prepared {
                    Ok(prepared) if prepared.complaints.is_empty() => {}
                    other => note("check", format!("{other:?}")),
                }
            }
            if let Err(error) = origin.reads_from(&by_id).await {
                note("footprint", error.to_string());
            }
            if let Err(error) = origin.changes(&update).await {
                note("changes", error.to_string());
            }
            if let Err(error) = origin.ping().await {
                note("ping", error.to_string());
            }
        }
    }
    failures
}

#[tokio::test]
async fn a_read_can_not_write_and_a_slow_one_is_cut() {
    for manner in MANNERS {
        let server = Server::start().await;
        let pooler = PgBouncer::start(server.postgres().port(), LENT, manner).await.unwrap();
        run(&mut server.admin().await, "CREATE SEQUENCE s").await;
        let origin = PostgresOrigin::connect(&pooler.url(), &OriginOptions::default()).unwrap();
        let read = one("SELECT nextval('s') AS n", &[]);
        for deadline in [OriginOptions::default().deadline, AMPLE] {
            let error = load_within(&origin, &read, &[], deadline).await.unwrap_err();
            assert_eq!(code(&error), "25006", "{error}");
            let error = origin.query(&read, &[], deadline).await.unwrap_err();
            assert_eq!(code(&error), "25006", "{error}");
        }
        let slow = one("SELECT pg_sleep(3600)::text AS s", &[]);
        let error = load_within(&origin, &slow, &[], SHORT).await.unwrap_err();
        assert_eq!(code(&error), "timeout", "{error}");
        let slow = write("SELECT pg_sleep(3600)", &[]);
        let error = origin.execute(&slow, &[], &[], SHORT).await.err().unwrap();
        assert_eq!(code(&error), "timeout", "{error}");
        let mut admin = server.admin().await;
        until("the database has ended them too", async || {
            let sql = "SELECT count(*) FROM pg_stat_activity \
                       WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()";
            let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut admin).await.unwrap();
            count == 0
        })
        .await;
    }
}

/// The moments at which questions hang: when a session begins, and when it is asked which database
/// it has and whether a transaction has ended.
#[tokio::test]
async fn a_question_that_hangs_is_cut_in_the_database_too() {
    let server = Server::start().await;
    let pooler = PgBouncer::start(server.postgres().port(), LENT, &[]).await.unwrap();
    let mut admin = server.admin().await;
    run(
        &mut admin,
        "CREATE ROLE reader LOGIN; CREATE SCHEMA slow; GRANT USAGE ON SCHEMA slow TO reader;
         CREATE FUNCTION slow.pg_is_in_recovery() RETURNS bool LANGUAGE sql
            AS 'SELECT pg_catalog.pg_sleep(3600) IS NULL'",
    )
    .await;
    let url = pooler.url().replace("postgres@", "reader@");
    let options = || OriginOptions { deadline: SHORT, ..OriginOptions::default() };
    let begun = PostgresOrigin::connect(&url, &options()).unwrap();
    begun.ping().await.unwrap();
    run(&mut admin, "ALTER ROLE reader SET search_path = slow, pg_catalog").await;
    pooler.admin("RECONNECT").await.unwrap();
    begun.identity().await.unwrap_err();
    begun.has_ended(Xid::from(3)).await.unwrap_err();
    let begins = PostgresOrigin::connect(&url, &options()).unwrap();
    begins.ping().await.unwrap_err();
    until("the database has ended them too", async || {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND state = 'active'";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut admin).await.unwrap() == 0
    })
    .await;
}

#[tokio::test]
async fn a_value_is_spelled_as_without_a_pooler_whatever_the_role_prefers() {
    for manner in MANNERS {
        let server = Server::start().await;
        let pooler = PgBouncer::start(server.postgres().port(), LENT, manner).await.unwrap();
        run(
            &mut server.admin().await,
            "CREATE ROLE reader LOGIN; CREATE SCHEMA apart; GRANT USAGE ON SCHEMA apart TO reader;
             CREATE TABLE apart.there (n int); INSERT INTO apart.there VALUES (7);
             GRANT SELECT ON apart.there TO reader;
             ALTER ROLE reader SET intervalstyle = 'iso_8601';
             ALTER ROLE reader SET timezone = 'Asia/Tokyo';
             ALTER ROLE reader SET datestyle = 'German';
             ALTER ROLE reader SET bytea_output = 'escape';
             ALTER ROLE reader SET extra_float_digits = -5;
             ALTER ROLE reader SET statement_timeout = '1h'",
        )
        .await;
        let url = |port: u16| {
            format!(
                "postgres://reader@127.0.0.1:{port}/postgres?options=-c%20search_path%3Dapart%20--work_mem=1234kB"
            )
        };
        let read = one(
            "SELECT '1 day 2 hours'::interval AS i, '2026-01-02 03:04:05Z'::timestamptz AS t,
                    '2026-01-02'::date::text AS d, '\\x00ff'::bytea AS b, 0.1::float8 + 0.2 AS f,
                    (SELECT n FROM there) AS n, current_setting('work_mem') AS w",
            &[],
        );
        let direct =
            PostgresOrigin::connect(&url(server.postgres().port()), &OriginOptions::default());
        let expected = json(&direct.unwrap(), &read, &[]).await;
        assert_eq!(expected["i"], "1 day 02:00:00");
        assert_eq!(expected["w"], "1234kB");
        let pooled =
            PostgresOrigin::connect(&url(pooler.port()), &OriginOptions::default()).unwrap();
        assert_eq!(json(&pooled, &read, &[]).await, expected);
        let sql = "SELECT '1 day 2 hours'::interval::text AS i, n FROM there";
        let written =
            pooled.execute(&write(sql, &[]), &[], &names(&["i", "n"]), AMPLE).await.unwrap();
        assert_eq!(written.returned, [texts(&["1 day 02:00:00", "7"])]);
    }
}

#[tokio::test]
async fn nothing_stays_in_a_session_that_others_use_next() {
    let server = Server::start().await;
    let pooler = PgBouncer::start(server.postgres().port(), 1, &[]).await.unwrap();
    run(&mut server.admin().await, TABLE).await;
    let origin = PostgresOrigin::connect(&pooler.url(), &OriginOptions::default()).unwrap();
    assert!(work_on(&origin, 0).await.is_empty());
    // The next client gets the same connection, the only one.
    let mut other = lent(&pooler.url()).await;
    run(&mut other, "BEGIN").await;
    let settings = "SELECT count(*) FILTER (WHERE source = 'session' AND name NOT IN
            ('application_name', 'client_encoding', 'TimeZone', 'DateStyle', 'standard_conforming_strings')),
        (SELECT count(*) FROM pg_prepared_statements),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')
        FROM pg_settings";
    let left: (i64, i64, i64) =
        sqlx::query_as(settings).persistent(false).fetch_one(&mut other).await.unwrap();
    assert_eq!(left, (0, 0, 0), "settings, statements, locks");
}

#[tokio::test]
async fn statements_that_others_left_in_a_session_are_no_obstacle() {
    let server = Server::start().await;
    let pooler = PgBouncer::start(server.postgres().port(), 1, &[]).await.unwrap();
    run(&mut server.admin().await, TABLE).await;
    let left: String =
        (1..9).map(|n| format!("PREPARE sqlx_s_{n} AS SELECT {n} AS wrong;")).collect();
    run(&mut lent(&pooler.url()).await, &left).await;
    let origin = PostgresOrigin::connect(&pooler.url(), &OriginOptions::default()).unwrap();
    assert_eq!(work_on(&origin, 0).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_pooler_is_noticed_and_its_absence_too() {
    let server = Server::shared().await;
    let kept = many("SELECT name FROM pg_prepared_statements", &[]);
    // The session that asks is one of them itself.
    for (pooler, expected) in [(Pooler::Auto, 1), (Pooler::Transaction, 0)] {
        let options = OriginOptions { pooler, ..OriginOptions::default() };
        let origin = PostgresOrigin::connect(&server.url(), &options).unwrap();
        assert_eq!(json(&origin, &kept, &[]).await.as_array().unwrap().len(), expected);
    }
}

#[tokio::test]
async fn a_password_that_the_pooler_refuses_is_read_where_it_is_configured() {
    let server = Server::shared().await;
    run(&mut server.admin().await, "CREATE ROLE rotated LOGIN").await;
    let (port, asked) = (server.postgres().port(), ("rotated", "second"));
    let pooler = PgBouncer::start_guarded(port, 1, asked).await.unwrap();
    let url = |password: &str| pooler.url().replace("postgres@", &format!("rotated:{password}@"));
    for (configured, is_right) in [("second", true), ("third", false)] {
        let configured = url(configured);
        let again = Some(CurrentUrl::new(move || Some(configured.clone())));
        let options = OriginOptions { again, ..OriginOptions::default() };
        let origin = PostgresOrigin::connect(&url("first"), &options).unwrap();
        let read = load(&origin, &one("SELECT 1 AS a", &[]), &[]).await;
        assert_eq!(read.is_ok(), is_right, "{read:?}");
    }
}

#[tokio::test]
async fn another_server_behind_the_pooler_is_noticed_within_a_second() {
    let (first, second) = (Server::start().await, Server::standby().await);
    // Both have the same data, but from now on different histories.
    run(&mut second.admin().await, "SELECT pg_promote()").await;
    let proxy = Proxy::start(first.postgres().port()).await;
    let pooler = PgBouncer::start(proxy.port(), 1, &[]).await.unwrap();
    let origin = PostgresOrigin::connect(&pooler.url(), &OriginOptions::default()).unwrap();
    let read = one("SELECT 1 AS a", &[]);
    assert_eq!(text(&origin, &read, &[]).await, r#"{"a":1}"#);
    let before = origin.last_identity().unwrap();
    proxy.point_to(second.postgres().port());
    // The host's own connections stay as they are.
    pooler.admin("RECONNECT").await.unwrap();
    // There are only reads, and one of them notices the change.
    until("reads bring the news", async || {
        let _ = load(&origin, &read, &[]).await;
        origin.last_identity() != Some(before)
    })
    .await;
    // A write works at once.
    assert_eq!(commit(&origin, "CREATE TABLE w (n int)").await, 0);
}

fn busy() -> OriginOptions {
    OriginOptions { max_loads: 8, max_writes: 8, deadline: AMPLE, ..OriginOptions::default() }
}
