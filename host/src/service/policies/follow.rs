//! Files that are followed: the component, and the settings in the configuration.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::config::{Config, Environment, PolicyConfig};
use crate::policy::{self, Origin, gate};

use super::exchange::Candidate;
use super::{Inner, Policies, StartError, lock};

impl Policies {
    /// Follows the component's file and the configuration's own, when the configuration asks for
    /// it.
    pub(in crate::service) fn watch(&self) -> Result<(), StartError> {
        let config = &self.inner.config;
        if !config.policy.watch {
            return Ok(());
        }
        if let Some(path) = &config.policy.component {
            let origin = Origin::File(path.clone());
            self.follow(path, move |policies, change, seen| {
                policies.component_changed(change, origin.clone(), seen);
            })?;
        }
        if let Some(path) = &config.file {
            let file = path.display().to_string();
            self.follow(path, move |policies, change, seen| {
                policies.configuration_changed(change, &file, seen);
            })?;
        }
        Ok(())
    }

    fn follow(
        &self,
        path: &Path,
        mut changed: impl FnMut(&Self, io::Result<Vec<u8>>, Instant) + Send + 'static,
    ) -> Result<(), StartError> {
        let weak: Weak<Inner> = Arc::downgrade(&self.inner);
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

    fn component_changed(&self, change: io::Result<Vec<u8>>, origin: Origin, seen: Instant) {
        let bytes = match change {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(%error, "the policy's file can't be followed");
                return;
            }
        };
        // The system may report one action as several, and an exchange too many would make a
        // rollback lead nowhere.
        if gate::digest(&bytes) == self.inner.slot.current().digest() {
            tracing::debug!("the policy's file holds what is in force");
            return;
        }
        let allow_rename = self.inner.allow_rename.load(Ordering::Relaxed);
        let candidate = Candidate { allow_rename, asked: seen, ..Candidate::new(bytes, origin) };
        // A refusal is logged and counted where it is refused.
        let _outcome = self.inner.runtime.block_on(self.exchange(candidate));
    }

    /// Takes `[policy.settings]`, and `policy.allow_rename` that goes with them; the rest is read
    /// when the host starts.
    fn configuration_changed(&self, change: io::Result<Vec<u8>>, file: &str, seen: Instant) {
        let text = change.and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
        let config = match text {
            Ok(text) => Config::parse(&text, file, &Environment::of_process()),
            Err(error) => {
                tracing::warn!(%error, "the configuration's file can't be followed");
                return;
            }
        };
        let config = match config {
            Ok(config) => config,
            Err(problems) => {
                tracing::warn!(%problems, "the configuration's file changed and is wrong; nothing is taken from it");
                return;
            }
        };
        let others = changed_sections(&self.inner.config, &config);
        if !others.is_empty() {
            let changed = others.join(", ");
            tracing::warn!(changed, "only [policy.settings] is followed; the rest needs a restart");
        }
        let Config { policy, .. } = config;
        self.inner.allow_rename.store(policy.allow_rename, Ordering::Relaxed);
        // Compared with the file as it was, and not with what is in force: whoever edits another
        // line does not take back what an operator has put in force since.
        let before = std::mem::replace(&mut *lock(&self.inner.filed), policy.settings.clone());
        if before == policy.settings || self.settings() == policy.settings {
            return;
        }
        let exchange = self.exchange_settings(&policy.settings, policy.allow_rename, seen);
        if self.inner.runtime.block_on(exchange).is_err() {
            // So that the same settings, with the rename allowed, are a change.
            *lock(&self.inner.filed) = before;
        }
    }
}

/// What differs, apart from what is followed.
fn changed_sections(old: &Config, new: &Config) -> Vec<&'static str> {
    let PolicyConfig { settings, allow_rename, .. } = &new.policy;
    let (settings, allow_rename) = (settings.clone(), *allow_rename);
    let followed = PolicyConfig { settings, allow_rename, ..old.policy.clone() };
    let same = [
        ("listen", old.listen == new.listen),
        ("drain", old.drain == new.drain),
        ("grace", old.grace == new.grace),
        ("threads", old.threads == new.threads),
        ("[admin]", old.admin == new.admin),
        ("[access]", old.access == new.access),
        ("[store]", old.store == new.store),
        ("[near]", old.near == new.near),
        ("[origin]", old.origin == new.origin),
        ("[policy]", followed == new.policy),
        ("[query]", old.query == new.query),
        ("[entity]", old.entities == new.entities),
    ];
    same.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}
