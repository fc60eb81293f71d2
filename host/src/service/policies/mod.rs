//! The policy in force and its exchange: by its file, by an operator, and back by a rollback.

mod alike;
mod exchange;
mod follow;
mod settings;
mod told;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::config::{Config, EntityConfig};
use crate::observe::Metrics;
use crate::policy::prove::gate::{Conditions, Passed, Stage};
use crate::policy::{
    Engine, FileWatch, Generation, NothingToRollBack, Provenance, Slot, SlotStatus, Tenure, Terms,
    builtin, read_file,
};

use super::{StartError, conditions};
use alike::Alike;

pub use exchange::{Candidate, InstallError, Installed, Renames};

/// How many refused candidates are remembered, in case the operator missed the answer and the log
/// line.
const REFUSALS: usize = 16;

/// Everything that exchanging a policy needs. Cheap to clone.
#[derive(Clone)]
pub struct Policies {
    inner: Arc<PoliciesInner>,
}

struct PoliciesInner {
    engine: Engine,
    /// An engine that keeps what it compiles beside the watched file.
    shelving: Engine,
    slot: Arc<Slot>,
    /// The configuration that a candidate is told and examined under.
    told: ArcSwap<Told>,
    metrics: Arc<Metrics>,
    /// Held by one candidate at a time, since each is compared with the policy in force.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The components that passed the gate last.
    passed: Mutex<VecDeque<Passed>>,
    /// The components of the generations that are in force or ready, by digest; an exchange of
    /// settings needs them.
    components: Mutex<Vec<(String, Arc<[u8]>)>>,
    refusals: Mutex<VecDeque<RefusedCandidate>>,
    /// `[policy.settings]` as the configuration's file last had it.
    filed: Mutex<Map<String, Value>>,
    /// `policy.allow_rename` as the configuration's file last had it.
    allow_rename: AtomicBool,
    watches: Mutex<Vec<FileWatch>>,
    /// The runtime on which a change of a file is carried out: a thread outside of it sees the
    /// change.
    runtime: tokio::runtime::Handle,
}

/// A configuration, as far as policies are concerned.
struct Told {
    config: Config,
    conditions: Conditions,
    alike: Alike,
}

impl Told {
    /// The conditions under which a policy with these settings is examined.
    fn conditions_with(&self, settings: &Map<String, Value>) -> Conditions {
        let configuration = Arc::new(self.config.for_policy_with(settings));
        Conditions { configuration, ..self.conditions.clone() }
    }
}

/// A candidate that did not come into force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RefusedCandidate {
    /// When it was refused, as RFC 3339.
    #[serde(serialize_with = "rfc3339")]
    pub at: SystemTime,
    /// Where the candidate came from.
    #[serde(rename = "origin")]
    pub provenance: Provenance,
    /// SHA-256 of the file, in hexadecimal.
    pub digest: String,
    /// The stage of the gate that refused the candidate; `None` if it passed and was refused for
    /// another reason.
    pub stage: Option<Stage>,
    /// Why it was refused.
    pub reason: String,
}

/// The policies as operators see them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyStatus {
    /// The generations.
    #[serde(flatten)]
    pub slot: SlotStatus,
    /// Whether the generation in force fails too often and there is none to go back to.
    pub failing: bool,
    /// The last candidates that were refused, newest first.
    pub refusals: Vec<RefusedCandidate>,
}

