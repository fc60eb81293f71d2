//! The admin face: the policy, metrics, and nothing that reads or writes data.

mod explain;
pub(super) mod shadow;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use serde_json::{Value, json};

use crate::policy::gate::Rejection;
use crate::policy::{Origin, Status};
use crate::service::Installed;

pub(super) use explain::{explain, explain_candidate};

use super::access::Scope;
use super::problem::Problem;
use super::{Face, collect};

/// The largest component that is taken: a Python interpreter as a component has 18 MB.
const COMPONENT_LIMIT: usize = 64 << 20;

/// `GET /admin/policy`
pub(super) async fn policy(
    State(face): State<Face>,
    headers: HeaderMap,
) -> Result<Json<Status>, Problem> {
    face.gatekeeper.check(Scope::Admin, &headers)?;
    Ok(Json(face.corral.policies().status()))
}

/// `PUT /admin/policy` with a component, or a core module.
pub(super) async fn put_policy(
    State(face): State<Face>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    face.gatekeeper.check(Scope::Admin, &headers)?;
    let bytes = collect(body, COMPONENT_LIMIT).await?;
    match face.corral.policies().install(bytes.to_vec(), Origin::Pushed).await {
        Ok(Installed { generation, report }) => {
            Ok(Json(json!({ "active": generation.summary(), "report": report })))
        }
        Err(rejection) => Err(refused(&rejection)),
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
    face.gatekeeper.check(Scope::Admin, &headers)?;
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
    face.gatekeeper.check(Scope::Admin, &headers)?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], face.corral.metrics()))
}
