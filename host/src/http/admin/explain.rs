//! `/admin/explain/{entity}`: what would become of a read, and why.

use crate::service::{Arguments, ExplainError};

use super::super::access::AccessScope;
use super::super::answered::{Answered, of_json};
use super::super::problem::Problem;
use super::super::route::{HttpCall, decoded};
use super::super::{Face, query_string};
use super::component;

/// `GET /admin/explain/{entity}?id=42`
pub(super) async fn explain(call: HttpCall<'_>, entity: &str) -> Result<Answered, Problem> {
    call.check(AccessScope::Admin)?;
    explained(call.face, entity, call.query, None).await
}

/// `POST /admin/explain/{entity}?id=42` with a candidate: a component, or a core module.
pub(super) async fn candidate(call: HttpCall<'_>, entity: &str) -> Result<Answered, Problem> {
    call.check(AccessScope::Admin)?;
    let candidate = component(call.face, call.headers, call.body).await?;
    explained(call.face, entity, call.query, Some(candidate.to_vec())).await
}

async fn explained(
    face: &Face,
    entity: &str,
    query: &str,
    candidate: Option<Vec<u8>>,
) -> Result<Answered, Problem> {
    let entity = decoded("entity", entity)?;
    let pairs = query_string::pairs(query)?;
    match face.corral.explain(&entity, Arguments::Text(&pairs), candidate).await {
        Ok(explained) => of_json(&explained),
        Err(ExplainError::Request(error)) => Err(error.into()),
        Err(ExplainError::Candidate(error)) => Err(error.into()),
    }
}
