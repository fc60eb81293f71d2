//! `/admin/policy/shadow`: a candidate beside the policy in force, on live requests.

use hyper::StatusCode;

use crate::service::ShadowError;

use super::super::access::AccessScope;
use super::super::answered::{Answered, of_json};
use super::super::problem::Problem;
use super::super::query_string;
use super::super::route::HttpCall;
use super::component;

/// `PUT /admin/policy/shadow?sample=0.1` with a component, or a core module.
pub(super) async fn start(call: HttpCall<'_>) -> Result<Answered, Problem> {
    call.check(AccessScope::Admin)?;
    let sample = sample(call.query)?;
    let bytes = component(call.face, call.headers, call.body).await?;
    match call.face.corral.policies().start_shadow(bytes.to_vec(), sample).await {
        Ok(report) => of_json(&report),
        Err(ShadowError::Refused(error)) => Err(error.into()),
        Err(ShadowError::Thread(error)) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no-thread",
            "The shadow can't run",
            error.to_string(),
        )),
    }
}

/// How much of what happens a shadow is asked; all of it, unless the query string says otherwise.
fn sample(query: &str) -> Result<f64, Problem> {
    let sample = match query_string::pairs(query).as_deref() {
        Ok([]) => Some(1.0),
        Ok([(name, share)]) if name == "sample" => share.parse().ok(),
        Ok(_) | Err(_) => None,
    };
    sample.filter(|share| *share > 0.0 && *share <= 1.0).ok_or_else(|| {
        Problem::malformed(
            "this path takes ?sample= with a share of all requests, above 0 and at most 1, or nothing",
        )
    })
}

/// `GET /admin/policy/shadow`
pub(super) async fn report(call: HttpCall<'_>) -> Result<Answered, Problem> {
    call.check(AccessScope::Admin)?;
    of_json(&call.face.corral.policies().shadow().ok_or_else(none)?)
}

/// `DELETE /admin/policy/shadow`
pub(super) async fn end(call: HttpCall<'_>) -> Result<Answered, Problem> {
    call.check(AccessScope::Admin)?;
    of_json(&call.face.corral.policies().end_shadow().ok_or_else(none)?)
}

fn none() -> Problem {
    let detail = "no policy runs beside the one in force; PUT starts one";
    Problem::new(StatusCode::NOT_FOUND, "no-shadow", "There is no shadow", detail)
}
