//! Which token allows what, and what is not served at all.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use corral_tests::client::Client;
use corral_tests::servers::{corral, eventually};
use hyper::StatusCode;
use tempfile::TempDir;
use tokio::process::Command;

use super::common::{SOON, Servers, ask};

const TOKENS: &str = "
[access]
read = \"the-read-token\"
write = \"the-write-token\"
[query]
enabled = true
[admin]
token = \"the-admin-token\"
";

/// Every path that a token guards, with its scope.
const GUARDED: [(&str, &str, &str); 19] = [
    ("read", "GET /read/user.profile?id=1", ""),
    ("read", "HEAD /read/user.profile?id=1", ""),
    ("read", "GET /read/no.such.entity", ""),
    ("read", "POST /query", r#"{"sql": "SELECT 1 AS one"}"#),
    ("write", "POST /write/user.card/rename", r#"{"id": 0, "name": "x"}"#),
    ("write", "POST /invalidate", "{}"),
    ("write", "POST /invalidate", "no json"),
    ("admin", "GET /admin/policy", ""),
    ("admin", "PUT /admin/policy", "no policy"),
    ("admin", "POST /admin/policy/rollback", ""),
    ("admin", "GET /admin/policy/settings", ""),
    ("admin", "PUT /admin/policy/settings", "{}"),
    ("admin", "GET /admin/policy/shadow", ""),
    ("admin", "PUT /admin/policy/shadow?sample=0.1", "no policy"),
    ("admin", "DELETE /admin/policy/shadow", ""),
    ("admin", "GET /admin/entities", ""),
    ("admin", "GET /admin/explain/user.profile?id=1", ""),
    ("admin", "POST /admin/explain/user.profile?id=1", "no policy"),
    ("admin", "GET /metrics", ""),
];

#[tokio::test]
async fn a_scope_is_for_those_who_have_its_token() {
    let servers = Servers::shared().await;
    let host = servers.host(TOKENS).await.with_admin_token("the-admin-token");
    for (scope, request, body) in GUARDED {
        for header in [
            None,
            Some("Bearer nobody's".to_owned()),
            Some("Bearer ".to_owned()),
            Some("Bearer the-read".to_owned()),
            Some("Bearer THE-READ-TOKEN".to_owned()),
            Some(format!("Basic the-{scope}-token")),
            Some(format!("the-{scope}-token")),
        ] {
            let headers: Vec<_> = header.iter().map(|h| ("authorization", h.as_str())).collect();
            let answer = ask(&host, request, &headers, body).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{request} with {header:?}");
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"corral\"");
            let expected = format!(
                r#"{{"type":"urn:corral:problem:unauthorized","title":"A token is required","status":401,"detail":"send Authorization: Bearer and the token of the scope \"{scope}\""}}"#
            );
            if !request.starts_with("HEAD") {
                assert_eq!(answer.text().unwrap(), expected, "{request}");
            }
        }
        for other in ["read", "write", "admin"] {
            let token = format!("Bearer the-{other}-token");
            let answer = ask(&host, request, &[("authorization", &token)], body).await;
            if other == scope {
                let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
                assert!(!refused.contains(&answer.status), "{request}: {}", answer.status);
                continue;
            }
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{request} with {token}");
            let expected = format!(
                r#"{{"type":"urn:corral:problem:forbidden","title":"The token is for another scope","status":403,"detail":"this token is valid and is not one of the scope \"{scope}\""}}"#
            );
            if !request.starts_with("HEAD") {
                assert_eq!(answer.text().unwrap(), expected, "{request}");
            }
        }
    }
    // The token of the scope itself is accepted.
    for (request, token) in [
        ("GET /read/user.profile?id=1", "read"),
        ("POST /invalidate", "write"),
        ("GET /admin/policy", "admin"),
        ("GET /metrics", "admin"),
    ] {
        let token = format!("bearer the-{token}-token");
        let answer = ask(&host, request, &[("authorization", &token)], "{}").await;
        assert_eq!(answer.status, StatusCode::OK, "{request}");
    }
    // Health needs no token, since a health check has none.
    for request in ["GET /healthz", "GET /readyz"] {
        assert_eq!(ask(&host, request, &[], "").await.status, StatusCode::OK);
    }
    for token in ["the-read-token", "the-write-token", "the-admin-token"] {
        assert!(!host.log().contains(token));
    }
}

#[tokio::test]
async fn an_open_scope_beyond_loopback_is_refused_with_the_reason() {
    let write = "0.0.0.0:1 is not loopback, and without access.write any client may write; \
                 set access.write, or access.open = true if a network in front guards it";
    let admin = "[::]:1 is not loopback, and without admin.token any client may exchange \
                 the policy; set admin.token or listen on 127.0.0.1";
    for (config, line, reason) in [
        ("listen = \"0.0.0.0:1\"\n", "1:10 listen", write),
        ("listen = \"0.0.0.0:1\"\n[access]\nread = \"r\"\n", "1:10 listen", write),
        ("listen = \"0.0.0.0:1\"\n[access]\nopen = false\n", "1:10 listen", write),
        ("[admin]\nlisten = \"[::]:1\"\n", "2:10 admin.listen", admin),
        ("[admin]\nlisten = \"[::]:1\"\n[access]\nopen = true\n", "2:10 admin.listen", admin),
    ] {
        let file = File::new(config);
        for command in ["serve", "check"] {
            let output = file.run(command).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{command} of {config}: {said}");
            let expected = format!("{}:{line}: {reason}\n1 problem", file.path.display());
            assert!(said.contains(&expected), "{command} of {config}: {said}");
        }
    }
}

#[tokio::test]
async fn a_guarded_scope_beyond_loopback_is_served() {
    for access in ["open = true", "write = \"the-write-token\""] {
        let (front, back) = (free_port(), free_port());
        let file = File::new(&format!(
            "listen = \"0.0.0.0:{front}\"\n[access]\n{access}\n\
             [admin]\nlisten = \"0.0.0.0:{back}\"\ntoken = \"the-admin-token\"\n"
        ));
        assert_eq!(file.run("check").await.status.code(), Some(0), "{access}");
        let mut serving = file.command("serve").spawn().unwrap();
        let url = format!("http://127.0.0.1:{front}/invalidate");
        let expected = if access == "open = true" { 200 } else { 401 };
        eventually("it serves", SOON, || async {
            let client = Client::new();
            let json = [("content-type", "application/json")];
            let answer = client.request(hyper::Method::POST, &url, &json, "{}").await;
            Ok(answer.is_ok_and(|answer| answer.status == expected).then_some(()))
        })
        .await
        .unwrap();
        serving.kill().await.unwrap();
    }
}

#[tokio::test]
async fn the_token_of_operators_is_not_for_applications() {
    let file = File::new("[admin]\ntoken = \"same\"\n[access]\nread = \"same\"\n");
    let output = file.run("check").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("4:8 access.read: the same token as admin.token"), "{said}");
}

#[tokio::test]
async fn a_token_from_the_environment_counts() {
    let file = File::new("listen = \"0.0.0.0:1\"\n");
    let output = file.command("check").env("CORRAL_ACCESS_WRITE", "w").output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
}

/// A configuration on disk.
pub(super) struct File {
    pub(super) path: PathBuf,
    _home: TempDir,
}

impl File {
    pub(super) fn new(config: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("corral.toml");
        std::fs::write(&path, config).unwrap();
        Self { path, _home: home }
    }

    pub(super) fn command(&self, command: &str) -> Command {
        let mut corral = Command::from(corral().unwrap());
        corral.args([command, "--config"]).arg(&self.path);
        if !std::fs::read_to_string(&self.path).unwrap_or_default().contains("listen") {
            // Commands that run at the same time must not find each other at the usual addresses.
            corral.envs(["CORRAL_LISTEN", "CORRAL_ADMIN_LISTEN"].map(|key| (key, "127.0.0.1:0")));
        }
        corral.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        corral.kill_on_drop(true);
        corral
    }

    /// Runs a command to its end.
    pub(super) async fn run(&self, command: &str) -> Output {
        tokio::time::timeout(SOON, self.command(command).output()).await.unwrap().unwrap()
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
