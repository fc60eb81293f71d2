//! Explains a read: what would become of it under the policy in force and under a candidate, and why. Nothing
//! is loaded, claimed, waited for or written: the store is only looked at, and the rest are the policy's own
//! turns, checked by the guard.

mod walk;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::cache::{Breaker, Entropy, Sight, millis, sighting};
use crate::origin::Fetched;
use crate::policy::prove::compare::words;
use crate::policy::run::guard;
use crate::policy::{Decider, Named, Request, Subject};
use crate::store::Envelope;

use super::policies::InstallError;
use super::requests::{Arguments, RequestError, named, typed};
use super::{BoundEntity, Corral};
use walk::{Assumed, StoreView};
pub use walk::{ExplainedFlight, ExplainedTurn};

/// A read and what would become of it.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    /// The read as an operator writes it, with canonical values.
    pub read: String,
    /// The entity.
    pub entity: String,
    /// The canonical values.
    pub params: Map<String, Json>,
    /// `memory` or `redis`.
    pub store: &'static str,
    /// Whether the store is used at present.
    pub breaker: Breaker,
    /// The read under the policy in force.
    pub active: Explanation,
    /// The read under the candidate, if there is one.
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
    Candidate(InstallError),
}

impl Corral {
    /// Explains a read: what would become of it, and why. Nothing is loaded, claimed or written, and no
    /// counter of the policy moves.
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
        let candidate = match candidate {
            None => None,
            Some(bytes) => {
                let passed = self.inner.policies.examined(bytes).await;
                let passed = passed.map_err(ExplainError::Candidate)?;
                let report = passed.report();
                let label = format!("{}@{}", report.name, report.version);
                Some(self.explain_under(&bound, &request, &**passed.pool(), &label).await)
            }
        };
        let generation = self.inner.policies.slot().current();
        let label = generation.label();
        let active = self.explain_under(&bound, &request, generation.uncounted(), label).await;
        Ok(Explained {
            read: words::request(&request),
            entity: bound.entity.name.clone(),
            params,
            store: self.store_kind(),
            breaker: self.inner.cache.standing().store,
            active,
            candidate,
        })
    }

    async fn explain_under(
        &self,
        bound: &BoundEntity,
        request: &Request,
        policy: &dyn Decider,
        label: &str,
    ) -> Explanation {
        let plan = match policy.plan(request) {
            Ok(Ok(plan)) => Named::try_new(plan).map_err(|illegal| illegal.to_string()),
            Ok(Err(refusal)) => Err(words::refusal(&refusal)),
            Err(trap) => Err(trap.to_string()),
        };
        let plan = match plan {
            Ok(plan) => plan,
            Err(problem) => return Explanation::without_key(label, problem),
        };
        let cache = &self.inner.cache;
        let place = bound.definition.place_of(request, &plan);
        let seen = cache.look_at(&bound.definition, &place).await;
        let now_ms = cache.now_ms(&place.name);
        let (sight, problem) = match seen {
            Ok(sight) => (sight, None),
            Err(error) => (Sight::default(), Some(error.to_string())),
        };
        let entity = &bound.entity;
        let found = sight.envelope.as_ref();
        let believed = found.filter(|_| sight.believed);
        let world = StoreView {
            reachable: problem.is_none(),
            found: believed.map(|envelope| sighting(envelope, now_ms)),
            bytes: believed.and_then(|e| e.body.as_ref()).map_or(0, bytes::Bytes::len),
            held_ms: sight.held.map(millis),
            ttl_ms: millis(entity.ttl),
            stale_ms: millis(entity.stale_while_revalidate),
        };
        let flight = walk::ExplainQuestion {
            policy,
            memo: plan.memo,
            deadline_ms: millis(entity.deadline),
            kept_at_most: entity.terms().kept_at_most(),
            entropy: &crate::cache::SystemEntropy as &dyn Entropy,
        };
        let courses = Assumed::all(&world).into_iter().flat_map(|a| flight.walk(&a, &world));
        Explanation {
            policy: label.to_owned(),
            key: Some(plan.key.to_string()),
            name: Some(place.name.to_string()),
            tags: plan.tags.iter().map(ToString::to_string).collect(),
            row_tags: found.and_then(|envelope| row_tags(policy, request, &plan, envelope)),
            row_columns: plan.row_columns.clone(),
            problem,
            envelope: found.map(|envelope| glance(envelope, now_ms, sight.believed)),
            lease_held_ms: sight.held.map(|held| u64::from(millis(held))),
            courses: courses.collect(),
        }
    }
}

