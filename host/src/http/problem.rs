//! Errors as RFC 9457 problem documents. Their `type` is a promise; their words are not.
//!
//! No problem shows SQL, addresses, secrets or the database's own words: those go to the log.

mod of_requests;

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::answered::{Answered, of_type};

/// Seconds after which a client may try again: long enough for a short outage to pass, short
/// enough for a person.
const RETRY_AFTER_S: &str = "1";

/// A problem document in the making.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    more: Vec<(&'static str, Value)>,
    /// As text: a problem is returned by value, and parsed headers are large.
    header: Option<(&'static str, Box<str>)>,
}

impl Problem {
    /// A problem of this kind.
    #[must_use]
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { status, kind, title, detail: detail.into(), more: Vec::new(), header: None }
    }

    /// A member of the document beside the standard ones.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Value) -> Self {
        self.more.push((name, value));
        self
    }

    fn retry(mut self) -> Self {
        self.header = Some(("retry-after", RETRY_AFTER_S.into()));
        self
    }

    /// 404 for a path that is none of ours.
    #[must_use]
    pub fn no_such_path() -> Self {
        let detail = "/read, /write, /invalidate and /query are on the address of listen, \
                      /metrics and /admin on that of [admin] listen";
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here", detail)
    }

    /// 404 for a row that does not exist.
    #[must_use]
    pub fn no_row() -> Self {
        let detail = "the read is well formed and the origin has no such row";
        Self::new(StatusCode::NOT_FOUND, "no-row", "There is no such row", detail)
    }

    /// 405 for a path that takes these methods.
    #[must_use]
    pub fn method(allowed: String) -> Self {
        let mut problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "The method is not allowed here",
            format!("this path takes {allowed}"),
        );
        problem.header = Some(("allow", allowed.into()));
        problem
    }

    /// 400 for a body or a query string that can't be read.
    #[must_use]
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request can't be read", detail)
    }

    /// 413.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("at most {limit} bytes are taken");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
    }

    /// 414.
    #[must_use]
    pub fn target_too_long() -> Self {
        let detail = "the path and query of the request are longer than 65534 bytes";
        Self::new(StatusCode::URI_TOO_LONG, "target-too-long", "The target is too long", detail)
    }

    /// 431.
    #[must_use]
    pub fn head_too_large(limit: usize) -> Self {
        let detail = format!(
            "the head of the request has more than {limit} bytes, or more than 100 headers"
        );
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head-too-large",
            "The head of the request is too large",
            detail,
        )
    }

    /// 415 for a body that is compressed, or coded otherwise.
    #[must_use]
    pub fn coded() -> Self {
        let detail = "bodies are taken as they are; send this one without Content-Encoding";
        let mut problem = Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-encoding",
            "The body is coded",
            detail,
        );
        problem.header = Some(("accept-encoding", "identity".into()));
        problem
    }

    /// 415 for a body of another media type.
    #[must_use]
    pub fn other_media(media: &'static str) -> Self {
        let detail = format!("this path takes a body of one type; send Content-Type: {media}");
        let mut problem = Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            "The body has another media type",
            detail,
        );
        problem.header = Some(("accept", media.into()));
        problem
    }

    /// 403 for a web page of another origin.
    #[must_use]
    pub fn foreign_page() -> Self {
        let detail = "a browser sent this for a web page of another origin (Origin, \
                      Sec-Fetch-Site); let a server ask in its place, or guard the scope with a token";
        Self::new(StatusCode::FORBIDDEN, "foreign-page", "This is not for web pages", detail)
    }

    /// 403 for a name that may be a web page's own.
    #[must_use]
    pub fn strange_host() -> Self {
        let detail = "the name in Host may be that of a web page; ask by address, put the name into \
                      hosts in the configuration, or guard the scope with a token";
        Self::new(StatusCode::FORBIDDEN, "strange-host", "The host has another name", detail)
    }

    /// 408 for a body that does not come.
    #[must_use]
    pub fn slow() -> Self {
        let detail = "the body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The body did not arrive", detail)
    }

    /// 401.
    #[must_use]
    pub fn no_token(scope: &str) -> Self {
        let detail = format!("send Authorization: Bearer and the token of the scope {scope:?}");
        let mut problem =
            Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A token is required", detail);
        problem.header = Some(("www-authenticate", "Bearer realm=\"corral\"".into()));
        problem
    }

    /// 403 for a token of another scope.
    #[must_use]
    pub fn other_scope(scope: &str) -> Self {
        let detail = format!("this token is valid and is not one of the scope {scope:?}");
        Self::new(StatusCode::FORBIDDEN, "forbidden", "The token is for another scope", detail)
    }

    fn unavailable(kind: &'static str, title: &'static str, detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, detail).retry()
    }
}

impl Problem {
    /// The status, and the document as text.
    pub(super) fn into_document(self) -> (StatusCode, String) {
        let mut document = json!({
            "type": format!("urn:corral:problem:{}", self.kind),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(members) = document.as_object_mut() {
            members.extend(self.more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        }
        (self.status, document.to_string())
    }

    /// The answer that says so.
    pub(super) fn into_response(mut self) -> Answered {
        let header = self.header.take();
        let (status, document) = self.into_document();
        let mut response = of_type("application/problem+json", document);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Every text above is one that a header can carry.
        if let Some((name, value)) = header
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            headers.insert(HeaderName::from_static(name), value);
        }
        response
    }
}
