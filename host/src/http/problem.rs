//! Errors as RFC 9457 problem documents. Their `type` is a promise; their words are not.
//!
//! No problem shows SQL, addresses, secrets or the database's own words: those go to the log.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::cache::{LoadError, ReadError, WriteError};
use crate::origin::{Fault, OriginError};
use crate::service::RequestError;

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
    header: Option<(&'static str, &'static str)>,
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
        self.header = Some(("retry-after", RETRY_AFTER_S));
        self
    }

    /// 404 for a path that is none of ours.
    #[must_use]
    pub fn no_such_path() -> Self {
        let detail = "see the README for the paths that this host serves";
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here", detail)
    }

    /// 404 for a row that does not exist.
    #[must_use]
    pub fn no_row() -> Self {
        let detail = "the read is well formed and the origin has no such row";
        Self::new(StatusCode::NOT_FOUND, "no-row", "There is no such row", detail)
    }

    /// 405.
    #[must_use]
    pub fn method(allowed: &'static str) -> Self {
        let mut problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "The method is not allowed here",
            format!("this path takes {allowed}"),
        );
        problem.header = Some(("allow", allowed));
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
        problem.header = Some(("accept-encoding", "identity"));
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
        problem.header = Some(("accept", media));
        problem
    }

    /// 403 for a web page of another origin.
    #[must_use]
    pub fn foreign_page() -> Self {
        let detail = "a browser sent this for a web page of another origin (Origin, \
                      Sec-Fetch-Site); let a server ask in its place, or guard the scope with a token";
        Self::new(StatusCode::FORBIDDEN, "foreign-page", "This is not for web pages", detail)
    }

    /// 403 for a name that may be anybody's.
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
        problem.header = Some(("www-authenticate", "Bearer realm=\"corral\""));
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
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let header = self.header;
        let (status, document) = self.into_document();
        let mut response = Response::new(Body::from(document));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = header {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::UnknownEntity(name) => unknown("entity", &name),
            RequestError::UnknownWrite(name) => unknown("write", &name),
            RequestError::Arguments(problems) => invalid_arguments(&json!(problems)),
            RequestError::NotAllowed(why) => {
                Self::new(StatusCode::FORBIDDEN, "not-allowed", "This is not allowed here", why)
            }
            RequestError::Late { key, limit, load_limit } => late(if load_limit > limit {
                format!(
                    "no answer within {limit:?}, which {key} sets: make the statement faster, or raise it; \
                     its load goes on for up to {load_limit:?} (load_limit), for the next reader"
                )
            } else {
                format!(
                    "no answer within {limit:?}, which {key} sets: make the statement faster, or raise it"
                )
            }),
            RequestError::Query(code) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "query-rejected",
                "The query was rejected",
                "the database does not run this statement, or not for a reader",
            )
            .with("code", json!(code)),
            RequestError::QueryTooLarge(limit) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "answer-too-large",
                "The answer is too large",
                format!("a query may answer {limit} bytes (query.max_bytes); narrow it"),
            ),
            RequestError::Read(error) => error.into(),
            RequestError::Write(error) => error.into(),
        }
    }
}

fn unknown(what: &'static str, name: &str) -> Problem {
    let shown: String = name.chars().take(64).collect();
    let (kind, title) = match what {
        "entity" => ("unknown-entity", "There is no such entity"),
        _ => ("unknown-write", "There is no such write"),
    };
    let detail = format!("the configuration has no {what} {shown:?}");
    Problem::new(StatusCode::NOT_FOUND, kind, title, detail)
}

fn invalid_arguments(problems: &Value) -> Problem {
    let detail = "see parameters for what is wrong with each";
    Problem::new(StatusCode::BAD_REQUEST, "invalid-parameter", "A parameter is wrong", detail)
        .with("parameters", problems.clone())
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unbound => Self::new(
                StatusCode::NOT_FOUND,
                "unbound",
                "This entity can't be read by name",
                "it is bound to a closure of the program that embeds this host",
            ),
            ReadError::Load(error) => error.into(),
            ReadError::Deadline => deadline(),
            ReadError::Nothing => Self::unavailable(
                "interrupted",
                "The request was interrupted",
                "this host is shutting down, or its work for the request ended early",
            ),
        }
    }
}

