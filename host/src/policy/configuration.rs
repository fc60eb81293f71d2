//! What a policy is configured with.

use serde_json::{Map, Value};

use super::Entity;

/// What `configure` is given: every entity, sorted by name, and the policy's own settings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Configuration {
    /// What the host's configuration declares.
    pub entities: Vec<Entity>,
    /// `[policy.settings]`.
    pub settings: Map<String, Value>,
}

impl Configuration {
    /// The policy's own settings as `configure` gets them.
    #[must_use]
    pub fn settings_json(&self) -> String {
        // A map of JSON values can be written as JSON.
        serde_json::to_string(&self.settings).unwrap_or_default()
    }
}
