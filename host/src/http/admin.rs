//! The admin face: the policy, metrics, and nothing that reads or writes data.

mod entities;
mod explain;
mod fleet;
mod shadow;

use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Map, Value, json};

use crate::policy::Provenance;
use crate::policy::prove::gate::Rejection;
use crate::service::{Candidate, Corral, InstallError, Installed};

use super::access::AccessScope;
use super::answered::{Answered, of_json, of_type};
use super::problem::Problem;
use super::route::{self, DELETE, GET, Handler, HttpCall, POST, PUT, to};
use super::{Answers, Face, body, healthz, readyz};

/// What operators see: the policy and metrics.
pub struct Admin {
    face: Face,
}

impl Admin {
    /// The admin face of a host.
    #[must_use]
    pub fn new(corral: Corral) -> Self {
        Self { face: Face { corral } }
    }
}

/// The paths of the admin face.
fn admin<'r>(method: &Method, path: &'r [&'r str]) -> Option<Handler<'r>> {
    Some(match (method, path) {
        (&GET, ["admin", "entities"]) => to(entities::entities),
        (&GET, ["admin", "explain", entity]) => to(|call| explain::explain(call, entity)),
        (&POST, ["admin", "explain", entity]) => to(|call| explain::candidate(call, entity)),
        (&GET, ["admin", "fleet"]) => to(fleet::fleet),
        (&PUT, ["admin", "policy", "rollout"]) => to(fleet::begin),
        (&DELETE, ["admin", "policy", "rollout"]) => to(fleet::end),
        (&GET, ["admin", "policy"]) => to(policy),
        (&PUT, ["admin", "policy"]) => to(put_policy),
        (&GET, ["admin", "policy", "shadow"]) => to(shadow::report),
        (&PUT, ["admin", "policy", "shadow"]) => to(shadow::start),
        (&DELETE, ["admin", "policy", "shadow"]) => to(shadow::end),
        (&GET, ["admin", "policy", "settings"]) => to(settings),
        (&PUT, ["admin", "policy", "settings"]) => to(put_settings),
        (&POST, ["admin", "policy", "rollback"]) => to(rollback),
        (&GET, ["metrics"]) => to(metrics),
        (&GET, ["healthz"]) => to(healthz),
        (&GET, ["readyz"]) => to(readyz),
        _ => return None,
    })
}

impl Answers for Admin {
    async fn answer(&self, request: Request<Incoming>) -> Answered {
        let answer = route::answer(&self.face, admin, request).await;
        answer.unwrap_or_else(Problem::into_response)
    }
}

/// `GET /admin/policy`
async fn policy(call: HttpCall<'_>) -> Result<Answered, Problem> {
    call.check(AccessScope::Admin)?;
    of_json(&call.face.corral.policies().status())
}

/// `PUT /admin/policy` with a component, or a core module. With `?rename=allow` it may name keys
/// otherwise; with `?rename=learn` invalidations cover its names, and it does not come into force.
async fn put_policy(call: HttpCall<'_>) -> Result<Answered, Problem> {
    let asked = Instant::now();
    call.check(AccessScope::Admin)?;
    let HttpCall { face, headers, query, body } = call;
    let learn = query == "rename=learn";
    let allow_rename = learn || allows_rename(query)?;
    let bytes = component(face, headers, body).await?;
    let candidate = Candidate::new(bytes.to_vec(), Provenance::Pushed);
    if learn {
        let learned = face.corral.policies().learn(Candidate { asked, ..candidate }).await?;
        let Installed { generation, report, took_ms } = &learned;
        let learned = generation.summary();
        return of_json(&json!({ "learned": learned, "report": report, "took_ms": took_ms }));
    }
    let candidate = Candidate { allow_rename, asked, ..candidate };
    of_json(&installed(&face.corral.policies().exchange(candidate).await?))
}

/// A body that is a component, of the size that the gate takes too.
async fn component(face: &Face, headers: &HeaderMap, body: Incoming) -> Result<Bytes, Problem> {
    body::component(headers, body, face.corral.config().policy.limits.component_bytes).await
}

/// `GET /admin/policy/settings`
async fn settings(call: HttpCall<'_>) -> Result<Answered, Problem> {
    call.check(AccessScope::Admin)?;
    of_json(&call.face.corral.policies().settings())
}

/// `PUT /admin/policy/settings` with a JSON object, as `[policy.settings]` would be.
async fn put_settings(call: HttpCall<'_>) -> Result<Answered, Problem> {
    let asked = Instant::now();
    call.check(AccessScope::Admin)?;
    let allow_rename = allows_rename(call.query)?;
    let settings: Map<String, Value> = body::json(call.headers, call.body).await?;
    let exchange = call.face.corral.policies().exchange_settings(&settings, allow_rename, asked);
    of_json(&installed(&exchange.await?))
}

fn allows_rename(query: &str) -> Result<bool, Problem> {
    match query {
        "" => Ok(false),
        "rename=allow" => Ok(true),
        _ => Err(Problem::malformed(
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
async fn rollback(call: HttpCall<'_>) -> Result<Answered, Problem> {
    call.check(AccessScope::Admin)?;
    match call.face.corral.policies().rollback() {
        Ok(generation) => of_json(&json!({ "active": generation.summary() })),
        Err(nothing) => Err(Problem::new(
            StatusCode::CONFLICT,
            "nothing-to-roll-back",
            "There is nothing to roll back to",
            nothing.to_string(),
        )),
    }
}

/// `GET /metrics`
async fn metrics(call: HttpCall<'_>) -> Result<Answered, Problem> {
    call.check(AccessScope::Admin)?;
    Ok(of_type("text/plain; version=0.0.4", call.face.corral.metrics()))
}
