//! `POST /write/{entity}/{write}` and `POST /invalidate`.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use hyper::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cache::{Invalidated, Wrote};
use crate::service::GivenTag;

use super::access::Scope;
use super::problem::Problem;
use super::{Face, body};

/// `POST /write/{entity}/{write}` with a JSON object of parameters.
pub(super) async fn write(
    State(face): State<Face>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Wrote>, Problem> {
    face.check(Scope::Write, &headers)?;
    let Path((entity, write)) = path.map_err(|error| Problem::malformed(error.body_text()))?;
    let arguments: Map<String, Value> = body::json(&headers, body).await?;
    Ok(Json(face.corral.write(&entity, &write, &arguments).await?))
}

/// The body of `POST /invalidate`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    tags: Vec<GivenTag>,
    #[serde(default)]
    reads: Vec<NamedRead>,
    /// Every value of the deployment.
    #[serde(default)]
    all: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedRead {
    entity: String,
    #[serde(default)]
    params: Map<String, Value>,
}

/// `POST /invalidate`
pub(super) async fn invalidate(
    State(face): State<Face>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    face.check(Scope::Write, &headers)?;
    let named: Named = body::json(&headers, body).await?;
    let reads: Vec<_> = named.reads.into_iter().map(|read| (read.entity, read.params)).collect();
    let counts = json!({
        "keys": named.keys.len(), "tags": named.tags.len(), "reads": reads.len(),
    });
    let mut invalidated = face.corral.invalidate(&named.keys, &named.tags, &reads).await?;
    if named.all && face.corral.flush().await == Invalidated::Pending {
        invalidated = Invalidated::Pending;
    }
    Ok(Json(match invalidated {
        Invalidated::Done(removed) => {
            json!({ "named": counts, "removed": removed, "cache": "invalidated" })
        }
        Invalidated::Pending => json!({ "named": counts, "cache": "pending" }),
    }))
}
