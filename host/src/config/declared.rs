//! What a policy is told: its own settings, and what the configuration declares.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Config, EntityConfig, Param, TagTemplate, Then, TouchText, WriteConfig};
use crate::policy::{Configuration, Entity, Parameter, Terms, Way, Write};

impl Config {
    /// What a component's `configure` gets.
    #[must_use]
    pub fn for_policy(&self) -> Configuration {
        self.for_policy_with(&self.policy.settings)
    }

    /// The same with other settings in the place of `[policy.settings]`.
    #[must_use]
    pub fn for_policy_with(&self, settings: &Map<String, Value>) -> Configuration {
        let entities = self.entities.values().map(EntityConfig::declared).collect();
        Configuration { entities, settings: settings.clone() }
    }
}

impl EntityConfig {
    /// How long the entity's values are good for.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms {
            ttl_ms: ms(self.ttl),
            negative_ttl_ms: ms(self.negative_ttl),
            stale_while_revalidate_ms: ms(self.stale_while_revalidate),
            stale_if_error_ms: ms(self.stale_if_error),
        }
    }

    fn declared(&self) -> Entity {
        Entity {
            name: self.name.clone(),
            parameters: parameters(&self.params),
            tags: self.tags.iter().map(TagTemplate::pieces).map(<[_]>::to_vec).collect(),
            terms: self.terms(),
            writes: self.writes.values().map(WriteConfig::declared).collect(),
            depends: self.depends.clone(),
        }
    }
}

impl WriteConfig {
    fn declared(&self) -> Write {
        let way = match self.then {
            Then::Invalidate => Way::Removed,
            Then::WriteThrough => Way::Refreshed,
        };
        let touches = self.touches.iter().map(TouchText::touch).cloned().collect();
        Write { name: self.name.clone(), parameters: parameters(&self.params), way, touches }
    }
}

fn parameters(params: &[Param]) -> Vec<Parameter> {
    let parameter =
        |param: &Param| Parameter { name: param.name.clone(), type_name: param.ty.to_string() };
    params.iter().map(parameter).collect()
}

/// Saturates; a parsed duration is at most thirty days.
fn ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
