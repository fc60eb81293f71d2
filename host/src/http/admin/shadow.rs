//! `/admin/policy/shadow`: a candidate beside the policy in force, on live requests.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use hyper::{HeaderMap, StatusCode};

use crate::policy::ShadowReport;
use crate::service::ShadowError;

use super::super::Face;
use super::super::access::Scope;
use super::super::problem::Problem;
use super::component;

/// How much of what happens a shadow is asked.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Sampling {
    #[serde(default = "everything")]
    sample: f64,
}

/// `PUT /admin/policy/shadow?sample=0.1` with a component, or a core module.
pub(in crate::http) async fn start(
    State(face): State<Face>,
    query: Result<Query<Sampling>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ShadowReport>, Problem> {
    face.check(Scope::Admin, &headers)?;
    let Query(Sampling { sample }) =
        query.map_err(|error| Problem::malformed(error.body_text()))?;
    if !(sample > 0.0 && sample <= 1.0) {
        return Err(Problem::malformed("sample is a share of all requests: above 0, at most 1"));
    }
    let bytes = component(&face, &headers, body).await?;
    match face.corral.policies().start_shadow(bytes.to_vec(), sample).await {
        Ok(report) => Ok(Json(report)),
        Err(ShadowError::Refused(error)) => Err(error.into()),
        Err(ShadowError::Thread(error)) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no-thread",
            "The shadow can't run",
            error.to_string(),
        )),
    }
}

/// `GET /admin/policy/shadow`
pub(in crate::http) async fn report(
    State(face): State<Face>,
    headers: HeaderMap,
) -> Result<Json<ShadowReport>, Problem> {
    face.check(Scope::Admin, &headers)?;
    face.corral.policies().shadow().map(Json).ok_or_else(none)
}

/// `DELETE /admin/policy/shadow`
pub(in crate::http) async fn end(
    State(face): State<Face>,
    headers: HeaderMap,
) -> Result<Json<ShadowReport>, Problem> {
    face.check(Scope::Admin, &headers)?;
    face.corral.policies().end_shadow().map(Json).ok_or_else(none)
}

fn everything() -> f64 {
    1.0
}

fn none() -> Problem {
    let detail = "no policy runs beside the one in force; PUT starts one";
    Problem::new(StatusCode::NOT_FOUND, "no-shadow", "There is no shadow", detail)
}
