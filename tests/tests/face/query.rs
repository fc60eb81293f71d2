//! Ad-hoc queries: off unless enabled, and unable to write or to leave something behind in a
//! session.

use corral_tests::servers::Host;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::access::File;
use super::common::{PATIENT_STORE, Servers, ask, get, post, status_parameter};

/// One read session, so that every statement would meet what the one before left; and one deadline,
/// so that reads run in the session without a transaction of their own.
const ONE_SESSION: &str = r#"
[query]
enabled = true
max_loads = 1
deadline = "2s"

[entity."session.state"]
params = ["nonce:text"]
read = "SELECT $1 AS nonce, current_setting('search_path') AS path"
ttl = "1m"

[entity."session.spoil"]
read = "SELECT set_config('search_path', 'elsewhere', false) AS path"
ttl = "1m"
"#;

/// The state of its session that a query sees.
const STATE: &str = "SELECT $1 AS nonce, pg_backend_pid() AS pid, current_setting('default_transaction_read_only') AS read_only, current_setting('statement_timeout') AS timeout, current_setting('search_path') AS path, current_setting('role') AS role, (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks, (SELECT count(*) FROM pg_prepared_statements) < 3 AS tidy";

#[tokio::test]
async fn a_query_is_cached_under_a_hashed_key() {
    let servers = Servers::shared().await;
    let host = servers.host("[query]\nenabled = true\n").await;
    let body = json!({"sql": "SELECT id, name FROM users WHERE id = $1 AND name <> $2;",
                      "params": [15, "x"], "tags": ["user:15"], "ttl": "30s"})
    .to_string();
    let expected = json!([{"id": 15, "name": "User 15"}]);
    let miss = post(&host, "/query", &body).await;
    assert_eq!((miss.status, miss.json().unwrap()), (StatusCode::OK, expected.clone()));
    assert_eq!(status_parameter(&miss, "fwd"), Some("miss"));
    let key = status_parameter(&miss, "key").unwrap().to_owned();
    assert!(key.starts_with("\"v1:~query:~") && !key.contains("users"), "{key}");
    let ttl: i64 = status_parameter(&miss, "ttl").unwrap().parse().unwrap();
    assert!((23..=36).contains(&ttl), "30s with a jitter of 20 %: {ttl}");

    let hit = post(&host, "/query", &body).await;
    assert_eq!((hit.is_hit(), hit.json().unwrap()), (true, expected.clone()));
    assert_eq!(status_parameter(&hit, "key"), Some(key.as_str()));
    let other = post(&host, "/query", &body.replace("[15,", "[16,")).await;
    assert_eq!(other.json().unwrap(), json!([{"id": 16, "name": "User 16"}]));

    let write = r#"{"id": 15, "name": "Joan", "email": "joan@example.com"}"#;
    post(&host, "/write/user.profile/rename", write).await;
    let fresh = post(&host, "/query", &body).await;
    assert_eq!(fresh.json().unwrap(), json!([{"id": 15, "name": "Joan"}]));
}

#[tokio::test]
async fn queries_that_differ_in_anything_that_was_asked_for_have_answers_of_their_own() {
    let servers = Servers::shared().await;
    let host = servers.host("[query]\nenabled = true\n").await;
    let types = "SELECT $1 AS v, pg_typeof($1)::text AS type";
    let mut keys = Vec::new();
    for (value, ty) in
        [(json!(1), "bigint"), (json!("1"), "text"), (json!(1.0), "double precision")]
    {
        let body = json!({"sql": types, "params": [value]}).to_string();
        let answer = post(&host, "/query", &body).await;
        assert_eq!(answer.json().unwrap()[0]["type"], ty, "{body}");
        keys.push(status_parameter(&answer, "key").unwrap().to_owned());
    }
    for (ttl, tags) in
        [("1m", json!([])), ("2m", json!([])), ("1m", json!(["a"])), ("1m", json!(["b"]))]
    {
        let body = json!({"sql": "SELECT 1 AS one", "tags": tags, "ttl": ttl}).to_string();
        let answer = post(&host, "/query", &body).await;
        assert!(!answer.is_hit(), "{body}");
        keys.push(status_parameter(&answer, "key").unwrap().to_owned());
        assert!(post(&host, "/query", &body).await.is_hit(), "{body}");
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 7, "{keys:?}");
}

