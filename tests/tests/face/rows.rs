//! Rows that are larger than an answer may be.

use corral_tests::servers::{Host, Postgres};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::common::{get, post};

#[tokio::test]
async fn of_a_row_that_is_too_large_no_more_is_held_than_shows_it() {
    let postgres = Postgres::start().await.unwrap();
    let config = format!("[origin]\nurl = \"{}\"\n[query]\nenabled = true\n", postgres.url());
    let host = Host::start(&format!("{config}deadline = \"30s\"\n")).await.unwrap();
    let sql = "SELECT repeat('x', 200000000) AS x";
    let answer = post(&host, "/query", &json!({"sql": sql}).to_string()).await;
    let problem: Value = answer.json().unwrap();
    assert_eq!(problem["type"], "urn:corral:problem:answer-too-large", "{problem}");
    let most_kb = most_kb(&host);
    assert!(most_kb < 200_000, "{most_kb} kB were held");
}

/// A tag is made from a column, which is sent beside the row.
#[tokio::test]
async fn a_column_that_a_tag_needs_is_held_no_longer_than_its_row() {
    const ENTITIES: &str = r#"
[entity.huge]
read = "SELECT repeat('x', 200000000) AS x"
ttl = "1m"
deadline = "30s"
tags = ["x:{row.x}"]

[entity.large]
read = "SELECT repeat('x', 3000000) AS x"
ttl = "1m"
deadline = "30s"
tags = ["x:{row.x}"]

[entity.small]
read = "SELECT repeat('x', 30) AS x"
ttl = "1m"
tags = ["x:{row.x}"]
"#;
    let postgres = Postgres::start().await.unwrap();
    let config = format!("[origin]\nurl = \"{}\"\n{ENTITIES}", postgres.url());
    let host = Host::start(&config).await.unwrap();
    let problem: Value = get(&host, "/read/huge").await.json().unwrap();
    assert_eq!(problem["type"], "urn:corral:problem:answer-too-large", "{problem}");
    let most_kb = most_kb(&host);
    assert!(most_kb < 200_000, "{most_kb} kB were held");
    // A row whose tag can't be made is answered and not stored.
    let large = get(&host, "/read/large").await;
    assert_eq!((large.status, large.body.len()), (StatusCode::OK, 3_000_008));
    assert!(large.header("cache-status").ends_with("detail=untaggable"), "{large:?}");
    get(&host, "/read/small").await;
    assert!(get(&host, "/read/small").await.is_hit());
}

/// SQLite runs inside the host, and so does its memory for a row. The host makes no JSON of such a
/// row.
#[tokio::test]
async fn a_row_of_sqlite_that_is_too_large_is_held_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("large.db");
    std::fs::write(&file, "").unwrap();
    let url = format!("sqlite:{}", file.display());
    let config = format!(
        "[origin]\nurl = \"{url}\"\n[entity.huge]\nread = \"SELECT zeroblob(150000000) AS x\"\n\
         ttl = \"1m\"\ndeadline = \"30s\"\ntags = [\"x:{{row.x}}\"]\n"
    );
    let host = Host::start(&config).await.unwrap();
    let problem: Value = get(&host, "/read/huge").await.json().unwrap();
    assert_eq!(problem["type"], "urn:corral:problem:answer-too-large", "{problem}");
    let most_kb = most_kb(&host);
    assert!(most_kb < 450_000, "{most_kb} kB were held");
}

/// The most memory that a host has had so far.
fn most_kb(host: &Host) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
