//! Web pages: what a browser sends for a page of another origin is refused in every scope without a
//! token, and clients that are not browsers notice nothing.

use corral_tests::servers::Host;
use hyper::StatusCode;

use super::common::{Servers, ask, get, loads};

/// Every path that offers something to read or to do.
const PATHS: [(&str, &str); 18] = [
    ("GET /read/user.profile?id=1", ""),
    ("HEAD /read/user.profile?id=1", ""),
    ("GET /read/%75ser.profile?id=1", ""),
    ("POST /query", r#"{"sql": "SELECT 1 AS one"}"#),
    ("POST /write/user.card/rename", r#"{"id": 0, "name": "x"}"#),
    ("POST /invalidate", r#"{"all": true}"#),
    ("GET /admin/policy", ""),
    ("PUT /admin/policy", "no policy"),
    ("POST /admin/policy/rollback", ""),
    ("GET /admin/policy/settings", ""),
    ("PUT /admin/policy/settings", "{}"),
    ("GET /admin/policy/shadow", ""),
    ("PUT /admin/policy/shadow?sample=0.1", "no policy"),
    ("DELETE /admin/policy/shadow", ""),
    ("GET /admin/entities", ""),
    ("GET /admin/explain/user.profile?id=1", ""),
    ("POST /admin/explain/user.profile?id=1", "no policy"),
    ("GET /metrics", ""),
];

/// The headers of a browser that makes a request for a page of another origin: `fetch` and forms,
/// images and links, sandboxed frames, pages of a neighbouring name.
const FOREIGN: [&[(&str, &str)]; 6] = [
    &[("origin", "https://evil.example")],
    &[("origin", "https://evil.example"), ("content-type", "text/plain")],
    &[("origin", "null")],
    &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")],
    &[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:1")],
    &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
];

/// A page whose name was bound to the host's address after it was loaded.
const REBOUND: [&[(&str, &str)]; 2] = [
    &[("host", "evil.example:7070"), ("sec-fetch-site", "same-origin")],
    &[("host", "evil.example"), ("origin", "http://evil.example")],
];

#[tokio::test]
async fn a_page_of_another_origin_is_refused_wherever_no_token_is_asked_for() {
    let host = Servers::shared().await.host("[query]\nenabled = true\n").await;
    for (request, body) in PATHS {
        for (headers, problem) in FOREIGN
            .iter()
            .map(|headers| (headers, "foreign-page"))
            .chain(REBOUND.iter().map(|headers| (headers, "strange-host")))
        {
            let answer = ask(&host, request, headers, body).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{request} with {headers:?}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{request}");
            if !request.starts_with("HEAD") {
                let expected = format!("urn:corral:problem:{problem}");
                assert_eq!(answer.json().unwrap()["type"], expected, "{request}");
            }
        }
        // A browser asks first whether it may send more than a form could, and the answer is no.
        let preflight =
            [("origin", "https://evil.example"), ("access-control-request-method", "PUT")];
        let path = request.split_once(' ').unwrap().1;
        let answer = ask(&host, &format!("OPTIONS {path}"), &preflight, "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
    assert_eq!(loads(&[&host], "user.profile", None).await, 0.0, "and nothing was loaded");
}

#[tokio::test]
async fn who_is_no_page_of_others_notices_nothing() {
    let host = Servers::shared().await.host("[query]\nenabled = true\n").await;
    let own = host.url("").replace("http://", "");
    let own_origin = format!("http://{own}");
    for headers in [
        &[][..],
        &[("host", "localhost:7070")],
        &[("host", "corral")],
        &[("host", "[::1]:7070")],
        &[("origin", own_origin.as_str()), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")],
        // The headers of Node's fetch.
        &[("sec-fetch-mode", "cors"), ("accept-language", "*")],
    ] {
        for (request, body) in PATHS {
            if is_admin(request) && headers.iter().any(|(name, _)| *name == "origin") {
                continue;
            }
            let answer = ask(&host, request, headers, body).await;
            assert_ne!(answer.status, StatusCode::FORBIDDEN, "{request} with {headers:?}");
        }
    }
    // A health check may call the host by any name.
    for path in ["GET /healthz", "GET /readyz"] {
        let answer = ask(&host, path, &[("host", "balancer.example")], "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_name_that_the_configuration_has_is_the_hosts_and_a_token_is_no_pages() {
    let servers = Servers::shared().await;
    let named = servers.config("hosts = [\"cache.example\"]", "[access]\nwrite = \"w\"\n");
    let host = Host::start(&named).await.unwrap();
    let read = "GET /read/user.profile?id=1";
    for (name, status) in [("cache.example:7070", 200), ("evil.example", 403)] {
        assert_eq!(ask(&host, read, &[("host", name)], "").await.status, status, "{name}");
    }
    // A gateway passes a browser's headers on, with its own token.
    let gateway = [
        ("host", "evil.example"),
        ("origin", "https://app.example"),
        ("authorization", "Bearer w"),
    ];
    assert_eq!(ask(&host, "POST /invalidate", &gateway, "{}").await.status, StatusCode::OK);
    assert_eq!(ask(&host, "POST /invalidate", &gateway[..2], "{}").await.status, 401);
    assert_eq!(get(&host, "/read/user.profile?id=1").await.status, StatusCode::OK);
}

fn is_admin(request: &str) -> bool {
    request.contains("/admin") || request.ends_with("/metrics")
}
