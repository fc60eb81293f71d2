//! What a policy is told: its own settings, and what it needs to know of the entities.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Config, Entity, Param, Then, Write};

impl Config {
    /// The JSON for a component's `configure`: `[policy.settings]` as it stands, and beside it
    /// `query` and `entities`. All times are in milliseconds.
    pub fn policy_settings_json(&self) -> String {
        self.settings_json_with(&self.policy.settings)
    }

    /// The same with other settings in the place of `[policy.settings]`.
    pub fn settings_json_with(&self, settings: &Map<String, Value>) -> String {
        let mut settings = settings.clone();
        let entities = self.entities.iter().map(|(name, entity)| (name.clone(), entity.to_json()));
        settings.insert("query".to_owned(), json!({ "ttl_ms": ms(self.query.ttl) }));
        settings.insert("entities".to_owned(), Value::Object(entities.collect()));
        Value::Object(settings).to_string()
    }
}

impl Entity {
    fn to_json(&self) -> Value {
        let writes: Map<String, Value> =
            self.writes.iter().map(|(name, write)| (name.clone(), write.to_json())).collect();
        json!({
            "params": names(&self.params),
            "ttl_ms": ms(self.ttl),
            "stale_while_revalidate_ms": ms(self.stale_while_revalidate),
            "stale_if_error_ms": ms(self.stale_if_error),
            "negative_ttl_ms": ms(self.negative_ttl),
            "tags": self.tags,
            "writes": writes,
        })
    }
}

impl Write {
    fn to_json(&self) -> Value {
        let then = match self.then {
            Then::Invalidate => "invalidate",
            Then::WriteThrough => "write-through",
        };
        json!({ "params": names(&self.params), "then": then, "touches": self.touches })
    }
}

fn names(params: &[Param]) -> Vec<&str> {
    params.iter().map(|param| param.name.as_str()).collect()
}

/// Saturates; what was parsed is at most thirty days.
fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
