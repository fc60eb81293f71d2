//! Bodies: of the type that a path takes, answered as they are, and not too large; and what answers
//! tell caches in front of the host.

use std::time::Duration;

use corral_tests::servers::Host;
use hyper::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::common::{SOON, Servers, ask};

const RENAME: &str = "POST /write/user.card/rename";

#[tokio::test]
async fn a_body_of_another_type_or_coding_is_refused_and_nothing_is_done() {
    let host = Servers::shared().await.host("[query]\nenabled = true\n").await;
    let rename = r#"{"id": 21, "name": "Renamed"}"#;
    let paths = [
        (RENAME, rename, "application/json"),
        ("POST /invalidate", r#"{"all": true}"#, "application/json"),
        ("POST /query", r#"{"sql": "SELECT 1"}"#, "application/json"),
        ("PUT /admin/policy/settings", "{}", "application/json"),
        ("PUT /admin/policy", "no policy", "application/wasm"),
        ("PUT /admin/policy/shadow", "no policy", "application/wasm"),
        ("POST /admin/explain/user.profile?id=1", "no policy", "application/wasm"),
    ];
    for (request, body, media) in paths {
        for other in ["text/plain", "application/x-www-form-urlencoded", "", "application/xml"] {
            let answer = ask(&host, request, &[("content-type", other)], body).await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{request} of {other:?}");
            assert_eq!(answer.json().unwrap()["type"], "urn:corral:problem:media-type");
            assert_eq!(answer.header("accept"), media, "{request}");
        }
        for coding in ["gzip", "br", "identity, gzip"] {
            let answer = ask(&host, request, &[("content-encoding", coding)], body).await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{request} in {coding}");
            assert_eq!(answer.json().unwrap()["type"], "urn:corral:problem:content-encoding");
            assert_eq!(answer.header("accept-encoding"), "identity", "{request}");
        }
    }
    let name = async || {
        ask(&host, "GET /read/user.card?id=21", &[], "").await.json().unwrap()["name"].clone()
    };
    assert_eq!(name().await, "User 21");
    // The control: a body of the right type is accepted.
    for headers in [
        &[("content-type", "application/json; charset=utf-8")][..],
        &[("content-encoding", "identity")],
    ] {
        assert_eq!(ask(&host, RENAME, headers, rename).await.status, StatusCode::OK);
    }
    assert_eq!(name().await, "Renamed");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_to_who_sends_it_at_once_and_to_who_asks_first() {
    let host = Servers::shared().await.host("").await;
    let length = 20 << 20;
    for (expects, chunked) in [(false, false), (false, true), (true, false)] {
        let mut client = connect(&host).await;
        let size = match chunked {
            true => "transfer-encoding: chunked".to_owned(),
            false => format!("content-length: {length}"),
        };
        let expect = if expects { "expect: 100-continue\r\n" } else { "" };
        let head = format!(
            "POST /write/user.card/rename HTTP/1.1\r\nhost: corral\r\n{expect}{size}\r\n\
             content-type: application/json\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        if !expects {
            if chunked {
                client.write_all(format!("{length:x}\r\n").as_bytes()).await.unwrap();
            }
            for _ in 0..20 {
                client.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
            }
        }
        let mut answer = String::new();
        timeout(SOON, client.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("urn:corral:problem:too-large"), "{answer}");
    }
}

#[tokio::test]
async fn a_cache_in_front_is_told_what_it_may_keep() {
    let servers = Servers::shared().await;
    let config = servers.config("", "").replace(
        "[entity.\"user.card\"]\n",
        "[entity.\"user.card\"]\ncache_control = \"private, max-age=5\"\n",
    );
    let host = Host::start(&config).await.unwrap();
    let etag = ask(&host, "GET /read/user.card?id=3", &[], "").await.header("etag").to_owned();
    let unchanged = [("if-none-match", etag.as_str())];
    for (request, headers, status, expected) in [
        ("GET /read/user.profile?id=3", &[][..], 200, "no-cache"),
        ("HEAD /read/user.profile?id=3", &[], 200, "no-cache"),
        ("GET /read/user.card?id=3", &[], 200, "private, max-age=5"),
        ("GET /read/user.card?id=3", &unchanged, 304, "private, max-age=5"),
        ("GET /read/user.card?id=999", &[], 404, "no-store"),
        ("GET /read/user.card", &[], 400, "no-store"),
        ("GET /nothing", &[], 404, "no-store"),
        ("POST /invalidate", &[], 415, "no-store"),
        ("GET /readyz", &[], 200, "no-store"),
        ("GET /admin/policy", &[], 200, "no-store"),
        ("GET /metrics", &[], 200, "no-store"),
    ] {
        let answer = ask(&host, request, headers, "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("cache-control")),
            (status, expected),
            "{request}"
        );
    }
    let wrote = ask(&host, RENAME, &[], r#"{"id": 0, "name": "x"}"#).await;
    assert_eq!((wrote.status.as_u16(), wrote.header("cache-control")), (200, "no-store"));
}

async fn connect(host: &Host) -> TcpStream {
    let address = host.url("").replace("http://", "");
    timeout(Duration::from_secs(5), TcpStream::connect(address)).await.unwrap().unwrap()
}
