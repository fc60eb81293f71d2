//! What a host says of itself to the other hosts, beside what the list of hosts needs.

use serde::{Deserialize, Serialize};

/// What a host that takes part in rollouts adds to its card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetCard {
    /// When the host wrote this, by its estimate of the store's clock, in ms since the Unix epoch.
    pub seen_ms: u64,
    /// Where the host listens for reads and writes.
    pub listen: String,
    /// SHA-256 of the component in force, in hexadecimal.
    pub digest: String,
    /// Whether the host trusts the store.
    pub trusts: bool,
    /// How many hosts it saw alive when it looked last, itself included.
    pub sees: usize,
    /// How long ago the quietest of those had written its card, in ms.
    pub quietest_ms: u64,
    /// What the host has done in a rollout; `None` if it is in none.
    pub part: Option<RolloutPart>,
}

/// What a host has done in one rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RolloutPart {
    /// The rollout's id.
    pub rollout: String,
    /// How far the host is.
    pub progress: PartProgress,
    /// Why the host refused the policy, or why the policy left it; empty if it did not.
    pub reason: String,
    /// Calls that the policy left without an answer to act upon, since it came into force here.
    pub failures: u64,
    /// The host's reads since the policy came into force here, or since it did so on the first hosts.
    pub tally: ReadTally,
}

/// How far a host is in a rollout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartProgress {
    /// The host fetches and examines the component, and learns the names that it gives.
    #[default]
    Preparing,
    /// The component passed the gate of this host, and every host has had the time to learn its names.
    Ready,
    /// The component did not pass the gate of this host.
    Refused,
    /// The policy is in force.
    InForce,
    /// The policy was in force and is not any more.
    Failed,
    /// The host runs what it ran before.
    Back,
}

/// Reads that ended, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadTally {
    /// All of them.
    pub reads: u64,
    /// Those that were answered with a stored value.
    pub hits: u64,
    /// How long all of them took together, in µs.
    pub took_us: u64,
}

impl ReadTally {
    /// What has been added since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            reads: self.reads.saturating_sub(before.reads),
            hits: self.hits.saturating_sub(before.hits),
            took_us: self.took_us.saturating_sub(before.took_us),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            reads: self.reads + other.reads,
            hits: self.hits + other.hits,
            took_us: self.took_us + other.took_us,
        }
    }

    /// The share of reads that were answered with a stored value; 0 if there are none.
    #[must_use]
    pub fn hit_ratio(self) -> f64 {
        self.hits as f64 / self.reads.max(1) as f64
    }

    /// How long a read took on average, in ms; 0 if there are none.
    #[must_use]
    pub fn mean_ms(self) -> f64 {
        self.took_us as f64 / self.reads.max(1) as f64 / 1e3
    }
}
