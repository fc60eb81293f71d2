//! The admin face: the policy, metrics, and nothing that reads or writes data.

mod explain;
pub(super) mod shadow;

use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use crate::policy::Origin;
use crate::policy::prove::gate::Rejection;
use crate::service::{Candidate, InstallError, Installed, PolicyStatus};

pub(super) use explain::{explain, explain_candidate};

use super::access::Scope;
use super::problem::Problem;
use super::{Face, body};

/// `GET /admin/policy`
pub(super) async fn policy(
    State(face): State<Face>,
    headers: HeaderMap,
) -> Result<Json<PolicyStatus>, Problem> {
    face.check(Scope::Admin, &headers)?;
    Ok(Json(face.corral.policies().status()))
}

/// `PUT /admin/policy` with a component, or a core module. With `?rename=allow` it may name keys
/// otherwise; with `?rename=learn` invalidations cover its names, and it does not come into force.
pub(super) async fn put_policy(
    State(face): State<Face>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let asked = Instant::now();
    face.check(Scope::Admin, &headers)?;
    let learn = query.as_deref() == Some("rename=learn");
    let allow_rename = learn || allows_rename(query.as_deref())?;
    let bytes = component(&face, &headers, body).await?;
    let candidate = Candidate::new(bytes.to_vec(), Origin::Pushed);
    if learn {
        let learned = face.corral.policies().learn(Candidate { asked, ..candidate }).await?;
        let Installed { generation, report, took_ms } = &learned;
        let learned = generation.summary();
        return Ok(Json(json!({ "learned": learned, "report": report, "took_ms": took_ms })));
    }
    let candidate = Candidate { allow_rename, asked, ..candidate };
    Ok(Json(installed(&face.corral.policies().exchange(candidate).await?)))
}

/// A body that is a component, of the size that the gate takes too.
async fn component(face: &Face, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    body::component(headers, body, face.corral.config().policy.limits.component_bytes).await
}

/// `GET /admin/policy/settings`
pub(super) async fn settings(
    State(face): State<Face>,
    headers: HeaderMap,
) -> Result<Json<Map<String, Value>>, Problem> {
    face.check(Scope::Admin, &headers)?;
    Ok(Json(face.corral.policies().settings()))
}

/// `PUT /admin/policy/settings` with a JSON object, as `[policy.settings]` would be.
pub(super) async fn put_settings(
    State(face): State<Face>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let asked = Instant::now();
    face.check(Scope::Admin, &headers)?;
    let allow_rename = allows_rename(query.as_deref())?;
    let settings: Map<String, Value> = body::json(&headers, body).await?;
    let exchange = face.corral.policies().exchange_settings(&settings, allow_rename, asked);
    Ok(Json(installed(&exchange.await?)))
}

fn allows_rename(query: Option<&str>) -> Result<bool, Problem> {
    match query {
        None | Some("") => Ok(false),
        Some("rename=allow") => Ok(true),
        Some(_) => Err(Problem::malformed(
            "this path takes ?rename=allow, ?rename=learn for a component, or nothing",
        )),
    }
}

fn installed(installed: &Installed) -> Value {
    let Installed { generation, report, took_ms } = installed;
    json!({ "active": generation.summary(), "report": report, "took_ms": took_ms })
}

impl From<InstallError> for Problem {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Refused(rejection) => refused(&rejection),
            InstallError::Renames(renames) => Self::new(
                StatusCode::CONFLICT,
                "policy-renames",
                "The policy gives reads other keys",
                renames.to_string(),
            )
            .with("hot", json!(renames.hot))
            .with("generated", json!(renames.generated)),
            InstallError::Condemned => Self::new(
                StatusCode::CONFLICT,
                "policy-condemned",
                "The policy was rolled back by itself",
                error.to_string(),
            ),
        }
    }
}

/// 422 with the gate's report.
fn refused(rejection: &Rejection) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "policy-refused",
        "The policy did not pass the gate",
        rejection.reason.clone(),
    )
    .with("report", json!(rejection))
}

/// `POST /admin/policy/rollback`
pub(super) async fn rollback(
    State(face): State<Face>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    face.check(Scope::Admin, &headers)?;
    match face.corral.policies().rollback() {
        Ok(generation) => Ok(Json(json!({ "active": generation.summary() }))),
        Err(nothing) => Err(Problem::new(
            StatusCode::CONFLICT,
            "nothing-to-roll-back",
            "There is nothing to roll back to",
            nothing.to_string(),
        )),
    }
}

/// `GET /metrics`
pub(super) async fn metrics(
    State(face): State<Face>,
    headers: HeaderMap,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    face.check(Scope::Admin, &headers)?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], face.corral.metrics()))
}
