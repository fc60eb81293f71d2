//! The shadow: a candidate that is asked the same as the policy in force, without effect.

use std::io;

use crate::policy::ShadowReport;

use super::Policies;
use super::policies::InstallError;

/// Why there is no shadow.
#[derive(Debug, thiserror::Error)]
pub enum ShadowError {
    /// The candidate does not pass the gate.
    #[error("{0}")]
    Refused(InstallError),
    /// The system has no thread for the shadow.
    #[error("no thread for the shadow: {0}")]
    Thread(#[from] io::Error),
}

impl Policies {
    /// Runs a candidate through the gate, and from then on asks it what the policy in force is
    /// asked, for this share of flights and changes. A shadow that ran before is ended.
    ///
    /// # Errors
    /// [`ShadowError`]; then nothing has changed.
    pub async fn start_shadow(
        &self,
        bytes: Vec<u8>,
        sample: f64,
    ) -> Result<ShadowReport, ShadowError> {
        let passed = self.examined(bytes).await.map_err(ShadowError::Refused)?;
        let report = self.slot().shadows().start(passed, sample)?;
        let policy = format!("{}@{}", report.name, report.version);
        tracing::info!(policy, sample, "a shadow policy is asked beside the one in force");
        Ok(report)
    }

    /// What the shadow has found; `None` if there is no shadow.
    #[must_use]
    pub fn shadow(&self) -> Option<ShadowReport> {
        self.slot().shadows().report()
    }

    /// Ends the shadow, and returns its last report; `None` if there was no shadow.
    #[must_use]
    pub fn end_shadow(&self) -> Option<ShadowReport> {
        let report = self.slot().shadows().end()?;
        let policy = format!("{}@{}", report.name, report.version);
        tracing::info!(policy, "the shadow policy has ended");
        Some(report)
    }
}