fn deadline() -> Problem {
    late("no answer by the deadline of this entity".to_owned())
}

fn late(detail: String) -> Problem {
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "deadline", "The deadline passed", detail)
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Overloaded => Self::unavailable(
                "overloaded",
                "Too many loads are waiting",
                "as many statements as allowed are running; none ended in time",
            ),
            LoadError::Origin(error) => origin(&error),
        }
    }
}

fn origin(error: &OriginError) -> Problem {
    match error {
        OriginError::Unavailable(_) => Problem::unavailable(
            "origin-unavailable",
            "The origin is unavailable",
            "the database does not answer, and no stored value may be served",
        ),
        OriginError::Undone { .. } => Problem::unavailable(
            "origin-busy",
            "The origin took the transaction back",
            "for the sake of another one, say, and each time that it was tried; the same may succeed later",
        ),
        OriginError::Timeout(_) => deadline(),
        OriginError::Rejected { code, .. } => Problem::new(
            StatusCode::BAD_GATEWAY,
            "statement-failed",
            "The statement failed",
            "the database rejected the statement of this entity; a host that runs with \
             RUST_LOG=info,corral_host=debug has its words in the log",
        )
        .with("code", json!(code)),
        OriginError::TooLarge => Problem::new(
            StatusCode::BAD_GATEWAY,
            "answer-too-large",
            "The answer is too large",
            "the rows are more than a cache should keep; narrow the read",
        ),
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Origin(OriginError::Rejected { code, .. }) => rejected_write(&code),
            WriteError::Origin(OriginError::Unavailable(_)) => Self::unavailable(
                "origin-unavailable",
                "The origin is unavailable",
                "the database does not answer; nothing was written",
            ),
            WriteError::Origin(OriginError::Undone { .. }) => Self::unavailable(
                "origin-busy",
                "The origin took the write back",
                "for the sake of another transaction, or since this host was held up in it, and each time \
                 that it was tried; nothing was written",
            ),
            WriteError::Origin(OriginError::Timeout(_)) => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "deadline",
                "The deadline passed",
                "the statement did not end by the deadline of this entity; nothing was written",
            ),
            WriteError::Origin(error @ OriginError::TooLarge) => origin(&error),
            WriteError::Unknown(_) => Self::unavailable(
                "outcome-unknown",
                "It is unknown whether this was written",
                "the connection broke during the commit; read before you write again",
            ),
            WriteError::Undecided => Self::unavailable(
                "policy-failed",
                "Nothing was written",
                "the policy could not say what the write touches",
            ),
            WriteError::TooMuch(much) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "write-too-large",
                "Nothing was written",
                format!("{much}; write fewer rows at once, or let it touch a tag that all of them carry"),
            ),
            WriteError::Column(column) => Self::new(
                StatusCode::BAD_GATEWAY,
                "statement-failed",
                "Nothing was written",
                "the statement does not return a column that its touches need; corral check names it",
            )
            .with("column", json!(column)),
            WriteError::Overloaded => Self::unavailable(
                "overloaded",
                "Nothing was written",
                "too many invalidations wait for the store",
            ),
            WriteError::Interrupted => Self::unavailable(
                "interrupted",
                "It is unknown whether this was written",
                "the write ended early; read before you write again",
            ),
        }
    }
}

fn rejected_write(code: &str) -> Problem {
    let (status, kind, title) = match Fault::of(code) {
        Fault::Constraint => (StatusCode::CONFLICT, "conflict", "The write breaks a constraint"),
        Fault::Values => {
            (StatusCode::UNPROCESSABLE_ENTITY, "write-rejected", "The write was rejected")
        }
        Fault::Statement => (StatusCode::BAD_GATEWAY, "statement-failed", "The statement failed"),
    };
    Problem::new(status, kind, title, "nothing was written").with("code", json!(code))
}
