//! `/admin/explain/{entity}`: what would become of a read, and why.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use hyper::HeaderMap;

use crate::service::{Arguments, ExplainError, Explained};

use super::super::access::Scope;
use super::super::problem::Problem;
use super::super::{Face, query_string};
use super::component;

/// `GET /admin/explain/{entity}?id=42`
pub(in crate::http) async fn explain(
    State(face): State<Face>,
    path: Result<Path<String>, PathRejection>,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Json<Explained>, Problem> {
    face.check(Scope::Admin, &headers)?;
    explained(&face, path, query, None).await
}

/// `POST /admin/explain/{entity}?id=42` with a candidate: a component, or a core module.
pub(in crate::http) async fn explain_candidate(
    State(face): State<Face>,
    path: Result<Path<String>, PathRejection>,
    query: RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Explained>, Problem> {
    face.check(Scope::Admin, &headers)?;
    let candidate = component(&face, &headers, body).await?;
    explained(&face, path, query, Some(candidate.to_vec())).await
}

async fn explained(
    face: &Face,
    path: Result<Path<String>, PathRejection>,
    query: RawQuery,
    candidate: Option<Vec<u8>>,
) -> Result<Json<Explained>, Problem> {
    let Path(entity) = path.map_err(|error| Problem::malformed(error.body_text()))?;
    let query = query.0.unwrap_or_default();
    let pairs = query_string::pairs(&query)?;
    match face.corral.explain(&entity, Arguments::Text(&pairs), candidate).await {
        Ok(explained) => Ok(Json(explained)),
        Err(ExplainError::Request(error)) => Err(error.into()),
        Err(ExplainError::Candidate(error)) => Err(error.into()),
    }
}
