//! The settings in force, and their exchange: the same component, told something else, through the
//! same gate.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};

use crate::policy::RESERVED_SETTINGS;
use crate::policy::Reason;
use crate::policy::gate::{Finding, Rejection, Stage};

use super::exchange::{Candidate, InstallError, Installed};
use super::{Policies, lock};

impl Policies {
    /// `[policy.settings]` in force. They belong to the generation: whoever goes back to the
    /// previous one goes back to its settings.
    #[must_use]
    pub fn settings(&self) -> Map<String, Value> {
        let current = self.inner.slot.current();
        let told: Value = serde_json::from_str(current.settings()).unwrap_or_default();
        let Value::Object(mut settings) = told else { return Map::new() };
        settings.retain(|name, _| !RESERVED_SETTINGS.contains(&name.as_str()));
        settings
    }

    /// Puts other settings in force, in the place of all that are.
    ///
    /// # Errors
    /// [`InstallError`] says what was found, by path into the settings.
    pub async fn exchange_settings(
        &self,
        settings: &Map<String, Value>,
        allow_rename: bool,
        asked: Instant,
    ) -> Result<Installed, InstallError> {
        let reserved = RESERVED_SETTINGS.into_iter().filter(|name| settings.contains_key(*name));
        let reserved: Vec<Finding> = reserved.map(reserved_name).collect();
        if !reserved.is_empty() {
            let reason = "some settings are the host's own".to_owned();
            let rejection = Rejection { stage: Stage::Settings, reason, findings: reserved };
            return Err(InstallError::Refused(Box::new(rejection)));
        }
        let current = self.inner.slot.current();
        let components = lock(&self.inner.components).clone();
        let component = components.into_iter().find(|(digest, _)| digest == current.digest());
        let component = component.map_or_else(|| Arc::from([]), |(_, component)| component);
        self.exchange(Candidate {
            component,
            origin: current.origin().clone(),
            reason: Reason::Settings,
            settings: Some(self.inner.config.settings_json_with(settings)),
            allow_rename,
            asked,
        })
        .await
    }
}

fn reserved_name(name: &str) -> Finding {
    Finding {
        at: name.to_owned(),
        message: "the host fills this in itself; write another name".to_owned(),
        examples: Vec::new(),
        sequence: Vec::new(),
    }
}
