//! Whose fault it is when the database says no, and what is tried again before that is said.

use corral_tests::servers::{Host, Postgres};
use futures_util::future::join_all;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::common::post;

const SCHEMA: &str = "CREATE TABLE counters (id int8 PRIMARY KEY, n int8 NOT NULL CHECK (n >= 0));
    INSERT INTO counters VALUES (1, 0)";

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
async fn of_a_row_that_is_too_large_no_more_is_held_than_shows_it() {
    let postgres = Postgres::start().await.unwrap();
    let host = host(&postgres, "").await;
    let sql = "SELECT repeat('x', 400000000) AS x";
    let answer = post(&host, "/query", &json!({"sql": sql}).to_string()).await;
    let problem: Value = answer.json().unwrap();
    assert_eq!(problem["type"], "urn:corral:problem:answer-too-large", "{problem}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let most_kb: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(most_kb < 300_000, "{most_kb} kB were held");
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
