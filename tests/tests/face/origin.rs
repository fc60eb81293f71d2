//! Which side is to blame if the database refuses, and what is tried again before the refusal is
//! reported.

use corral_tests::servers::{Host, Postgres, eventually};
use futures_util::future::join_all;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::common::{SOON, post};

const SCHEMA: &str = "CREATE TABLE counters (id int8 PRIMARY KEY, n int8 NOT NULL CHECK (n >= 0));
    INSERT INTO counters VALUES (1, 0)";

/// Fails with any given code, since many codes are hard to provoke.
const FAILS: &str = "CREATE FUNCTION fail(code text) RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION USING ERRCODE = code, MESSAGE = 'made up'; END $$";

const ENTITIES: &str = r#"
[query]
enabled = true
deadline = "30s"

[entity.counter]
params = ["id:int8"]
read = "SELECT n FROM counters WHERE id = $1"
ttl = "1m"
deadline = "20s"

[entity.counter.write.add]
params = ["id:int8"]
sql = "UPDATE counters SET n = n + 1 WHERE id = $1"
touches = ["counter(id)"]

[entity.counter.write.set]
params = ["id:int8", "to:int8"]
sql = "UPDATE counters SET n = $2 WHERE id = $1"
touches = ["counter(id)"]

[entity.counter.write.divide]
params = ["id:int8", "by:int8"]
sql = "UPDATE counters SET n = n / $2 WHERE id = $1"
touches = ["counter(id)"]

[entity.counter.write.lost]
params = ["id:int8"]
sql = "UPDATE nowhere SET n = 1 WHERE id = $1"
touches = ["counter(id)"]

[entity.report]
read = "SELECT count(*) AS n FROM counters, pg_sleep(1)"
ttl = "1m"
deadline = "300ms"

[entity.counter.write.rest]
params = ["id:int8"]
sql = "UPDATE counters SET n = n + 1 WHERE id = $1 AND pg_sleep(0.5) IS NOT NULL"
touches = ["counter(id)"]

[entity.failing]
params = ["code:text"]
read = "SELECT n FROM counters WHERE $1 <> ''"
ttl = "1m"
deadline = "300ms"

[entity.failing.write.fail]
params = ["code:text"]
sql = "SELECT fail($1)"
touches = "nothing"

[entity.slow]
params = ["id:int8"]
read = "SELECT n FROM counters WHERE id = $1"
ttl = "1m"
deadline = "500ms"

[entity.slow.write.late]
params = ["id:int8"]
sql = "UPDATE counters SET n = 77 WHERE id = $1 AND pg_sleep(30) IS NOT NULL"
touches = ["slow(id)"]
"#;

async fn host(postgres: &Postgres, options: &str) -> Host {
    postgres.psql(SCHEMA).await.unwrap();
    postgres.psql(FAILS).await.unwrap();
    let url = format!("{}{options}", postgres.url());
    Host::start(&format!("[origin]\nurl = \"{url}\"\n{ENTITIES}")).await.unwrap()
}