impl Policies {
    pub(super) async fn start(config: &Config, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        let engine = Engine::new(config.policy.limits.clone())?;
        let engine = match &config.policy.cache {
            Some(folder) => engine.keeping_in(folder),
            None => engine,
        };
        let shelving = match &config.policy.component {
            Some(path) if config.policy.watch => engine.beside(path),
            Some(_) | None => engine.clone(),
        };
        let conditions = conditions(config);
        let (bytes, provenance) = match &config.policy.component {
            None => (builtin().to_vec(), Provenance::BuiltIn),
            Some(path) => (read(path)?, Provenance::File(path.clone())),
        };
        let bytes: Arc<[u8]> = bytes.into();
        let passed = exchange::examine_first(&shelving, Arc::clone(&bytes), conditions.clone())
            .await
            .map_err(|rejection| StartError::Policy(Box::new(rejection)))?;
        let components = Mutex::new(vec![(passed.report().digest.clone(), bytes)]);
        let known = Mutex::new(VecDeque::from([passed.again(&[])]));
        let gate = passed.report().explored.cut_short().map(tracing::field::display);
        let slot = Arc::new(Slot::new(passed, provenance).lasting(tenure(config)));
        let inner = PoliciesInner {
            engine,
            shelving,
            slot,
            told: ArcSwap::from_pointee(Told {
                config: config.clone(),
                conditions,
                alike: Alike::default(),
            }),
            metrics,
            turn: Arc::default(),
            passed: known,
            components,
            refusals: Mutex::default(),
            filed: Mutex::new(config.policy.settings.clone()),
            allow_rename: AtomicBool::new(config.policy.allow_rename),
            watches: Mutex::default(),
            runtime: tokio::runtime::Handle::current(),
        };
        let policies = Self { inner: Arc::new(inner) };
        let policy = policies.inner.slot.current();
        tracing::info!(policy = policy.label(), gate, "the policy is in force");
        Ok(policies)
    }

    /// The slot that holds the generation in force.
    #[must_use]
    pub fn slot(&self) -> Arc<Slot> {
        Arc::clone(&self.inner.slot)
    }

    /// Puts the previous generation in force again.
    ///
    /// # Errors
    /// [`NothingToRollBack`] before the first exchange.
    pub fn rollback(&self) -> Result<Arc<Generation>, NothingToRollBack> {
        let generation = self.inner.slot.rollback()?;
        self.inner.metrics.policy_swaps("rolled-back");
        tracing::info!(policy = generation.label(), "the policy was rolled back");
        Ok(generation)
    }

    /// The generations as operators see them.
    #[must_use]
    pub fn status(&self) -> PolicyStatus {
        PolicyStatus {
            slot: self.inner.slot.status(),
            failing: self.inner.slot.is_failing(),
            refusals: lock(&self.inner.refusals).iter().cloned().collect(),
        }
    }

    pub(super) fn fold_metrics(&self) {
        let PoliciesInner { slot, metrics, .. } = &*self.inner;
        for (function, result, total) in slot.calls().each() {
            metrics.policy_calls(function, result, total);
        }
        metrics.policy_refused.raise_to(slot.calls().all_refused());
        metrics.policy_automatic_rollbacks(slot.automatic_rollbacks());
        metrics.policy_generation.set(slot.current().number());
    }
}

/// How long names live: as long as any value that was stored under them, and the flights that may
/// have stored one. A read that began before an exchange waits for one deadline at most, and the
/// load of the last flight that it starts ends by the limit of loads.
fn tenure(config: &Config) -> Tenure {
    let kept = |entity: &EntityConfig| entity.terms().kept_at_most();
    let kept = config.entities.values().map(kept);
    // The client of an ad-hoc query sets the lifetime of its answer.
    let queries = config.query.enabled.then(|| Terms::LONGEST.kept_at_most());
    let kept = kept.chain(queries).max().unwrap_or_default();
    let limits = config.entities.values().map(|entity| entity.load_limit);
    let limit = limits.chain([config.query.deadline]).max().unwrap_or_default();
    Tenure { probation: config.policy.probation, naming: kept + 2 * limit }
}

fn read(path: &Path) -> Result<Vec<u8>, StartError> {
    read_file(path).map_err(|error| StartError::Component {
        path: path.display().to_string(),
        error: error.to_string(),
    })
}

/// Locks a mutex, even after a panic: no critical section here leaves anything half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn rfc3339<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*at))
}