/// A read under one policy.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// `name@version;generation=7`; for a candidate, without the generation.
    pub policy: String,
    /// The key; `None` if there is none, as `problem` explains.
    pub key: Option<String>,
    /// The key's name in the store.
    pub name: Option<String>,
    /// The tags that the request alone determines.
    pub tags: Vec<String>,
    /// The tags that depend on the row, made from the row in the store, as its JSON spells the values. `None`
    /// if no tag depends on the row or if there is no row to make them from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_tags: Option<Vec<String>>,
    /// The columns on which tags depend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub row_columns: Vec<String>,
    /// Why there is no plan, or why the store can't be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The value that the store has under the key.
    pub envelope: Option<Glance>,
    /// For how long the lease is held unless it is renewed; `None` if it is free.
    pub lease_held_ms: Option<u64>,
    /// What a read would do: now, and under each assumption.
    pub courses: Vec<ExplainedFlight>,
}

/// A stored value at a glance, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Glance {
    /// Time since the value was loaded.
    pub age_ms: u64,
    /// Time until a hit refreshes the value; 0 if the refresh is due.
    pub refresh_in_ms: u64,
    /// How long the value stays fresh; 0 if it is stale.
    pub fresh_for_ms: u64,
    /// For how long the value has been stale; 0 if it is fresh.
    pub stale_since_ms: u64,
    /// How long the value is kept.
    pub kept_for_ms: u64,
    /// How long the value's load took.
    pub cost_ms: u32,
    /// The generation that decided the lifetime, as numbered by the host that filled the value.
    pub generation: u64,
    /// The size of the body.
    pub bytes: usize,
    /// Whether the origin had no such row.
    pub negative: bool,
    /// Whether the value answers this read: it was loaded for this read, and nothing has made it untrue
    /// since.
    pub believed: bool,
}

impl Explanation {
    fn without_key(label: &str, problem: String) -> Self {
        Self {
            policy: label.to_owned(),
            key: None,
            name: None,
            tags: Vec::new(),
            row_tags: None,
            row_columns: Vec::new(),
            problem: Some(format!("{problem}: loaded each time and never stored")),
            envelope: None,
            lease_held_ms: None,
            courses: Vec::new(),
        }
    }
}

fn row_tags(
    policy: &dyn Decider,
    request: &Request,
    plan: &Named,
    envelope: &Envelope,
) -> Option<Vec<String>> {
    let body = envelope.body.clone().filter(|_| !plan.row_columns.is_empty());
    let rows = Fetched::of_json(Some(body?), &plan.row_columns).rows;
    let tags = policy.row_tags(request, &rows).ok()?.ok()?;
    let legal = guard::tags(&tags).ok()?;
    Some(legal.iter().map(ToString::to_string).collect())
}

fn glance(envelope: &Envelope, now_ms: u64, believed: bool) -> Glance {
    let until = |at_ms: u64| at_ms.saturating_sub(now_ms);
    Glance {
        age_ms: now_ms.saturating_sub(envelope.loaded_at_ms),
        refresh_in_ms: until(envelope.refresh_at_ms),
        fresh_for_ms: until(envelope.fresh_until_ms),
        stale_since_ms: now_ms.saturating_sub(envelope.fresh_until_ms),
        kept_for_ms: until(envelope.stale_until_ms),
        cost_ms: envelope.cost_ms,
        generation: envelope.generation,
        bytes: envelope.body.as_ref().map_or(0, bytes::Bytes::len),
        negative: envelope.body.is_none(),
        believed,
    }
}
