//! The slot as operators see it.

use std::time::SystemTime;

use serde::Serialize;

use super::Generation;
use crate::policy::run::generation::{Counts, Origin, Summary, rfc3339};
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
    /// The settings changed, by an operator or in the configuration's file.
    Settings,
    /// The configuration changed what it is told of entities.
    Configuration,
    /// An operator went back.
    RolledBack,
    /// The one that replaced it failed too often.
    RolledBackAutomatically {
        /// The one that failed.
        failed: u64,
        /// Its calls.
        calls: u64,
        /// Of these, the ones that gave no answer.
        traps: u64,
        /// Its answers that the host did not act upon.
        refused: u64,
    },
}

/// A generation came into force.
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
    /// By moving back rather than by a new component.
    pub rollback: bool,
    /// Why.
    pub reason: Reason,
    /// What warming up and the exchange itself took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_ms: Option<f64>,
    /// From the moment at which its file was seen to change, or somebody asked, until it was in
    /// force; the gate included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
}

/// What a generation is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
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

/// A generation, and what it is there for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The generation.
    #[serde(flatten)]
    pub summary: Summary,
    /// What it is there for.
    pub state: State,
    /// It was left by itself because it failed too often.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub condemned: bool,
    /// What is left of its probation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probation: Option<Probation>,
}

/// The slot as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// In force.
    pub current: Summary,
    /// What a rollback would bring back.
    pub previous: Option<Summary>,
    /// These two, and the others that something still needs.
    pub generations: Vec<Shown>,
    /// The last activations, newest first.
    pub activations: Vec<Activation>,
}

impl Reason {
    pub(super) fn of(origin: &Origin) -> Self {
        match origin {
            Origin::BuiltIn => Self::Started,
            Origin::File(_) => Self::File,
            Origin::Pushed => Self::Push,
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
