//! Following the component's file.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::policy::prove::gate;
use crate::policy::{self, Provenance};

use super::exchange::Candidate;
use super::{Policies, PoliciesInner, StartError, lock};

impl Policies {
    /// Follows the component's file if the configuration asks for it.
    pub(in crate::service) fn watch(&self) -> Result<(), StartError> {
        let told = self.inner.told.load();
        let config = &told.config;
        if !config.policy.watch {
            return Ok(());
        }
        if let Some(path) = &config.policy.component {
            let provenance = Provenance::File(path.clone());
            self.follow(path, move |policies, change, seen| {
                policies.component_changed(change, provenance.clone(), seen);
            })?;
        }
        Ok(())
    }

    fn follow(
        &self,
        path: &Path,
        mut changed: impl FnMut(&Self, io::Result<Vec<u8>>, Instant) + Send + 'static,
    ) -> Result<(), StartError> {
        let weak: Weak<PoliciesInner> = Arc::downgrade(&self.inner);
        let watch = policy::watch(path, move |change, seen| {
            if let Some(inner) = weak.upgrade() {
                changed(&Self { inner }, change, seen);
            }
        });
        let watch = watch.map_err(|error| StartError::Component {
            path: path.display().to_string(),
            error: error.to_string(),
        })?;
        lock(&self.inner.watches).push(watch);
        Ok(())
    }

    fn component_changed(
        &self,
        change: io::Result<Vec<u8>>,
        provenance: Provenance,
        seen: Instant,
    ) {
        let bytes = match change {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(%error, "the policy's file can't be followed");
                return;
            }
        };
        // The system may report one change as several. A second exchange of the same component
        // would
        // make a rollback lead back to that component.
        if gate::digest(&bytes) == self.inner.slot.current().digest() {
            tracing::debug!("the policy's file holds the component in force");
            return;
        }
        let allow_rename = self.inner.allow_rename.load(Ordering::Relaxed);
        let candidate =
            Candidate { allow_rename, asked: seen, ..Candidate::new(bytes, provenance) };
        // `exchange` logs and counts a refusal.
        let _outcome = self.inner.runtime.block_on(self.exchange(candidate));
    }
}
