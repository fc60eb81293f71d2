//! The fleet's record: one note in the store that says what all hosts run, and which rollout is under way.
//!
//! The record is only ever written in place of the one that was read, and its number grows with every
//! change. So a step of a rollout is taken once, whichever host takes it; and where the store comes back with
//! an older record, the hosts that know a newer one write it again.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The name of the record's note.
pub(super) const RECORD: &str = "fleet";

/// How long the record and the component are kept; the hosts prolong both, so they end a day after the last
/// host has gone.
pub(super) const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The record and the component are written again when they have less than this left.
const PROLONGED_BELOW_MS: u64 = 12 * 3600 * 1000;

/// The name of the note that holds a component.
pub(super) fn component_note(digest: &str) -> String {
    format!("component:{digest}")
}

/// What the hosts of a deployment know together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetRecord {
    /// Grows with every change.
    pub number: u64,
    /// What the last rollout that came through has put in force; `None` before the first one.
    pub runs: Option<FleetPolicy>,
    /// The rollout that is under way.
    pub rollout: Option<Rollout>,
    /// The rollout that ended last.
    pub last: Option<PastRollout>,
    /// When the store forgets the record and the component, by the store's clock in ms.
    pub kept_until_ms: u64,
}

/// A policy that all hosts are to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FleetPolicy {
    /// The id of the rollout that brings it.
    pub rollout: String,
    /// `name@version`
    pub policy: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// Its own settings.
    pub settings: Map<String, Value>,
    /// Whether it gives reads other keys than the policy before it.
    pub renames: bool,
}

/// A rollout under way. Times are in ms by the store's clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rollout {
    /// What is to come into force.
    pub brings: FleetPolicy,
    /// The host that was asked for it.
    pub asked: String,
    /// The share of hosts on which it comes into force first, in percent; `None` for all at once.
    pub canary_percent: Option<u8>,
    /// How long it is watched on those.
    pub watch_ms: u64,
    /// How far it is.
    pub phase: RolloutPhase,
    /// The hosts on which it comes into force first; empty before they are chosen.
    pub canaries: Vec<String>,
    /// When it began.
    pub began_ms: u64,
    /// When this phase began.
    pub since_ms: u64,
    /// Since when it is in force wherever this phase wants it.
    pub steady_ms: Option<u64>,
    /// When every host was ready.
    pub ready_ms: Option<u64>,
    /// When it was in force on every host.
    pub everywhere_ms: Option<u64>,
    /// Why it is brought back.
    pub trouble: String,
}

/// How far a rollout is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutPhase {
    /// Every host examines the component and learns its names; it is in force nowhere.
    #[default]
    Preparing,
    /// It comes into force on the first hosts, and is watched there.
    Canary,
    /// It comes into force on all hosts.
    Everywhere,
    /// All hosts go back to what they ran.
    GoingBack,
}

impl RolloutPhase {
    /// As logs, documents and the command line name it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Canary => "canary",
            Self::Everywhere => "everywhere",
            Self::GoingBack => "going-back",
        }
    }
}

/// A rollout that has ended. Durations are counted from its beginning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PastRollout {
    /// Its id.
    pub rollout: String,
    /// `name@version`
    pub policy: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// Whether its policy is in force now.
    pub in_force: bool,
    /// Why it was brought back; empty if it was not.
    pub trouble: String,
    /// After how long every host was ready, in ms.
    pub ready_after_ms: Option<u64>,
    /// After how long it was in force on every host, in ms.
    pub everywhere_after_ms: Option<u64>,
    /// After how long it ended, in ms.
    pub ended_after_ms: u64,
}

impl FleetRecord {
    /// Reads a record. One that can't be read, such as that of a later release, counts as none.
    pub(super) fn read(note: &[u8]) -> Option<Self> {
        serde_json::from_slice(note).ok()
    }

    /// The record as its note has it.
    pub(super) fn encode(&self) -> Vec<u8> {
        // Can't fail: texts and numbers have JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The record that follows this one.
    pub(super) fn following(&self, now_ms: u64) -> Self {
        let kept_until_ms = now_ms + KEPT.as_millis() as u64;
        Self { number: self.number + 1, kept_until_ms, ..self.clone() }
    }

    /// Whether the store is to keep the record for longer.
    pub(super) fn ends_soon(&self, now_ms: u64) -> bool {
        let has_content = self.runs.is_some() || self.rollout.is_some();
        has_content && self.kept_until_ms < now_ms + PROLONGED_BELOW_MS
    }

    /// The policies whose components the store is to keep.
    pub(super) fn policies(&self) -> impl Iterator<Item = &FleetPolicy> {
        self.runs.iter().chain(self.rollout.iter().map(|rollout| &rollout.brings))
    }
}

impl Rollout {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.brings.rollout
    }

    /// This rollout in its next phase.
    pub(super) fn entering(&self, phase: RolloutPhase, now_ms: u64) -> Self {
        Self { phase, since_ms: now_ms, steady_ms: None, ..self.clone() }
    }

    /// This rollout on its way back.
    pub(super) fn going_back(&self, trouble: String, now_ms: u64) -> Self {
        Self { trouble, ..self.entering(RolloutPhase::GoingBack, now_ms) }
    }

    /// This rollout when it is over.
    pub(super) fn past(&self, now_ms: u64) -> PastRollout {
        let after = |at_ms: u64| at_ms.saturating_sub(self.began_ms);
        PastRollout {
            rollout: self.id().to_owned(),
            policy: self.brings.policy.clone(),
            digest: self.brings.digest.clone(),
            in_force: self.phase == RolloutPhase::Everywhere,
            trouble: self.trouble.clone(),
            ready_after_ms: self.ready_ms.map(after),
            everywhere_after_ms: self.everywhere_ms.map(after),
            ended_after_ms: after(now_ms),
        }
    }
}
