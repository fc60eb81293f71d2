//! A small HTTP client whose requests always end.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Far above every deadline of a host: a request that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// An HTTP/1.1 client with persistent connections. Requests that follow each other share one
/// connection.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    limit: Duration,
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its whole body.
    pub body: Bytes,
}

impl Client {
    /// A client whose requests take at most half a minute each.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(LIMIT)
    }

    /// A client whose requests take at most `limit` each, connecting and the body included.
    #[must_use]
    pub fn with_limit(limit: Duration) -> Self {
        Self::build(limit, true)
    }

    /// A client that sends each request only once, even if the connection turns out to be closed.
    #[must_use]
    pub fn without_retries() -> Self {
        Self::build(LIMIT, false)
    }

    fn build(limit: Duration, retries: bool) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool =
            Pool::builder(TokioExecutor::new()).retry_canceled_requests(retries).build(connector);
        Self { pool, limit }
    }

    /// `GET`.
    ///
    /// # Errors
    /// If no complete answer comes in time. An answer of any status is not an error.
    pub async fn get(&self, url: &str) -> anyhow::Result<Answer> {
        self.request(Method::GET, url, &[], Bytes::new()).await
    }

    /// Any request.
    ///
    /// # Errors
    /// As [`Client::get`], and if the address or a header is not valid.
    pub async fn request(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into()))?;
        let answering = async {
            let (parts, body) = self.pool.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        tokio::time::timeout(self.limit, answering)
            .await
            .with_context(|| format!("{url}: no answer within {:?}", self.limit))?
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("no JSON: {:?}", self.body))
    }

    /// The body as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self) -> anyhow::Result<&str> {
        Ok(std::str::from_utf8(&self.body)?)
    }

    /// A header's text. Empty if the header is absent or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether a cache answered it (RFC 9211: `Cache-Status: corral; hit`).
    #[must_use]
    pub fn is_hit(&self) -> bool {
        self.cache_status("hit")
    }

    /// Whether the value was loaded and stored for this request, not for another one that this
    /// request shared.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.cache_status("stored") && !self.cache_status("collapsed")
    }

    /// Whether it was loaded for this request, stored or not.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        let elsewhere = ["collapsed", "detail=stale-if-error", "detail=peer"];
        self.header("cache-status").contains("; fwd=")
            && !elsewhere.iter().any(|name| self.cache_status(name))
    }

    /// The generation of the policy that decided (`Corral-Policy: name@version;generation=7`).
    /// `None` if the answer names none.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        self.header("corral-policy").split_once(";generation=")?.1.parse().ok()
    }

    fn cache_status(&self, name: &str) -> bool {
        self.header("cache-status").split(';').any(|parameter| parameter.trim() == name)
    }
}

/// The media type of the bodies that a host takes at a path.
#[must_use]
pub fn media(path: &str) -> &'static str {
    let path = path.split('?').next().unwrap_or(path);
    let component = path.ends_with("/admin/policy")
        || path.ends_with("/admin/policy/shadow")
        || path.ends_with("/admin/policy/rollout")
        || path.contains("/admin/explain/");
    if component { "application/wasm" } else { "application/json" }
}

/// Percent-encodes any text for a path segment or a query parameter (RFC 3986: all but unreserved).
#[must_use]
pub fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