#[tokio::test]
async fn no_query_writes_and_none_changes_the_session_for_the_next() {
    let servers = Servers::shared().await;
    let config = format!(
        "{PATIENT_STORE}url = \"{}\"\n[origin]\nurl = \"{}\"\nmax_loads = 1\n{ONE_SESSION}",
        servers.new_store().unwrap(),
        servers.origin_url()
    );
    let host = Host::start(&config).await.unwrap();
    let before = state(&host, "before").await;
    assert_eq!(before["read_only"], "on");
    let names = "SELECT count(*) FROM users WHERE name = 'scribbled'";

    // The query, and the expected result: rows, or the SQLSTATE of the refusal.
    for (sql, expected) in [
        ("SELECT set_config('default_transaction_read_only', 'off', false) AS v", Ok("off")),
        ("SELECT scribble() AS v", Err("25006")),
        ("SELECT nextval('tickets') AS v", Err("25006")),
        ("SELECT set_config('transaction_read_only', 'off', true) AS v", Err("25001")),
        ("SELECT set_config('transaction_read_only', 'off', true), scribble() AS v", Err("25001")),
        ("SELECT set_config('statement_timeout', '0', false) AS v", Ok("0")),
        ("SELECT set_config('search_path', 'elsewhere', false) AS v", Ok("elsewhere")),
        ("SELECT set_config('role', 'pg_monitor', false) AS v", Ok("pg_monitor")),
        ("SELECT pg_advisory_lock(7)::text AS v", Ok("")),
        ("UPDATE users SET name = 'scribbled'", Err("42601")),
        (
            "WITH w AS (UPDATE users SET name = 'scribbled' RETURNING id) SELECT 1 FROM w",
            Err("0A000"),
        ),
        ("SELECT 1; UPDATE users SET name = 'scribbled'", Err("42601")),
        ("SELECT 1) AS _corral; UPDATE users SET name = 'scribbled'; --", Err("42601")),
        ("SELECT 1 /*", Err("42601")),
        ("SELECT * FROM users FOR UPDATE", Err("25006")),
        ("SELECT 1 / 0", Err("22012")),
        ("COMMIT", Err("42601")),
        ("", Err("42601")),
    ] {
        let answer = post(&host, "/query", &json!({ "sql": sql }).to_string()).await;
        let document = answer.json().unwrap();
        match expected {
            Ok(value) => assert_eq!(document[0]["v"], value, "{sql}: {document}"),
            Err(code) => {
                assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{sql}: {document}");
                assert_eq!(document["code"], code, "{sql}: {document}");
            }
        }
        let mut after = state(&host, sql).await;
        // After a statement that may leave something behind the host closes the connection, and a
        // new one takes time.
        for changing in ["nonce", "pid", "timeout"] {
            after[changing] = before[changing].clone();
        }
        assert_eq!(after, before, "the session after {sql}");
    }
    let rows = servers.postgres.psql(names).await.unwrap();
    assert_eq!(rows, [[Some("0".to_owned())]]);
    // The control: the function writes if it may.
    servers.postgres.psql("BEGIN; SELECT scribble(); ROLLBACK").await.unwrap();
    // A statement of the configuration does not change the session either.
    get(&host, "/read/session.spoil").await;
    let spoilt = get(&host, "/read/session.state?nonce=spoilt").await.json().unwrap();
    assert_eq!(spoilt["path"], before["path"]);
}

