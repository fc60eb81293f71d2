//! What went wrong with a request, as a problem document.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::Problem;
use crate::cache::{LoadError, ReadError, WriteError};
use crate::origin::{Fault, OriginError};
use crate::service::RequestError;

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

/// The same request may be answered a little later: by what a load that goes on has left behind, or
/// by a database that has less to do.
fn late(detail: String) -> Problem {
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "deadline", "The deadline passed", detail).retry()
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
            WriteError::Origin(OriginError::Timeout(_)) => late(
                "the statement did not end by the deadline of this entity; nothing was written"
                    .to_owned(),
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
