//! The settings in force, and their exchange: the same component, told something else, through the
//! same gate.

use std::time::Instant;

use serde_json::{Map, Value};

use crate::policy::RESERVED_SETTINGS;
use crate::policy::Reason;
use crate::policy::gate::{Finding, Rejection, Stage};

use super::Policies;
use super::exchange::{Candidate, InstallError, Installed};
use super::told::own;

impl Policies {
    /// `[policy.settings]` in force. They belong to the generation: whoever goes back to the
    /// previous one goes back to its settings.
    #[must_use]
    pub fn settings(&self) -> Map<String, Value> {
        own(&self.inner.slot.current())
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
        let component = self.inner.component(current.digest());
        self.exchange(Candidate {
            component,
            origin: current.origin().clone(),
            reason: Reason::Settings,
            settings: Some(self.inner.told.load().config.settings_json_with(settings)),
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
