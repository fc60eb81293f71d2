//! The settings in force, and their exchange: the same component, told something else, through the
//! same gate.

use std::time::Instant;

use serde_json::{Map, Value};

use crate::policy::Reason;

use super::Policies;
use super::exchange::{Candidate, InstallError, Installed};

impl Policies {
    /// `[policy.settings]` in force. They belong to the generation: whoever goes back to the
    /// previous one goes back to its settings.
    #[must_use]
    pub fn settings(&self) -> Map<String, Value> {
        self.inner.slot.current().configuration().settings.clone()
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
        let current = self.inner.slot.current();
        let component = self.inner.component(current.digest());
        self.exchange(Candidate {
            component,
            origin: current.origin().clone(),
            reason: Reason::Settings,
            settings: Some(settings.clone()),
            allow_rename,
            asked,
        })
        .await
    }
}
