//! Answers as hyper sends them, whole and in memory.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::problem::Problem;

pub(super) type AnswerBody = Full<Bytes>;
pub(super) type Answered = Response<AnswerBody>;

/// 200 with a body of this media type.
pub(super) fn of_type(media: &'static str, body: impl Into<Bytes>) -> Answered {
    let mut response = Response::new(Full::new(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// 200 with this as JSON.
///
/// # Errors
/// It has no form in JSON.
pub(super) fn of_json(value: &impl Serialize) -> Result<Answered, Problem> {
    match serde_json::to_vec(value) {
        Ok(body) => Ok(of_type("application/json", body)),
        Err(error) => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "unwritable",
            "The answer can't be written",
            error.to_string(),
        )),
    }
}
