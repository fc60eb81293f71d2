//! `GET /read/{entity}` and `POST /query`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AGE, CACHE_CONTROL, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use crate::beside::Beside;
use crate::cache::Answer;
use crate::service::{Arguments, ReadRequest};

use super::access::{self, AccessScope};
use super::answered::{Answered, of_type};
use super::cache_status::cache_status;
use super::etag::etag;
use super::problem::Problem;
use super::route::{HttpCall, decoded};
use super::{Face, body, cache_control, query_string};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
pub(super) const CORRAL_POLICY: HeaderName = HeaderName::from_static("corral-policy");

/// `GET /read/{entity}?id=42`
pub(super) async fn read(call: HttpCall<'_>, entity: &str) -> Result<Answered, Problem> {
    let entity = decoded("entity", entity)?;
    call.face.read(&entity, call.query, call.headers).await
}

/// The entity of a request that is plainly a read. Such a request skips the table, since a look into
/// the table takes about as long as a near hit. `HEAD` and escaped names are for the table.
pub(super) fn plainly<B>(request: &Request<B>) -> Option<&str> {
    let entity = request.uri().path().strip_prefix("/read/")?;
    let plain = !entity.is_empty() && !entity.contains(['%', '/']);
    (plain && request.method() == Method::GET).then_some(entity)
}

impl Face {
    /// `GET /read/{entity}`, however it came here.
    pub(super) async fn read(
        &self,
        entity: &str,
        query: &str,
        headers: &HeaderMap,
    ) -> Result<Answered, Problem> {
        let edition = self.corral.edition();
        let config = edition.config();
        access::check(config, AccessScope::Read, headers)?;
        let pairs = query_string::pairs(query)?;
        let request = ReadRequest {
            entity,
            arguments: Arguments::Text(&pairs),
            no_cache: config.access.no_cache && wants_fresh(headers),
        };
        let answer = self.corral.read_by(&edition, request).await?;
        let cache_control = cache_control::of(config, entity);
        Ok(respond(answer, headers.get(IF_NONE_MATCH), cache_control))
    }
}

/// `POST /query`
pub(super) async fn query(call: HttpCall<'_>) -> Result<Answered, Problem> {
    call.check(AccessScope::Read)?;
    let request = body::json(call.headers, call.body).await?;
    let answer = call.face.corral.query(request).await?;
    Ok(respond(answer, None, cache_control::usual(&call.face.corral.config())))
}

fn wants_fresh(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CACHE_CONTROL).iter();
    values.filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
    })
}

fn respond(
    answer: Answer,
    if_none_match: Option<&HeaderValue>,
    cache_control: HeaderValue,
) -> Answered {
    let status = cache_status(&answer);
    let etag = answer.etag.map(|etag| match &answer.ready {
        Some(ready) => kept(ready.beside(), || self::etag(etag)),
        None => self::etag(etag),
    });
    let mut response = match (&etag, if_none_match) {
        (Some(etag), Some(condition)) if matches(condition, etag.as_bytes()) => {
            not_modified(cache_control)
        }
        _ => match answer.body {
            Some(body) => json_response(body, cache_control),
            None => Problem::no_row().into_response(),
        },
    };
    let headers = response.headers_mut();
    // A key is in quotes there, and escaped: it is always legal.
    if let Ok(status) = HeaderValue::from_maybe_shared(Bytes::from(status)) {
        headers.insert(CACHE_STATUS, status);
    }
    let label = || policy_label(answer.generation.label());
    headers.insert(CORRAL_POLICY, kept(answer.generation.beside(), label));
    headers.insert(AGE, seconds(answer.age_ms));
    if let Some(etag) = etag {
        headers.insert(ETAG, etag);
    }
    response
}

/// A header's value that is made once for what it stands beside.
fn kept(beside: &Beside, make: impl Fn() -> HeaderValue) -> HeaderValue {
    beside.get_or_make(&make).cloned().unwrap_or_else(make)
}

fn policy_label(label: &str) -> HeaderValue {
    // The gate lets no name pass that a header can't carry.
    HeaderValue::from_str(label).unwrap_or(HeaderValue::from_static("policy"))
}

fn matches(condition: &HeaderValue, etag: &[u8]) -> bool {
    let Ok(condition) = condition.to_str() else { return false };
    condition.split(',').map(str::trim).any(|candidate| {
        candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate).as_bytes() == etag
    })
}

/// Milliseconds as whole seconds.
fn seconds(ms: u64) -> HeaderValue {
    // One allocation where the conversion of a number has two.
    let digits = HeaderValue::from_str(itoa::Buffer::new().format(ms / 1000));
    digits.unwrap_or(HeaderValue::from_static("0"))
}

fn not_modified(cache_control: HeaderValue) -> Answered {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().insert(CACHE_CONTROL, cache_control);
    response
}

fn json_response(body: Bytes, cache_control: HeaderValue) -> Answered {
    let mut response = of_type("application/json", body);
    response.headers_mut().insert(CACHE_CONTROL, cache_control);
    response
}
