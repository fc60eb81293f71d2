//! The gate: what a component must pass before it becomes a generation.
//!
//! The gate runs off the path of requests and costs them nothing; a rejection changes nothing. A
//! rejection names everything that was found at the stage that failed.

mod artefact;
mod conditions;
mod explore;
mod known;
mod rejection;
mod requests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::policy::run::generation::{GenerationParts, Provenance};
use crate::policy::run::pool::{Instance, InstancePool, Pinned, Unready};
use crate::policy::{Decider, Engine, Manifest, Trap};

#[cfg(feature = "cli")]
pub(in crate::policy) use artefact::encode;
pub use conditions::{Conditions, HotRead, QueryConditions};
use explore::Learned;
pub use explore::{Explored, Progress, Slowest};
pub use known::sample;
pub use rejection::{Finding, Move, Rejection, Stage};

/// The contract that this host speaks, as components name it.
pub const CONTRACT: &str = "corral:policy@0.2.0";

/// Longest name and version of a manifest, in bytes: they stand in every response's header.
const NAME_LIMIT: usize = 64;
const VERSION_LIMIT: usize = 32;

/// A component that may become a generation, with warm instances.
#[derive(Clone)]
pub struct Passed {
    pool: Arc<InstancePool>,
    report: Passport,
}

/// What the gate learned of a component that passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Passport {
    /// The policy's name.
    pub name: String,
    /// The policy's version.
    pub version: String,
    /// SHA-256 of the file, in hexadecimal.
    pub digest: String,
    /// Size of the file.
    pub bytes: usize,
    /// Decisions that it was asked for.
    pub decisions: u64,
    /// How far the exploration got.
    pub explored: Explored,
    /// The slowest of its decisions.
    pub slowest: Slowest,
    /// Memory of one instance after the examination, in bytes.
    pub memory_bytes: usize,
    /// How the candidate would name the reads that are hot.
    pub hot: Hot,
    /// How long exploring it took.
    pub explored_ms: u64,
    /// How long the examination took, compiling included.
    pub took_ms: u64,
}

/// How a candidate would name the reads that are hot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Hot {
    /// Hot reads that it was asked to name.
    pub asked: usize,
    /// Hot reads to which it gives another key than the generation in force; they would go cold.
    pub renamed: usize,
    /// One of the renamed reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<Renamed>,
}

/// A read that would go cold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Renamed {
    /// The read.
    pub read: String,
    /// Its key under the generation in force.
    pub key: String,
    /// Its key under the candidate.
    pub becomes: String,
}

/// Examines a component, or a core module that can be made into one, under the conditions in force.
/// Takes tens of milliseconds, so never call it on a thread that serves.
///
/// # Errors
/// [`Rejection`] names the stage that failed and everything that was found there.
pub fn examine(
    engine: &Engine,
    bytes: &[u8],
    conditions: &Conditions,
) -> Result<Passed, Rejection> {
    let began = Instant::now();
    let pre = artefact::prepare(engine, bytes)?;
    let pool = InstancePool::new(engine, pre, Arc::clone(&conditions.configuration));
    let (first, manifest) = introduce(&pool)?;
    let (second, again) = introduce(&pool)?;
    check_manifest(&manifest, &again)?;
    let first = configured(&pool, first)?;
    let second = configured(&pool, second)?;
    let [first, second] = [first, second].map(|instance| Pinned::new(&pool, instance));
    let explores = Instant::now();
    let learned = explore::explore([&first, &second], conditions, engine.limits().gate)?;
    let explored_ms = millis(explores);
    let memory_bytes = first.memory_bytes().max(second.memory_bytes());
    for pinned in [first, second] {
        pinned.put_back();
    }
    let Learned { decisions, slowest, hot, explored } = learned;
    let report = Passport {
        name: manifest.name,
        version: manifest.version,
        digest: digest(bytes),
        bytes: bytes.len(),
        decisions,
        explored,
        slowest,
        memory_bytes,
        hot,
        explored_ms,
        took_ms: millis(began),
    };
    Ok(Passed { pool: Arc::new(pool), report })
}

/// Examines a policy that is code of this process as if it were a component: its decisions, for as
/// long as `time` allows.
///
/// # Errors
/// [`Rejection`] with everything that was found.
pub fn examine_native(
    policy: &dyn Decider,
    conditions: &Conditions,
    time: Duration,
) -> Result<Explored, Rejection> {
    explore::explore([policy, policy], conditions, time).map(|learned| learned.explored)
}

impl Passed {
    /// What the gate learned.
    #[must_use]
    pub fn report(&self) -> &Passport {
        &self.report
    }

    /// The policy, ready to decide without becoming a generation.
    #[must_use]
    pub fn pool(&self) -> &Arc<InstancePool> {
        &self.pool
    }

    pub(in crate::policy) fn into_parts(self, provenance: Provenance) -> GenerationParts {
        let Passport { name, version, digest, .. } = self.report;
        let configuration = Arc::clone(self.pool.configuration());
        let manifest = Manifest { name, version };
        GenerationParts { manifest, digest, provenance, configuration, policy: self.pool }
    }
}

impl std::fmt::Debug for Passed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Passed").field(&self.report).finish()
    }
}

/// SHA-256 in hexadecimal, by which files and generations are named.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn introduce(pool: &InstancePool) -> Result<(Box<Instance>, Manifest), Rejection> {
    let stopped = |trap: Trap| Rejection::reason(Stage::Instance, trap.to_string());
    let mut instance = pool.instantiate().map_err(stopped)?;
    let manifest = pool.describe(&mut instance).map_err(stopped)?;
    Ok((instance, manifest))
}

fn configured(pool: &InstancePool, instance: Box<Instance>) -> Result<Box<Instance>, Rejection> {
    pool.configure(instance).map_err(|unready| match unready {
        Unready::Trap(trap) => Rejection::reason(Stage::Settings, trap.to_string()),
        Unready::Objections(objections) => {
            let findings = objections.into_iter().map(Finding::from);
            Rejection::findings(Stage::Settings, "it does not accept the settings", findings)
        }
    })
}

fn check_manifest(manifest: &Manifest, again: &Manifest) -> Result<(), Rejection> {
    let mut findings = Vec::new();
    if !legal_name(&manifest.name) {
        let rule = "must have 1 to 64 lower-case letters, digits, `-` and `.`";
        findings.push(Finding::new("name", format!("{:?} {rule}", manifest.name)));
    }
    if !legal_version(&manifest.version) {
        let rule = "must be major.minor.patch in at most 32 bytes";
        findings.push(Finding::new("version", format!("{:?} {rule}", manifest.version)));
    }
    if manifest != again {
        findings.push(Finding::new("", "two instances describe themselves differently"));
    }
    if findings.is_empty() {
        return Ok(());
    }
    Err(Rejection::findings(Stage::Manifest, "its description of itself is not legal", findings))
}

fn legal_name(name: &str) -> bool {
    let legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    (1..=NAME_LIMIT).contains(&name.len()) && name.bytes().all(legal)
}

fn legal_version(version: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    version.len() <= VERSION_LIMIT
        && version.split('.').count() == 3
        && version.split('.').all(number)
}

#[cfg(test)]
mod tests;
