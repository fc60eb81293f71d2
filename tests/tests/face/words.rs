//! A failure of the origin is one line in the log and one reason of readiness, whichever requests
//! meet it and however often.

use corral_tests::servers::{Host, Postgres};
use hyper::StatusCode;
use serde_json::Value;

use super::common::{get, post};

const ENTITIES: &str = r#"
[entity.card]
params = ["id:int8"]
read = "SELECT id, name FROM cards WHERE id = $1"
ttl = "5m"

[entity.card.write.rename]
params = ["id:int8", "name:text"]
sql = "UPDATE cards SET name = $2 WHERE id = $1"
touches = ["card(id)"]

[entity.card.write.add]
params = ["id:int8", "name:text"]
sql = "INSERT INTO cards VALUES ($1, $2)"
touches = ["card(id)"]

[entity.late]
params = ["id:int8"]
read = "SELECT $1::bigint AS id FROM pg_sleep(30)"
ttl = "1m"
deadline = "300ms"
"#;

const SCHEMA: &str = "CREATE TABLE cards (id bigint PRIMARY KEY, name text);
    INSERT INTO cards VALUES (1, 'hush-hush')";

fn config(postgres: &Postgres, role: &str) -> String {
    let url = postgres.url().replace("postgres@", &format!("{role}@"));
    format!("[origin]\nurl = {url:?}\n{ENTITIES}")
}

async fn host(postgres: &Postgres, role: &str) -> Host {
    Host::start(&config(postgres, role)).await.unwrap()
}

fn warnings(host: &Host) -> Vec<String> {
    host.log().lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect()
}

async fn reasons(host: &Host) -> Vec<String> {
    let ready: Value = get(host, "/readyz").await.json().unwrap();
    let reasons = ready["reasons"].as_array().unwrap().iter();
    reasons.map(|reason| reason.as_str().unwrap().to_owned()).collect()
}

/// Checks that there is exactly one warning and one reason, and that both contain these words.
async fn one(host: &Host, words: &[&str]) {
    let (warnings, reasons) = (warnings(host), reasons(host).await);
    assert_eq!((warnings.len(), reasons.len()), (1, 1), "{warnings:#?} {reasons:#?}");
    for word in words {
        assert!(warnings[0].contains(word) && reasons[0].contains(word), "{word}: {warnings:#?}");
    }
    let log = host.log();
    for secret in ["SELECT", "UPDATE", "hush-hush"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}

#[tokio::test]
async fn a_renamed_column_is_one_line_and_one_reason_for_reads_and_one_for_writes() {
    let postgres = Postgres::start().await.unwrap();
    postgres.psql(SCHEMA).await.unwrap();
    let host = host(&postgres, "postgres").await;
    get(&host, "/read/card?id=2").await;
    assert_eq!((warnings(&host), reasons(&host).await), (vec![], vec![]), "nothing fails yet");
    postgres.psql("ALTER TABLE cards RENAME COLUMN name TO title").await.unwrap();
    for id in 1..=20 {
        let answer = get(&host, &format!("/read/card?id={id}")).await;
        // The second row is cached as one that does not exist.
        let expected = if id == 2 { StatusCode::NOT_FOUND } else { StatusCode::BAD_GATEWAY };
        assert_eq!(answer.status, expected);
    }
    one(&host, &["loads of \"card\"", "42703", "corral check"]).await;
    for _ in 0..5 {
        let answer = post(&host, "/write/card/rename", r#"{"id": 1, "name": "hush-hush"}"#).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    }
    assert_eq!((warnings(&host).len(), reasons(&host).await.len()), (2, 2), "{}", host.log());
    assert!(warnings(&host)[1].contains("the write \"rename\" of \"card\""), "{}", host.log());
}

#[tokio::test]
async fn the_databases_own_words_are_for_whoever_asks_for_them_in_the_log() {
    let postgres = Postgres::start().await.unwrap();
    postgres.psql(SCHEMA).await.unwrap();
    let asked = vec![("RUST_LOG", "info,corral_host=debug".to_owned())];
    let asked = Host::start_in(asked, &config(&postgres, "postgres")).await.unwrap();
    let usual = host(&postgres, "postgres").await;
    postgres.psql("ALTER TABLE cards RENAME COLUMN name TO title").await.unwrap();
    for (host, are_said) in [(&asked, true), (&usual, false)] {
        assert_eq!(get(host, "/read/card?id=1").await.status, StatusCode::BAD_GATEWAY);
        let log = host.log();
        assert_eq!(log.contains(r#"column "name" does not exist"#), are_said, "{log}");
    }
}

#[tokio::test]
async fn a_role_that_the_database_does_not_let_in_is_one_line_and_one_reason() {
    let postgres = Postgres::start().await.unwrap();
    let host = host(&postgres, "stranger").await;
    for id in 1..=5 {
        let answer = get(&host, &format!("/read/card?id={id}")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let warnings = warnings(&host);
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].contains("stranger") && warnings[0].contains("origin.url"), "{warnings:?}");
    assert!(reasons(&host).await.iter().any(|reason| reason.contains("origin.url")));
}

#[tokio::test]
async fn a_load_that_outruns_its_deadline_is_one_line_and_one_reason_with_the_key_that_sets_it() {
    let postgres = Postgres::start().await.unwrap();
    postgres.psql(SCHEMA).await.unwrap();
    let host = host(&postgres, "postgres").await;
    for id in 1..=3 {
        let answer = get(&host, &format!("/read/late?id={id}")).await;
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    }
    one(&host, &["\"late\"", "entity.\"late\".deadline", "300ms"]).await;
}

/// The control: a constraint that a client's values break is reported to that client.
#[tokio::test]
async fn a_constraint_that_clients_break_is_said_once_and_is_no_reason() {
    let postgres = Postgres::start().await.unwrap();
    postgres.psql(SCHEMA).await.unwrap();
    let host = host(&postgres, "postgres").await;
    for _ in 0..5 {
        let body = r#"{"id": 1, "name": "hush-hush"}"#;
        let answer = post(&host, "/write/card/add", body).await;
        assert_eq!(answer.status, StatusCode::CONFLICT);
    }
    assert_eq!((warnings(&host).len(), reasons(&host).await), (1, vec![]), "{}", host.log());
    assert!(!host.log().contains("hush-hush"));
}
