//! The conditions under which the gate examines a candidate, made from the configuration.

use std::sync::Arc;

use crate::config::{Config, QueryConfig};
use crate::policy::prove::gate::{Conditions, QueryConditions};

/// The conditions under which a candidate is examined for this configuration, without hot reads.
#[must_use]
pub fn conditions(config: &Config) -> Conditions {
    let entities = config.entities.values();
    Conditions {
        configuration: Arc::new(config.for_policy()),
        deadlines: entities.map(|entity| (entity.name.clone(), entity.deadline)).collect(),
        query: config.query.enabled.then(|| query(&config.query)),
        hot: Vec::new(),
    }
}

fn query(query: &QueryConfig) -> QueryConditions {
    // Fits: every duration of a configuration is at most thirty days.
    let ttl_ms = u32::try_from(query.ttl.as_millis()).unwrap_or(u32::MAX);
    QueryConditions { ttl_ms, deadline: query.deadline }
}
