//! A generation as operators see it.

use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::Provenance;

/// How often a generation was called since it was made, and how that went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Calls into the policy.
    pub calls: u64,
    /// Calls that gave no answer.
    pub traps: u64,
    /// Answers that the host did not act upon.
    pub refused: u64,
}

/// A generation as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Its number.
    pub generation: u64,
    /// The policy's name.
    pub name: String,
    /// The policy's version.
    pub version: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// Where it came from.
    #[serde(rename = "origin")]
    pub provenance: Provenance,
    /// When it was first activated, RFC 3339.
    #[serde(serialize_with = "rfc3339")]
    pub activated_at: SystemTime,
    /// Its counters.
    #[serde(flatten)]
    pub counts: Counts,
    /// Plans it remembers.
    pub plans: usize,
    /// Its last failures, newest first: traps, and answers that the host did not act upon.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

pub(in crate::policy) fn rfc3339<S: Serializer>(
    at: &SystemTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*at))
}
