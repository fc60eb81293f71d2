//! The slot as operators see it.

use std::time::SystemTime;

use serde::Serialize;

use super::Generation;
use crate::policy::run::generation::{Counts, Provenance, Summary, rfc3339};
use crate::policy::run::trial::Probation;

/// Why a generation came into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Reason {
    /// The host started with it, or an embedder put it in force.
    Started,
    /// Its file changed.
    File,
    /// An operator pushed it.
    Push,
    /// A rollout brought it, or the host started and took what the other hosts run.
    Rollout,
    /// An operator or the configuration's file changed the settings.
    Settings,
    /// The configuration changed the entities that the policy is told of.
    Configuration,
    /// An operator rolled back.
    RolledBack,
    /// The generation that replaced it failed too often.
    RolledBackAutomatically {
        /// The generation that failed.
        failed: u64,
        /// Its calls.
        calls: u64,
        /// Its calls that gave no answer.
        traps: u64,
        /// Its answers that the host did not act upon.
        refused: u64,
    },
}

/// An activation: a generation came into force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Activation {
    /// Its number.
    pub generation: u64,
    /// Its policy, `name@version`.
    pub policy: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// When, RFC 3339.
    #[serde(serialize_with = "rfc3339")]
    pub at: SystemTime,
    /// Whether it came back by a rollback, rather than as a new component.
    pub rollback: bool,
    /// Why.
    pub reason: Reason,
    /// What warming up and the exchange itself took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_ms: Option<f64>,
    /// From the moment at which its file was seen to change, or an operator asked, until it was in
    /// force; the gate included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
}

/// Why a generation is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GenerationState {
    /// It is in force.
    Current,
    /// A rollback would bring it back.
    Previous,
    /// The same component and settings were put in force twice; if they fail, the host goes back
    /// to this one.
    Fallback,
    /// Requests that began under it are not over.
    Pinned,
    /// Keys that it named may still live.
    Naming,
}

/// A generation, and why it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The generation.
    #[serde(flatten)]
    pub summary: Summary,
    /// Why it is kept.
    pub state: GenerationState,
    /// The slot left it by itself because it failed too often.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub condemned: bool,
    /// What is left of its probation; `None` if it is not on probation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probation: Option<Probation>,
}

/// The slot as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlotStatus {
    /// The generation in force.
    pub current: Summary,
    /// The generation that a rollback would bring back.
    pub previous: Option<Summary>,
    /// These two, and the others that something still needs.
    pub generations: Vec<Shown>,
    /// The last activations, newest first.
    pub activations: Vec<Activation>,
}

impl Reason {
    /// Why a policy of this provenance comes into force.
    #[must_use]
    pub fn of(provenance: &Provenance) -> Self {
        match provenance {
            Provenance::BuiltIn => Self::Started,
            Provenance::File(_) => Self::File,
            Provenance::Pushed => Self::Push,
            Provenance::Fleet => Self::Rollout,
        }
    }

    pub(super) fn automatic(failed: u64, counts: Counts) -> Self {
        let Counts { calls, traps, refused } = counts;
        Self::RolledBackAutomatically { failed, calls, traps, refused }
    }
}

impl Activation {
    pub(super) fn of(generation: &Generation, reason: Reason) -> Self {
        let manifest = generation.manifest();
        let rollback =
            matches!(reason, Reason::RolledBack | Reason::RolledBackAutomatically { .. });
        Self {
            generation: generation.number(),
            policy: format!("{}@{}", manifest.name, manifest.version),
            digest: generation.digest().to_owned(),
            at: SystemTime::now(),
            rollback,
            reason,
            activation_ms: None,
            took_ms: None,
        }
    }
}
