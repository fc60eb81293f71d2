//! `GET /read/{entity}` and `POST /query`.

use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;

use crate::cache::{Answer, quoted_etag};
use crate::service::{Arguments, ReadRequest};

use super::access::Scope;
use super::cache_status::cache_status;
use super::problem::Problem;
use super::{Face, json_body};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
pub(super) const CORRAL_POLICY: HeaderName = HeaderName::from_static("corral-policy");

/// `GET /read/{entity}?id=42`, and `HEAD`.
pub(super) async fn read(
    State(face): State<Face>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    face.gatekeeper.check(Scope::Read, &headers)?;
    let Path(entity) = path.map_err(|error| Problem::malformed(error.body_text()))?;
    let Query(pairs) = query.map_err(|error| Problem::malformed(error.body_text()))?;
    let request = ReadRequest {
        entity: &entity,
        arguments: Arguments::Text(&pairs),
        no_cache: wants_fresh(&headers),
    };
    let answer = face.corral.read(request).await?;
    Ok(respond(answer, headers.get(IF_NONE_MATCH)))
}

/// `POST /query`
pub(super) async fn query(
    State(face): State<Face>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, Problem> {
    face.gatekeeper.check(Scope::Read, &headers)?;
    let request = json_body(body).await?;
    Ok(respond(face.corral.query(request).await?, None))
}

fn wants_fresh(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CACHE_CONTROL).iter();
    values.filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
    })
}

fn respond(answer: Answer, if_none_match: Option<&HeaderValue>) -> Response<Body> {
    let etag = etag(&answer);
    let mut response = match (&etag, if_none_match) {
        (Some(etag), Some(condition)) if matches(condition, etag) => {
            status(StatusCode::NOT_MODIFIED)
        }
        _ => match answer.body.clone() {
            Some(body) => json_response(body),
            None => Problem::no_row().into_response(),
        },
    };
    let headers = response.headers_mut();
    insert(headers, CACHE_STATUS, cache_status(&answer));
    match &answer.ready {
        Some(ready) => insert(headers, CORRAL_POLICY, ready.policy.clone()),
        None => insert(headers, CORRAL_POLICY, answer.generation.label().to_owned()),
    }
    headers.insert(AGE, HeaderValue::from(answer.age_ms / 1000));
    if let Some(etag) = etag {
        insert(headers, ETAG, etag);
    }
    response
}

fn etag(answer: &Answer) -> Option<Bytes> {
    match &answer.ready {
        Some(ready) => ready.etag.clone(),
        None => answer.etag.map(|etag| quoted_etag(etag).into()),
    }
}

fn matches(condition: &HeaderValue, etag: &[u8]) -> bool {
    let Ok(condition) = condition.to_str() else { return false };
    condition.split(',').map(str::trim).any(|candidate| {
        candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate).as_bytes() == etag
    })
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

pub(super) fn json_response(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Our own texts are legal header values; what a policy calls itself was checked at the gate.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: impl Into<Bytes>) {
    if let Ok(value) = HeaderValue::from_maybe_shared(value.into()) {
        headers.insert(name, value);
    }
}
