//! Explaining a read, under the policy in force and a candidate beside it.

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::cache::{Breaker, Explanation};
use crate::policy::compare::words;
use crate::policy::gate::Rejection;
use crate::policy::{Request, Subject};

use super::Corral;
use super::requests::{Arguments, RequestError, named, typed};

/// A read, and what would become of it.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    /// The read as one writes it, its values in canonical form.
    pub read: String,
    /// The entity.
    pub entity: String,
    /// The canonical values.
    pub params: Map<String, Json>,
    /// `memory` or `redis`.
    pub store: &'static str,
    /// Whether the store is used at present.
    pub breaker: Breaker,
    /// Under the policy in force.
    pub active: Explanation,
    /// Under the candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Explanation>,
}

/// Why a read can't be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// There is no such read.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The candidate does not pass the gate.
    #[error("{0}")]
    Candidate(Box<Rejection>),
}

impl Corral {
    /// What would become of a read, and why. Nothing is loaded, claimed or written, and no counter
    /// of the policy moves.
    ///
    /// # Errors
    /// [`ExplainError`]
    pub async fn explain(
        &self,
        entity: &str,
        arguments: Arguments<'_>,
        candidate: Option<Vec<u8>>,
    ) -> Result<Explained, ExplainError> {
        let bound = self.entity(entity)?;
        let values = typed(&bound.entity.params, arguments)?;
        let arguments = named(&bound.entity.params, &values);
        let params = arguments.iter().map(|argument| {
            (argument.name.clone(), argument.value.clone().map_or(Json::Null, Json::String))
        });
        let params = params.collect();
        let request = Request { subject: Subject::Entity(entity.to_owned()), arguments };
        let (cache, entity) = (&self.inner.cache, &bound.entity);
        let candidate = match candidate {
            None => None,
            Some(bytes) => {
                let passed = self.inner.policies.examined(bytes).await;
                let passed = passed.map_err(ExplainError::Candidate)?;
                let report = passed.report();
                let label = format!("{}@{}", report.name, report.version);
                Some(cache.explain(entity, &request, &**passed.pool(), &label).await)
            }
        };
        let generation = self.inner.policies.slot().current();
        let label = generation.label();
        let active = cache.explain(entity, &request, generation.uncounted(), label).await;
        Ok(Explained {
            read: words::request(&request),
            entity: entity.name.clone(),
            params,
            store: cache.store().kind(),
            breaker: cache.store().state().0,
            active,
            candidate,
        })
    }
}
