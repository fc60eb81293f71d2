//! What the command line says to a running host.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

/// A push compiles and examines a component; Python's takes ten seconds, and a minute on a machine that
/// is busy with other work.
const ANSWER_TIME: Duration = Duration::from_secs(300);

/// What a request carries.
pub(super) enum Carried {
    Nothing,
    Component(Vec<u8>),
    Json(Vec<u8>),
}

/// A host's admin face.
#[derive(clap::Args)]
pub(super) struct Host {
    /// The admin address of the host.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7071")]
    url: String,
    /// The token of the admin scope.
    #[arg(long, env = "CORRAL_ADMIN_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// A host's face for reads and writes.
#[derive(clap::Args)]
pub(super) struct FrontClient {
    /// The address of the host.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7070")]
    url: String,
    /// The token of the write scope.
    #[arg(long, env = "CORRAL_ACCESS_WRITE", hide_env_values = true)]
    token: Option<String>,
}

impl FrontClient {
    /// Posts a JSON document; the JSON of the answer, or its problem as the error.
    pub(super) async fn post(&self, path: &str, document: &Value) -> anyhow::Result<Value> {
        let at = At { url: &self.url, token: self.token.as_deref() };
        at.send(Method::POST, path, Carried::Json(document.to_string().into_bytes())).await
    }
}

impl Host {
    /// Sends a request; the JSON of the answer, or its problem as the error.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        carried: Carried,
    ) -> anyhow::Result<Value> {
        let at = At { url: &self.url, token: self.token.as_deref() };
        at.send(method, path, carried).await
    }
}

/// Where a request goes, and the token that it carries.
struct At<'a> {
    url: &'a str,
    token: Option<&'a str>,
}

impl At<'_> {
    async fn send(&self, method: Method, path: &str, carried: Carried) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let uri: Uri = url.parse().with_context(|| format!("--url: {url:?} is no URL"))?;
        let mut request = Request::builder().method(method).uri(uri);
        let (media, body) = match carried {
            Carried::Nothing => (None, Vec::new()),
            Carried::Component(body) => (Some("application/wasm"), body),
            Carried::Json(body) => (Some("application/json"), body),
        };
        if let Some(media) = media {
            request = request.header(CONTENT_TYPE, media);
        }
        if let Some(token) = self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let exchange = async {
            let response = client.request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::Ok((status, body))
        };
        let (status, body) = timeout(ANSWER_TIME, exchange)
            .await
            .with_context(|| format!("{url} did not answer within {ANSWER_TIME:?}"))?
            .with_context(|| format!("{url} can't be reached; is a host serving there?"))?;
        let document: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if !status.is_success() {
            bail!("{url} answered {status}: {}", problem(&document));
        }
        Ok(document)
    }
}

/// Percent-encodes any text for a path's segment or a query's parameter (RFC 3986: all but
/// unreserved).
pub(super) fn encode(text: &str) -> String {
    let unreserved = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let encoded = text.bytes().map(|byte| match Some(byte).filter(unreserved) {
        Some(byte) => char::from(byte).to_string(),
        None => format!("%{byte:02X}"),
    });
    encoded.collect()
}

fn problem(document: &Value) -> String {
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut lines = format!("{}: {}", text("title"), text("detail"));
    let findings = document.pointer("/report/findings").and_then(Value::as_array);
    for finding in findings.into_iter().flatten() {
        let part = |name: &str| finding.get(name).and_then(Value::as_str).unwrap_or_default();
        lines.push_str(&format!("\n  {}: {}", part("at"), part("message")));
    }
    lines
}
