//! The settings in force, and their exchange: the same component passes the same gate with other
//! settings.

use std::time::Instant;

use serde_json::{Map, Value};

use crate::policy::Reason;

use super::Policies;
use super::exchange::{Candidate, InstallError, Installed};

impl Policies {
    /// `[policy.settings]` in force. Settings belong to a generation: a rollback to the previous
    /// generation brings its settings back.
    #[must_use]
    pub fn settings(&self) -> Map<String, Value> {
        self.inner.slot.current().configuration().settings.clone()
    }

    /// Puts other settings in force, in place of all present ones.
    ///
    /// # Errors
    /// [`InstallError`] says what is wrong, by path into the settings.
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
            provenance: current.provenance().clone(),
            reason: Reason::Settings,
            settings: Some(settings.clone()),
            allow_rename,
            asked,
        })
        .await
    }
}
