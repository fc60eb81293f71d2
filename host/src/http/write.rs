//! `POST /write/{entity}/{write}` and `POST /invalidate`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::cache::Invalidated;
use crate::service::GivenTag;

use super::access::AccessScope;
use super::answered::{Answered, of_json};
use super::body;
use super::problem::Problem;
use super::route::{HttpCall, decoded};

/// `POST /write/{entity}/{write}` with a JSON object of parameters.
pub(super) async fn write(
    call: HttpCall<'_>,
    entity: &str,
    write: &str,
) -> Result<Answered, Problem> {
    call.check(AccessScope::Write)?;
    let (entity, write) = (decoded("entity", entity)?, decoded("write", write)?);
    let arguments: Map<String, Value> = body::json(call.headers, call.body).await?;
    of_json(&call.face.corral.write(&entity, &write, &arguments).await?)
}

/// The body of `POST /invalidate`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InvalidateBody {
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
#[serde(deny_unknown_fields, expecting = "an object with `entity` and `params`")]
struct NamedRead {
    entity: String,
    #[serde(default)]
    params: Map<String, Value>,
}

/// `POST /invalidate`
pub(super) async fn invalidate(call: HttpCall<'_>) -> Result<Answered, Problem> {
    call.check(AccessScope::Write)?;
    let named: InvalidateBody = body::json(call.headers, call.body).await?;
    let corral = &call.face.corral;
    let reads: Vec<_> = named.reads.into_iter().map(|read| (read.entity, read.params)).collect();
    let counts = json!({
        "keys": named.keys.len(), "tags": named.tags.len(), "reads": reads.len(),
    });
    let mut invalidated = corral.invalidate(&named.keys, &named.tags, &reads).await?;
    if named.all && corral.flush().await == Invalidated::Pending {
        invalidated = Invalidated::Pending;
    }
    of_json(&match invalidated {
        Invalidated::Done(removed) => {
            json!({ "named": counts, "removed": removed, "cache": "invalidated" })
        }
        Invalidated::Pending => json!({ "named": counts, "cache": "pending" }),
    })
}
