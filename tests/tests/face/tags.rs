//! Tags in the form in which clients know them: values tagged `page:%2Fhome` are removed by
//! `page:/home`.

use corral_tests::client::encode;
use corral_tests::servers::Host;
use serde_json::{Value, json};

use super::common::{Servers, get, post, status_parameter};

const PAGES: &str = r#"
[query]
enabled = true

[entity.page]
params = ["path:text"]
read = "SELECT $1 AS path"
ttl = "5m"
tags = ["page:{path}"]

[entity.visits]
params = ["path:text", "day:date"]
read = "SELECT $1 AS path, $2::date AS day"
ttl = "5m"
tags = ["page:{path}:{day}"]
"#;

#[tokio::test]
async fn a_tag_is_removed_by_the_text_that_one_would_write() {
    let host = Servers::shared().await.host(PAGES).await;
    let long = "x".repeat(200);
    // `a%3Ab` comes before `a:b`, since its text is also the stored form of the other one's tag.
    for path in
        ["/home", "\u{e9}", "a,b", long.as_str(), "a%3Ab", "a:b", "~", "%2F", "a b", "{x}", "%", ""]
    {
        let read = format!("/read/page?path={}", encode(path));
        for tag in
            [json!(format!("page:{path}")), json!({"tag": "page:{path}", "values": {"path": path}})]
        {
            get(&host, &read).await;
            assert!(get(&host, &read).await.is_hit(), "{path}");
            assert_eq!(removed(&host, &json!({"tags": [tag]})).await, json!(1), "{tag}");
            assert!(!get(&host, &read).await.is_hit(), "{tag}");
        }
    }
}

#[tokio::test]
async fn a_text_that_can_be_read_in_several_ways_removes_them_all() {
    let host = Servers::shared().await.host(PAGES).await;
    let reads = ["/read/page?path=a:2024-01-01", "/read/visits?path=a&day=2024-01-01"];
    for read in reads {
        get(&host, read).await;
    }
    assert_eq!(removed(&host, &json!({"tags": ["page:a:2024-01-01"]})).await, json!(2));
    for read in reads {
        assert_eq!(status_parameter(&get(&host, read).await, "fwd"), Some("miss"), "{read}");
    }
    let exact = json!({"tag": "page:{path}:{day}", "values": {"path": "a", "day": "2024-01-01"}});
    assert_eq!(removed(&host, &json!({"tags": [exact]})).await, json!(1));
    assert!(get(&host, reads[0]).await.is_hit());
}

#[tokio::test]
async fn a_query_is_removed_by_the_tags_that_it_was_given() {
    let host = Servers::shared().await.host(PAGES).await;
    for (given, named) in [
        (json!("page:/home"), json!("page:/home")),
        (json!("page:/home"), json!({"tag": "page:{path}", "values": {"path": "/home"}})),
        (json!({"tag": "page:{p}", "values": {"p": "/home"}}), json!("page:/home")),
        (json!("report of 2024/5:x"), json!("report of 2024/5:x")),
        (
            json!({"tag": "report:{year}", "values": {"year": 2024}}),
            json!({"tag": "report:{y}", "values": {"y": "2024"}}),
        ),
    ] {
        let query = json!({"sql": "SELECT 1 AS one", "tags": [given]}).to_string();
        post(&host, "/query", &query).await;
        assert!(post(&host, "/query", &query).await.is_hit(), "{query}");
        removed(&host, &json!({"tags": [named]})).await;
        assert!(!post(&host, "/query", &query).await.is_hit(), "{query} after {named}");
    }
}

/// How many keys an invalidation removed.
async fn removed(host: &Host, named: &Value) -> Value {
    let answer = post(host, "/invalidate", &named.to_string()).await;
    let document = answer.json().unwrap();
    assert_eq!(answer.status.as_u16(), 200, "{document}");
    document["removed"].clone()
}