#[tokio::test]
async fn a_query_ends_by_its_deadline_and_frees_its_session() {
    let servers = Servers::shared().await;
    let config = format!(
        "[origin]\nurl = \"{}\"\nmax_loads = 1\n{}",
        servers.origin_url(),
        ONE_SESSION.replace("\"2s\"", "\"300ms\"")
    );
    let host = Host::start(&config).await.unwrap();
    let endless = json!({"sql": "SELECT set_config('statement_timeout', '0', true), pg_sleep(60)"});
    let late = post(&host, "/query", &endless.to_string()).await;
    assert_eq!(late.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(state(&host, "after").await["read_only"], "on");
}

#[tokio::test]
async fn a_query_is_refused_where_they_are_off_or_it_is_malformed() {
    let servers = Servers::shared().await;
    let off = servers.host("").await;
    let refused = post(&off, "/query", r#"{"sql": "SELECT 1"}"#).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let expected = r#"{"type":"urn:corral:problem:not-allowed","title":"This is not allowed here","status":403,"detail":"ad-hoc queries are off (query.enabled)"}"#;
    assert_eq!(refused.text().unwrap(), expected);

    let on = servers.host("[query]\nenabled = true\n").await;
    for (body, parameter) in [
        (json!({"sql": "SELECT 1", "ttl": "soon"}), "ttl"),
        (json!({"sql": "SELECT 1", "ttl": "0s"}), "ttl"),
        (json!({"sql": "SELECT 1", "tags": ["a b", ""]}), "tags[1]"),
        (json!({"sql": "SELECT $1::text", "params": ["a\0b"]}), "params[0]"),
        (json!({"sql": "SELECT '\0'"}), "sql"),
    ] {
        let answer = post(&on, "/query", &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.json().unwrap()["parameters"][0]["parameter"], parameter, "{body}");
    }
    let get = ask(&on, "GET /query", &[], "").await;
    assert_eq!((get.status, get.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
}

#[tokio::test]
async fn no_duration_that_a_client_can_write_ends_a_request_without_an_answer() {
    let host = Servers::shared().await.host("[query]\nenabled = true\n").await;
    for ttl in [
        "18446744073709551615s 1000000000ns",
        "18446744073709551615s",
        "18446744073709551616s",
        "584554530872y 364d",
        "99999999999y",
        "9999999999999999999999999999999999999999s",
        "1s 99999999999999999999ns",
        "-1s",
        "1e9s",
        "",
        "0",
        "2h",
        "31days",
    ] {
        let body = json!({"sql": "SELECT 1 AS one", "ttl": ttl}).to_string();
        let answer = post(&host, "/query", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{ttl:?}");
        assert_eq!(answer.json().unwrap()["parameters"][0]["parameter"], "ttl", "{ttl:?}");
    }
    // The control: the longest ttl that may be asked for.
    let body = json!({"sql": "SELECT 1 AS one", "ttl": "1h"}).to_string();
    assert_eq!(post(&host, "/query", &body).await.status, StatusCode::OK);
    assert!(!host.log().contains("panicked"), "{}", host.log());
}

#[tokio::test]
async fn queries_of_whoever_comes_are_refused_beyond_loopback() {
    let base = format!("[origin]\nurl = \"{}\"\n", Servers::shared().await.postgres.url());
    for access in ["open = true", "write = \"w\""] {
        let config =
            format!("listen = \"0.0.0.0:1\"\n[access]\n{access}\n{base}[query]\nenabled = true\n");
        for command in ["serve", "check"] {
            let output = File::new(&config).run(command).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{command}: {said}");
            assert!(said.contains("query.enabled: 0.0.0.0:1 is not loopback"), "{said}");
            assert!(said.contains("set access.read"), "{said}");
        }
    }
    // The control: with a token for readers, such a configuration is accepted.
    let config = format!(
        "listen = \"0.0.0.0:0\"\n[access]\nwrite = \"w\"\nread = \"r\"\n{base}[query]\nenabled = true\n"
    );
    let output = File::new(&config).run("check").await;
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn queries_have_a_role_connections_and_limits_of_their_own() {
    let servers = Servers::shared().await;
    let role = "CREATE ROLE reporter LOGIN; GRANT SELECT ON users TO reporter;";
    servers.postgres.psql(role).await.unwrap();
    let query = format!(
        "[query]\nenabled = true\nurl = \"{}\"\nmax_loads = 1\nmax_bytes = \"1KiB\"\n",
        servers.postgres.url().replace("postgres@", "reporter@")
    );
    let config = servers.config("", &query);
    let host =
        Host::start(&config.replace("[origin]\n", "[origin]\nmax_loads = 1\n")).await.unwrap();
    let ask = async |sql: &str| post(&host, "/query", &json!({ "sql": sql }).to_string()).await;
    let who = ask("SELECT current_user::text AS name").await;
    assert_eq!(who.json().unwrap(), json!([{"name": "reporter"}]));
    let orders = ask("SELECT count(*) FROM orders").await;
    assert_eq!(orders.json().unwrap()["code"], "42501", "the control: this role may not");
    let large = ask("SELECT repeat('x', 2000) AS text").await;
    assert_eq!(large.status, StatusCode::UNPROCESSABLE_ENTITY);
    let problem = large.json().unwrap();
    assert_eq!(problem["type"], "urn:corral:problem:answer-too-large");
    assert!(problem["detail"].as_str().unwrap().contains("query.max_bytes"), "{problem}");
    // The only place for queries is taken, and the place for entities is free.
    let slow = ask("SELECT pg_sleep(1.5)::text AS text");
    let meanwhile = async {
        let running =
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reporter' AND state = 'active'";
        corral_tests::servers::eventually("the query runs", super::common::SOON, || async {
            let rows = servers.postgres.psql(running).await?;
            Ok((rows == [[Some("1".to_owned())]]).then_some(()))
        })
        .await
        .unwrap();
        let read = get(&host, "/read/user.profile?id=61").await;
        assert_eq!(read.status, StatusCode::OK, "{read:?}");
        let rows = servers.postgres.psql(running).await.unwrap();
        assert_eq!(rows, [[Some("1".to_owned())]], "the query still runs");
    };
    let (slow, ()) = tokio::join!(slow, meanwhile);
    assert_eq!(slow.status, StatusCode::OK, "{slow:?}");
}

/// The state of the host's one session for queries.
async fn state(host: &Host, nonce: &str) -> Value {
    let body = json!({"sql": STATE, "params": [nonce]}).to_string();
    let answer = post(host, "/query", &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert!(!answer.is_hit());
    answer.json().unwrap()[0].clone()
}
