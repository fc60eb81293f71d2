//! Policies under another configuration: the same components pass the same gate, told of other entities.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::{Map, Value};
use tokio::sync::OwnedMutexGuard;

use crate::config::{Config, PolicyConfig};
use crate::policy::prove::gate::{Passed, Rejection};
use crate::policy::{Generation, Reason, Retold};

use super::super::conditions;
use super::alike::Alike;
use super::exchange::InstallError;
use super::{Policies, PoliciesInner, Told, lock, tenure};

/// The policies of a host, examined under a configuration that is not in force yet.
pub(in crate::service) struct Examined {
    _turn: OwnedMutexGuard<()>,
    /// The generation in force, which is to be replaced.
    examined: Arc<Generation>,
    next: Passed,
    others: Vec<(Arc<Generation>, Passed)>,
    /// How many of the other policies did not pass.
    lost: usize,
    told: Told,
    reason: Reason,
    asked: Instant,
}

impl Examined {
    /// The generation that was in force when the policies were examined.
    pub(in crate::service) fn examined(&self) -> &Arc<Generation> {
        &self.examined
    }

    /// How many policies can no longer be asked for names, although keys of theirs may still live.
    pub(in crate::service) fn lost(&self) -> usize {
        self.lost
    }
}

impl Policies {
    /// Whether the file's settings of the policy are those that it had before, or those in force.
    pub(in crate::service) fn follows(&self, config: &PolicyConfig) -> bool {
        *lock(&self.inner.filed) == config.settings || self.settings() == config.settings
    }

    /// Takes `[policy.settings]` and `policy.allow_rename` from a file that changed them.
    pub(in crate::service) async fn follow_settings(
        &self,
        config: &PolicyConfig,
        asked: Instant,
    ) -> Result<(), InstallError> {
        self.exchange_settings(&config.settings, config.allow_rename, asked).await?;
        self.note_file(config);
        Ok(())
    }

    /// Notes what the file says from now on.
    pub(in crate::service) fn note_file(&self, config: &PolicyConfig) {
        self.inner.allow_rename.store(config.allow_rename, Ordering::Relaxed);
        config.settings.clone_into(&mut lock(&self.inner.filed));
    }

    /// Runs the policy in force, and the policies that a rollback would bring back or that have keys which
    /// may live, through the gate under another configuration. Changes nothing; no policy is exchanged while
    /// the result is held.
    pub(in crate::service) async fn examine_under(
        &self,
        config: &Config,
        asked: Instant,
    ) -> Result<Examined, InstallError> {
        let turn = self.inner.turn().await;
        let follows = self.follows(&config.policy);
        let (config, conditions) = (config.clone(), conditions(config));
        let told = Told { config, conditions, alike: Alike::default() };
        let (inner, examined) = (Arc::clone(&self.inner), self.inner.slot.current());
        let (others, current) = (self.inner.slot.others(), Arc::clone(&examined));
        let asked_of = others.len();
        let looked = tokio::task::spawn_blocking(move || {
            let settings = if follows {
                current.configuration().settings.clone()
            } else {
                told.config.policy.settings.clone()
            };
            let note = |error: &InstallError| {
                let (provenance, digest) = (current.provenance().clone(), current.digest());
                inner.note_refusal(provenance, digest.to_owned(), error);
            };
            let next = inner.under(&told, &current, &settings).inspect_err(note)?;
            if !follows && !told.config.policy.allow_rename {
                inner.compare_names(&next, &current).inspect_err(note)?;
            }
            let others = others.into_iter().filter_map(|other| {
                let passed = inner.under(&told, &other, &other.configuration().settings).inspect_err(|error| {
                    let policy = other.label();
                    tracing::warn!(%error, policy, "a policy that is not in force fails the gate under the \
                        configuration: no rollback can bring it back");
                });
                Some((other, passed.ok()?))
            });
            Ok((next, others.collect::<Vec<_>>(), told))
        });
        let crashed = |_panic| Err(InstallError::Refused(Box::new(Rejection::crashed())));
        let (next, others, told) = looked.await.unwrap_or_else(crashed)?;
        let reason = if follows { Reason::Configuration } else { Reason::Settings };
        let lost = asked_of - others.len();
        Ok(Examined { _turn: turn, examined, next, others, lost, told, reason, asked })
    }

    /// Puts the examined policies in force. `None` if another policy came into force meanwhile; then nothing
    /// has changed.
    pub(in crate::service) fn put_under(&self, examined: Examined) -> Option<Arc<Generation>> {
        let Examined { examined, next, others, told, reason, asked, .. } = examined;
        let tenure = tenure(&told.config);
        let retold = Retold { examined, next, others, tenure, reason, asked };
        let generation = self.inner.slot.retell(retold)?;
        self.note_file(&told.config.policy);
        self.inner.told.store(Arc::new(told));
        // What is remembered passed under other entities.
        *lock(&self.inner.passed) = VecDeque::new();
        Some(generation)
    }
}

impl PoliciesInner {
    /// The component of a generation; empty if it is unknown, which the gate refuses.
    pub(super) fn component(&self, digest: &str) -> Arc<[u8]> {
        let components = lock(&self.components);
        let component = components.iter().find(|(known, _)| known == digest);
        component.map_or_else(|| Arc::from([]), |(_, component)| Arc::clone(component))
    }

    fn under(
        &self,
        told: &Told,
        generation: &Generation,
        own: &Map<String, Value>,
    ) -> Result<Passed, InstallError> {
        let component = self.component(generation.digest());
        self.examine(&component, generation.provenance(), &told.conditions_with(own))
    }
}