#[tokio::test]
async fn writes_that_stand_in_each_others_way_are_tried_again() {
    let postgres = Postgres::start().await.unwrap();
    let host = host(&postgres, "?options[default_transaction_isolation]=serializable").await;
    let add = || async {
        let mut statuses = Vec::new();
        for _ in 0..10 {
            statuses.push(post(&host, "/write/counter/add", r#"{"id": 1}"#).await.status);
        }
        statuses
    };
    for statuses in join_all((0..6).map(|_| add())).await {
        assert!(statuses.iter().all(|status| *status == StatusCode::OK), "{statuses:?}");
    }
    let n = postgres.psql("SELECT n::text FROM counters WHERE id = 1").await.unwrap();
    assert_eq!(n, [[Some("60".to_owned())]]);
}

#[tokio::test]
async fn what_is_wrong_with_a_statement_is_no_fault_of_its_client() {
    let postgres = Postgres::start().await.unwrap();
    let host = host(&postgres, "").await;
    for (write, body, status, code) in [
        ("counter/lost", json!({"id": 1}), StatusCode::BAD_GATEWAY, "42P01"),
        ("counter/set", json!({"id": 1, "to": -1}), StatusCode::CONFLICT, "23514"),
        ("counter/divide", json!({"id": 1, "by": 0}), StatusCode::UNPROCESSABLE_ENTITY, "22012"),
    ] {
        let answer = post(&host, &format!("/write/{write}"), &body.to_string()).await;
        let problem: Value = answer.json().unwrap();
        assert_eq!((answer.status, &problem["code"]), (status, &json!(code)), "{problem}");
    }
    let answer = post(&host, "/write/slow/late", r#"{"id": 1}"#).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    let problem: Value = answer.json().unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("nothing was written"), "{problem}");
    let n = postgres.psql("SELECT n::text FROM counters WHERE id = 1").await.unwrap();
    assert_eq!(n, [[Some("0".to_owned())]], "and nothing was");
}

/// What each code of a database means for the client of a write: its status, its problem, the
/// codes.
const OF_WRITES: [(u16, &str, &str); 7] = [
    (503, "origin-busy", "40000 40001 40P01 55P03 25P02 25P03 72000"),
    (503, "origin-unavailable", "08006 53100 53200 53300 57P01 57P03 57P05 58030 HV00N 25006"),
    (504, "deadline", "57014 25P04"),
    (409, "conflict", "23505 44000"),
    (422, "write-rejected", "22012 21000 P0001 MYAPP"),
    (502, "statement-failed", "42P01 42501 53400 58P01 XX000 XX001 25001 55000 0A000 HV000 08P01"),
    (502, "statement-failed", "40002 26ABC"),
];

#[tokio::test]
async fn every_code_of_the_database_has_its_status_and_nothing_was_written() {
    let postgres = Postgres::start().await.unwrap();
    let host = host(&postgres, "").await;
    for (status, kind, codes) in OF_WRITES {
        for code in codes.split(' ') {
            let body = json!({"code": code}).to_string();
            let answer = post(&host, "/write/failing/fail", &body).await;
            let problem: Value = answer.json().unwrap();
            let expected = (status, json!(format!("urn:corral:problem:{kind}")));
            assert_eq!(
                (answer.status.as_u16(), problem["type"].clone()),
                expected,
                "{code}: {problem}"
            );
            assert!(problem.to_string().contains("nothing was written"), "{code}: {problem}");
            let may_pass = matches!(status, 503 | 504);
            assert_eq!(!answer.header("retry-after").is_empty(), may_pass, "{code}");
        }
    }
}

#[tokio::test]
async fn a_write_whose_host_was_held_up_for_too_long_is_written_once_all_the_same() {
    let postgres = Postgres::start().await.unwrap();
    let host = host(&postgres, "").await;
    let sessions = async |state: &str| {
        let sql = format!(
            "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE 'UPDATE counters%pg_sleep%' \
             AND state LIKE '{state}'"
        );
        postgres.psql(&sql).await.unwrap()[0][0].as_deref() != Some("0")
    };
    let write = post(&host, "/write/counter/rest", r#"{"id": 1}"#);
    let hold = async {
        let runs = || async { Ok(sessions("active").await.then_some(())) };
        eventually("the statement runs", SOON, runs).await.unwrap();
        host.stop().unwrap();
        // The session is idle after its statement, and the server ends it for that.
        let has_ended = || async { Ok((!sessions("%").await).then_some(())) };
        eventually("the server ends the transaction", SOON, has_ended).await.unwrap();
        host.cont().unwrap();
    };
    let (answer, ()) = tokio::join!(write, hold);
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.text());
    let n = postgres.psql("SELECT n::text FROM counters WHERE id = 1").await.unwrap();
    assert_eq!(n, [[Some("1".to_owned())]]);
}

#[tokio::test]
async fn a_query_with_too_few_values_is_the_clients_to_mend() {
    let postgres = Postgres::start().await.unwrap();
    let host = host(&postgres, "").await;
    let body = json!({"sql": "SELECT $1::int AS a, $2::int AS b", "params": [1]}).to_string();
    let answer = post(&host, "/query", &body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{:?}", answer.text());
    let answer = post(&host, "/query", r#"{"sql": "SELECT 1 AS a"}"#).await;
    assert_eq!(answer.json().unwrap(), json!([{"a": 1}]));
}

#[tokio::test]
async fn a_report_that_takes_longer_than_its_readers_wait_is_there_for_the_next_one() {
    let postgres = Postgres::start().await.unwrap();
    let host = host(&postgres, "").await;
    let mut late = 0;
    let answer = loop {
        let answer = host.get("/read/report").await.unwrap();
        if answer.status == StatusCode::OK {
            break answer;
        }
        let problem: Value = answer.json().unwrap();
        assert_eq!(problem["type"], "urn:corral:problem:deadline", "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("load_limit"), "{problem}");
        late += 1;
    };
    assert!(late > 0, "it takes longer than its readers wait");
    assert_eq!(answer.json().unwrap(), json!({"n": 1}));
    assert_eq!(host.metrics().await.unwrap().sum("corral_origin_loads_total"), 1.0);
}
