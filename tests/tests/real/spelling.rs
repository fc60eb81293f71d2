//! A thing has one spelling, wherever its name comes from: an operator's `/invalidate`, a row's
//! column, a write's parameter, or a column that a write returns.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::common::{Servers, beside_others, content, hit, posted};
use corral_tests::client::encode;
use corral_tests::servers::Host;

/// A page with its path, which is also its tag.
const PAGE: &str = r#"
[entity.page]
params = ["path:text"]
read = "SELECT text FROM pages WHERE path = $1"
ttl = "1h"
tags = ["page:{path}"]
"#;

#[tokio::test]
async fn a_tag_is_invalidated_as_a_person_writes_it() {
    let _turn = beside_others().await;
    let servers = Servers::shared().await;
    servers.postgres.psql("CREATE TABLE pages (path text, text text)").await.unwrap();
    let host = servers.host(PAGE).await;
    let long = "x".repeat(200);
    let mut wrong = Vec::new();
    for path in ["plain", "/home", "é", "a,b", "a b", "a:b", "50%", "{x}", long.as_str()] {
        let plain = json!({ "tags": [format!("page:{path}")] });
        let exact = json!({ "tags": [{ "tag": "page:{path}", "values": { "path": path } }] });
        for (form, body) in [("plain", plain), ("exact", exact)] {
            let left = left_after(servers, &host, path, &body).await;
            wrong.extend(left.map(|why| format!("{form} {path:.10?}: {why}")));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[tokio::test]
async fn what_can_be_no_tag_is_an_error() {
    let _turn = beside_others().await;
    let servers = Servers::shared().await;
    let host = servers.host(PAGE).await;
    for body in [
        json!({"tags": [""]}),
        json!({"tags": [{"tag": "page:{path}", "values": {}}]}),
        json!({"tags": [{"tag": "page:{other}", "values": {"other": 1}}]}),
    ] {
        let answer = host.post("/invalidate", &body).await.unwrap();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {answer:?}");
    }
}

/// What is wrong after a page changed and its tag was invalidated with this body; `None` if nothing
/// is.
async fn left_after(servers: &Servers, host: &Host, path: &str, body: &Value) -> Option<String> {
    let quoted = path.replace('\'', "''");
    let fill = format!("DELETE FROM pages; INSERT INTO pages VALUES ('{quoted}', 'old')");
    servers.postgres.psql(&fill).await.unwrap();
    let read = format!("/read/page?path={}", encode(path));
    posted(host, "/invalidate", &json!({"reads": [{"entity": "page", "params": {"path": path}}]}))
        .await;
    assert_eq!(hit(host, &read).await["text"], "old");
    servers.postgres.psql("UPDATE pages SET text = 'new'").await.unwrap();
    let answer = host.post("/invalidate", body).await.unwrap();
    if answer.status != StatusCode::OK {
        return Some(format!("{} {}", answer.status, answer.text().unwrap_or_default()));
    }
    let text = content(host, &read).await["text"].clone();
    (text != "new").then(|| format!("{text} after {}", answer.text().unwrap_or_default()))
}

/// A type, a value as the table has it, the type of a write's parameter, and the value as a writer
/// spells it.
const VALUES: [(&str, &str, &str, &str); 8] = [
    ("numeric(10,2)", "10", "numeric", "10"),
    ("numeric(10,2)", "10.5", "numeric", "10.500"),
    ("numeric(38,0)", "12345678901234567890123", "numeric", "12345678901234567890123"),
    ("float8", "5", "float8", "5"),
    ("float8", "1e21", "float8", "1e21"),
    ("timestamptz", "2024-05-01T12:00:00Z", "timestamptz", "2024-05-01T14:00:00+02:00"),
    ("char(4)", "ab", "text", "ab"),
    ("int4", "7", "int8", "7"),
];

#[tokio::test]
async fn a_tag_of_a_row_is_that_of_a_writes_parameter_and_of_a_returned_column() {
    let _turn = beside_others().await;
    let servers = Servers::shared().await;
    let (mut tables, mut entities) = (String::new(), String::new());
    for (nth, (column, value, param, _)) in VALUES.iter().enumerate() {
        tables += &format!(
            "CREATE TABLE typed{nth} (id int8, v {column}, n int8);
             INSERT INTO typed{nth} VALUES (1, '{value}', 1);"
        );
        entities += &entity(nth, param);
    }
    servers.postgres.psql(&tables).await.unwrap();
    let host = servers.host(&entities).await;
    let mut wrong = Vec::new();
    for (nth, (column, _, _, given)) in VALUES.iter().enumerate() {
        let read = format!("/read/typed{nth}?id=1");
        for (version, write) in (2..).zip(["param", "column"]) {
            hit(&host, &read).await;
            let body = json!({"v": given, "n": version});
            let told = host.post(&format!("/write/typed{nth}/{write}"), &body).await.unwrap();
            if told.status != StatusCode::OK || told.json().unwrap()["rows"] != 1 {
                wrong.push(format!("{column} {given} by {write}: {:?}", told.text()));
                continue;
            }
            let seen = content(&host, &read).await["n"].clone();
            if seen != version {
                wrong.push(format!("{column} {given} by {write}: {seen}, not {version}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

fn entity(nth: usize, param: &str) -> String {
    format!(
        r#"
[entity.typed{nth}]
params = ["id:int8"]
read = "SELECT id, v, n FROM typed{nth} WHERE id = $1"
ttl = "1h"
tags = ["typed{nth}:{{row.v}}"]

[entity.typed{nth}.write.param]
params = ["v:{param}", "n:int8"]
sql = "UPDATE typed{nth} SET n = $2 WHERE v = $1"
touches = ["tag typed{nth}:{{v}}"]

[entity.typed{nth}.write.column]
params = ["v:{param}", "n:int8"]
sql = "UPDATE typed{nth} SET n = $2 WHERE v = $1 RETURNING v"
touches = ["tag typed{nth}:{{row.v}}"]
"#
    )
}

#[tokio::test]
async fn two_accounts_whose_numbers_are_one_double_share_no_tag() {
    let _turn = beside_others().await;
    let servers = Servers::shared().await;
    let numbers = ["12345678901234567890123", "12345678901234567890124"];
    let schema = format!(
        "CREATE TABLE accounts (id numeric(38,0), n int8);
         INSERT INTO accounts VALUES ({}, 1), ({}, 1)",
        numbers[0], numbers[1]
    );
    servers.postgres.psql(&schema).await.unwrap();
    let entities = r#"
[entity.account]
params = ["id:text"]
read = "SELECT id, n FROM accounts WHERE id = $1::text::numeric"
ttl = "1h"
tags = ["account:{row.id}"]
"#;
    let host = servers.host(entities).await;
    let path = |number: &str| format!("/read/account?id={number}");
    for number in numbers {
        hit(&host, &path(number)).await;
    }
    servers.postgres.psql("UPDATE accounts SET n = 2").await.unwrap();
    posted(&host, "/invalidate", &json!({"tags": [format!("account:{}", numbers[0])]})).await;
    assert_eq!(content(&host, &path(numbers[0])).await["n"], 2);
    assert!(host.get(&path(numbers[1])).await.unwrap().is_hit(), "the other is not invalidated");
}
