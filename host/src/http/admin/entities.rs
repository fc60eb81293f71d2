//! `/admin/entities`: what this host can be asked for.

use serde_json::{Value, json};

use crate::config::EntityConfig;

use super::super::access::AccessScope;
use super::super::answered::{Answered, of_json};
use super::super::problem::Problem;
use super::super::route::HttpCall;

/// `GET /admin/entities`: the entities of the configuration in force, without their statements.
pub(super) async fn entities(call: HttpCall<'_>) -> Result<Answered, Problem> {
    call.check(AccessScope::Admin)?;
    let config = call.face.corral.config();
    of_json(&config.entities.values().map(entity).collect::<Vec<_>>())
}

fn entity(entity: &EntityConfig) -> Value {
    let params = entity.params.iter().map(|param| format!("{}:{}", param.name, param.ty));
    json!({
        "name": entity.name,
        "params": params.collect::<Vec<_>>(),
        "ttl_ms": entity.ttl.as_millis() as u64,
        "tags": entity.tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "writes": entity.writes.keys().collect::<Vec<_>>(),
    })
}
