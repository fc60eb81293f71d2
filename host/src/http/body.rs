//! Bodies of requests: of the one media type that a path takes, as they are, and within their limits of
//! size and time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::HeaderMap;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::problem::Problem;
use super::unique::Unique;

/// The largest body of a request: parameters, not documents.
const BODY_LIMIT: usize = 1 << 20;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

const JSON: &str = "application/json";
const WASM: &str = "application/wasm";

/// A body that is a JSON object. The problem says what it should have been.
pub(super) async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Incoming,
) -> Result<T, Problem> {
    let bytes = collect(headers, JSON, body, BODY_LIMIT).await?;
    let read = serde_json::from_slice(&bytes).and_then(|Unique| {
        // Otherwise an array would do as the whole body, its items taken in the order of the code.
        match bytes.trim_ascii_start().starts_with(b"{") {
            true => serde_json::from_slice(&bytes),
            false => Err(serde::de::Error::custom("the body is no JSON object")),
        }
    });
    read.map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let detail = match error.classify() {
            serde_json::error::Category::Data => error.to_string(),
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => format!("the body is no JSON at {place}"),
        };
        Problem::malformed(detail)
    })
}

/// A body that is a component.
pub(super) async fn component(
    headers: &HeaderMap,
    body: Incoming,
    limit: usize,
) -> Result<Bytes, Problem> {
    collect(headers, WASM, body, limit).await
}

/// A whole body. A body that is too large by its `Content-Length` is not read, so a client that asks first
/// (`Expect: 100-continue`) need not send it.
async fn collect(
    headers: &HeaderMap,
    media: &'static str,
    body: Incoming,
    limit: usize,
) -> Result<Bytes, Problem> {
    plain(headers)?;
    of_media(headers, media)?;
    if body.size_hint().lower() > limit as u64 {
        return Err(Problem::too_large(limit));
    }
    match timeout(BODY_TIME, Limited::new(body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::too_large(limit)),
        Ok(Err(_broken)) => Err(Problem::malformed("the body broke off")),
        Err(_elapsed) => Err(Problem::slow()),
    }
}

/// A coding that is ignored makes another body of the one that was sent.
fn plain(headers: &HeaderMap) -> Result<(), Problem> {
    let codings = headers.get_all(CONTENT_ENCODING).iter();
    let is_plain = |value: &[u8]| value.eq_ignore_ascii_case(b"identity");
    match codings.into_iter().all(|value| is_plain(value.as_bytes())) {
        true => Ok(()),
        false => Err(Problem::coded()),
    }
}

fn of_media(headers: &HeaderMap, media: &'static str) -> Result<(), Problem> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let sent = types.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = sent.split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case(media) && types.next().is_none() {
        true => Ok(()),
        false => Err(Problem::other_media(media)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderName;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_media_type_may_have_parameters_and_is_one() {
        for taken in ["application/json", "Application/JSON; charset=utf-8", "application/json ;q"]
        {
            assert!(of_media(&headers(&[(CONTENT_TYPE, taken)]), JSON).is_ok(), "{taken}");
        }
        for refused in ["text/plain", "", "application/jsonx", "text/plain;application/json"] {
            assert!(of_media(&headers(&[(CONTENT_TYPE, refused)]), JSON).is_err(), "{refused}");
        }
        assert!(of_media(&headers(&[]), JSON).is_err());
        let mut two = headers(&[(CONTENT_TYPE, JSON)]);
        two.append(CONTENT_TYPE, "text/plain".parse().unwrap());
        assert!(of_media(&two, JSON).is_err(), "two of them");
    }

    #[test]
    fn a_body_is_not_coded() {
        for (coding, taken) in [("identity", true), ("gzip", false), ("identity, br", false)] {
            assert_eq!(plain(&headers(&[(CONTENT_ENCODING, coding)])).is_ok(), taken, "{coding}");
        }
        assert!(plain(&headers(&[])).is_ok());
    }
}
