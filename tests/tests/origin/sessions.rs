//! What a read does to its session is gone before the next read.

use corral_host::origin::{OriginOptions, PostgresOrigin};
use corral_tests::servers::until;
use serde_json::{Value as Json, json};
use sqlx::PgConnection;

use crate::kit::{AMPLE, json, load, load_within, one, value};
use crate::server::{Server, connection, run};

/// Settings of a session that a read can change.
const SETTINGS: [(&str, &str); 7] = [
    ("timezone", "Asia/Tokyo"),
    ("search_path", "nowhere"),
    ("role", "pg_monitor"),
    ("statement_timeout", "1234567ms"),
    ("default_transaction_read_only", "off"),
    ("datestyle", "German, DMY"),
    ("corral_test.own", "leaked"),
];

/// Every setting that a read can see.
const SEEN: &str = "SELECT current_setting('timezone') AS a, current_setting('search_path') AS b,
    current_setting('role') AS c, current_setting('default_transaction_read_only') AS d,
    current_setting('datestyle') AS e, current_setting('corral_test.own', true) AS f";

#[tokio::test]
async fn a_setting_that_a_read_makes_is_its_own() {
    let server = Server::shared().await;
    let origin = single(&server.url());
    let before = json(&origin, &one(SEEN, &[]), &[]).await;
    for (name, to) in SETTINGS {
        for local in [true, false] {
            let sql = format!("SELECT set_config('{name}', '{to}', {local}) AS made");
            assert_eq!(json(&origin, &one(&sql, &[]), &[]).await, json!({"made": to}));
            assert_eq!(json(&origin, &one(SEEN, &[]), &[]).await, before, "{sql}");
        }
    }
}

#[tokio::test]
async fn a_setting_is_taken_back_when_the_read_fails_too() {
    let server = Server::shared().await;
    let origin = single(&server.url());
    let before = json(&origin, &one(SEEN, &[]), &[]).await;
    for (name, to) in SETTINGS {
        let sql = format!(
            "SELECT set_config('{name}', '{to}', false) AS made, 1 / ($1 * (random() + 1)::int4) AS never"
        );
        let zero = [value("int4", "0")];
        load(&origin, &one(&sql, &["int4"]), &zero).await.unwrap_err();
        assert_eq!(json(&origin, &one(SEEN, &[]), &[]).await, before, "{sql}");
    }
}

#[tokio::test]
async fn a_setting_that_a_function_makes_is_taken_back() {
    let server = Server::shared().await;
    let url = server.schema("hiding").await;
    let hide = "CREATE FUNCTION quiet() RETURNS int LANGUAGE plpgsql STABLE AS $$
        BEGIN PERFORM set_config('timezone', 'Asia/Tokyo', false); RETURN 1; END $$";
    run(&mut connection(&url).await, hide).await;
    let origin = single(&url);
    let before = json(&origin, &one(SEEN, &[]), &[]).await;
    assert_eq!(json(&origin, &one("SELECT quiet() AS q", &[]), &[]).await, json!({"q": 1}));
    assert_eq!(json(&origin, &one(SEEN, &[]), &[]).await, before);
}

#[tokio::test]
async fn a_lock_that_a_read_takes_is_free_after_it() {
    let server = Server::shared().await;
    let mut admin = server.admin().await;
    let origin = single(&server.url());
    for sql in [
        "SELECT pg_advisory_lock(7) AS l",
        "SELECT pg_advisory_lock(7) AS l, 1 / ($1 * (random() + 1)::int4) AS n",
    ] {
        let types: &[&str] = if sql.contains("$1") { &["int4"] } else { &[] };
        let values: Vec<_> = types.iter().map(|ty| value(ty, "0")).collect();
        let _ = load(&origin, &one(sql, types), &values).await;
        until("the lock is free", async || is_free(&mut admin).await).await;
    }
}

#[tokio::test]
async fn the_numbers_that_a_read_seeds_are_nobody_elses() {
    let server = Server::shared().await;
    let origin = single(&server.url());
    let seeded = one("SELECT setseed(0.5)::text AS s, random() AS r", &[]);
    let next = one("SELECT random() AS r", &[]);
    let mut seen = Vec::new();
    for _ in 0..2 {
        json(&origin, &seeded, &[]).await;
        seen.push(json(&origin, &next, &[]).await);
    }
    assert_ne!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_read_that_leaves_nothing_uses_the_connection_of_the_one_before() {
    let server = Server::shared().await;
    let origin = single(&server.url());
    let pid = one("SELECT pg_backend_pid() AS pid", &[]);
    let first: Json = json(&origin, &pid, &[]).await;
    for deadline in [OriginOptions::default().deadline, AMPLE] {
        let body = load_within(&origin, &pid, &[], deadline).await.unwrap().unwrap();
        assert_eq!(serde_json::from_slice::<Json>(&body).unwrap(), first);
    }
}

async fn is_free(admin: &mut PgConnection) -> bool {
    let sql = "SELECT pg_try_advisory_lock(7) AND pg_advisory_unlock(7)";
    sqlx::query_scalar(sql).fetch_one(admin).await.unwrap()
}

fn single(url: &str) -> PostgresOrigin {
    let options = OriginOptions { max_loads: 1, max_writes: 1, ..OriginOptions::default() };
    PostgresOrigin::connect(url, &options).unwrap()
}
