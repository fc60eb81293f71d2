//! Names that are made from typed values, end to end: a value has one name, whether it comes from a
//! request, from a row, or from a write's returned columns.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;

use bytes::Bytes;
use corral_tests::client::{Answer, Client};
use corral_tests::servers::{Host, SharedServers};
use hyper::Method;
use serde_json::json;
use tokio::sync::OnceCell;

/// A column's type, the type of a parameter that is compared with it, two values in SQL, and
/// another spelling of the first value in a request.
const TYPES: [(&str, &str, [&str; 2], &str); 9] = [
    ("numeric(10, 2)", "numeric", ["10.00", "10.01"], "10"),
    (
        "numeric(38, 0)",
        "numeric",
        ["12345678901234567890123", "12345678901234567890124"],
        "12345678901234567890123.0",
    ),
    ("float8", "float8", ["5", "0.1"], "5.0"),
    (
        "timestamptz",
        "timestamptz",
        ["2024-05-01 02:00+02", "2024-05-01 00:00:01Z"],
        "2024-05-01T00:00:00Z",
    ),
    ("char(4)", "text", ["ab", "abc"], "ab"),
    (
        "uuid",
        "uuid",
        ["6f1c9a52-0d5e-4f5b-8a3e-2b7f6f0c1d2e", "00000000-0000-4000-8000-000000000000"],
        "6F1C9A520D5E4F5B8A3E2B7F6F0C1D2E",
    ),
    ("date", "date", ["2024-05-01", "2024-05-02"], "2024-5-1"),
    ("jsonb", "jsonb", [r#"{"b": 1.0, "a": []}"#, r#"{"b": 1.5}"#], r#"{"a":[],"b":1}"#),
    ("bool", "bool", ["true", "false"], "yes"),
];

#[tokio::test]
async fn a_tag_of_a_row_is_that_of_an_argument_and_of_a_returned_column() {
    let host = host(&entities()).await;
    for (number, (column, _, _, spelling)) in TYPES.iter().enumerate() {
        let reads = [1, 2].map(|id| format!("/read/t{number}?id={id}"));
        let fill = async || {
            for read in &reads {
                get(&host, read).await;
                assert_eq!(hit(&get(&host, read).await), Some("hit"), "{column}");
            }
        };
        let argument = match *column {
            "jsonb" => serde_json::from_str(spelling).unwrap(),
            _ => json!(spelling),
        };
        let writes = [("by_argument", json!({ "v": argument })), ("by_row", json!({ "id": 1 }))];
        for (write, params) in writes {
            fill().await;
            let version = n(&get(&host, &reads[0]).await);
            let path = format!("/write/t{number}/{write}");
            let wrote = host.post(&path, &params).await.unwrap().json().unwrap();
            assert_eq!(wrote["rows"], 1, "{column}: {wrote}");
            let fresh = get(&host, &reads[0]).await;
            assert_eq!(n(&fresh), version + 1, "{column}: {write} left an older row");
            // The other value has another tag.
            assert_eq!(hit(&get(&host, &reads[1]).await), Some("hit"), "{column}: {write}");
        }
    }
}

/// Documents of this type have no equality, so names can't be made of them.
const NAMELESS: &str = r#"
[entity.nameless]
params = ["id:int8"]
read = "SELECT id, '{}'::json AS doc FROM typed WHERE id = $1"
ttl = "5m"
tags = ["doc:{row.doc}"]
[entity.nameless.write.change]
params = ["id:int8"]
sql = "UPDATE typed SET n = n + 100 WHERE id = $1 RETURNING '{}'::json AS doc"
touches = ["tag doc:{row.doc}"]
allow = ["stale-reads"]
"#;

#[tokio::test]
async fn a_row_whose_tag_can_not_be_known_is_answered_and_not_stored() {
    let host = host(&format!("{}{NAMELESS}", entities())).await;
    for _ in 0..2 {
        let answer = get(&host, "/read/nameless?id=1").await;
        assert_eq!(answer.json().unwrap(), json!({"id": 1, "doc": {}}));
        assert_eq!(hit(&answer), None);
    }
    let before = n(&get(&host, "/read/t0?id=1").await);
    let refused = host.post("/write/nameless/change", &json!({"id": 1})).await.unwrap();
    let document = refused.json().unwrap();
    assert_eq!((refused.status.as_u16(), &document["column"]), (502, &json!("doc")));
    let servers = servers().await;
    let rows = servers.postgres.psql("SELECT n FROM typed WHERE id = 1").await.unwrap();
    let now: i64 = rows[0][0].as_deref().unwrap().parse().unwrap();
    assert!(now < before + 100, "nothing was written");
}

/// A read and two writes for each type. All reads show the same rows, and a write touches only
/// those of its type.
fn entities() -> String {
    let mut config = String::new();
    for (number, (_, param, _, _)) in TYPES.iter().enumerate() {
        write!(
            config,
            r#"
[entity.t{number}]
params = ["id:int8"]
read = "SELECT id, c{number} AS v, n FROM typed WHERE id = $1"
ttl = "5m"
tags = ["t{number}:{{row.v}}"]
[entity.t{number}.write.by_argument]
params = ["v:{param}"]
sql = "UPDATE typed SET n = n + 1 WHERE c{number} = $1"
touches = ["tag t{number}:{{v}}"]
allow = ["stale-reads"]
[entity.t{number}.write.by_row]
params = ["id:int8"]
sql = "UPDATE typed SET n = n + 1 WHERE id = $1 RETURNING c{number} AS v"
touches = ["tag t{number}:{{row.v}}"]
allow = ["stale-reads"]
"#
        )
        .unwrap();
    }
    config
}

async fn servers() -> &'static SharedServers {
    static SERVERS: OnceCell<SharedServers> = OnceCell::const_new();
    let start = async || {
        let servers = SharedServers::start().await.unwrap();
        let columns: Vec<_> =
            TYPES.iter().enumerate().map(|(n, (column, ..))| format!("c{n} {column}")).collect();
        let row = |id: usize| {
            let values = TYPES.map(|(_, _, values, _)| format!("'{}'", values[id - 1]));
            format!("({id}, 0, {})", values.join(", "))
        };
        let sql = format!(
            "CREATE TABLE typed (id int8 PRIMARY KEY, n int8, {});
             INSERT INTO typed VALUES {}, {}",
            columns.join(", "),
            row(1),
            row(2)
        );
        servers.postgres.psql(&sql).await.unwrap();
        servers
    };
    SERVERS.get_or_init(start).await
}

async fn host(entities: &str) -> Host {
    let servers = servers().await;
    let (store, origin) = (servers.new_store().unwrap(), servers.postgres.url());
    let config = format!(
        "[store]\nurl = \"{store}\"\ntimeout = \"5s\"\n[origin]\nurl = \"{origin}\"\n{entities}"
    );
    Host::start(&config).await.unwrap()
}

async fn get(host: &Host, path: &str) -> Answer {
    let answer = Client::new().request(Method::GET, &host.url(path), &[], Bytes::new()).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
    answer
}

fn hit(answer: &Answer) -> Option<&str> {
    answer.header("cache-status").split("; ").find(|parameter| *parameter == "hit")
}

fn n(answer: &Answer) -> i64 {
    answer.json().unwrap()["n"].as_i64().unwrap()
}
