//! A generation: one activated policy with everything that belongs to it.

mod summary;

use std::collections::VecDeque;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::beside::Beside;
use crate::name::{PolicyId, StoreKey};
use crate::read_name::ReadName;

use crate::policy::prove::gate::HotRead;
use crate::policy::run::calls::{Calls, Function};
use crate::policy::run::guard::{self, Illegal, Named};
use crate::policy::run::plans::Plans;
use crate::policy::{
    Change, Configuration, Decider, Event, Manifest, Memo, Moment, Plan, Refusal, Request, Row,
    Target, Trap, Turn,
};

pub(in crate::policy) use summary::rfc3339;
pub use summary::{Counts, Summary};

/// Where a policy came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// The component that the host carries.
    BuiltIn,
    /// A file that the configuration names.
    File(PathBuf),
    /// Uploaded by an operator.
    Pushed,
    /// Brought by a rollout over all hosts.
    Fleet,
}

/// How many of its last failures a generation can show.
const FAILURES_SHOWN: usize = 8;

/// How many characters of each are shown: a trap's reason may hold what the policy made of a
/// request.
const FAILURE_SHOWN: usize = 240;

/// One activated policy. Requests hold it until they end, so it lives as long as the last of them.
pub struct Generation {
    shared: Arc<GenerationShared>,
    /// The remembered plans; `None` if the generation only names, for invalidations, what it named
    /// while it was in force.
    plans: Option<Plans>,
}

/// What a generation in force and the same generation reduced to naming have in common.
struct GenerationShared {
    number: u64,
    manifest: Manifest,
    digest: String,
    provenance: Provenance,
    configuration: Arc<Configuration>,
    policy_id: PolicyId,
    activated_at: SystemTime,
    label: String,
    beside: Beside,
    policy: Arc<dyn Decider>,
    counters: Counters,
    failures: Mutex<VecDeque<String>>,
    calls: Arc<Calls>,
    overseer: Weak<dyn Overseer>,
}

/// Is told of every failure of a generation, after the failure is counted.
pub(in crate::policy) trait Overseer: Send + Sync {
    fn failed(&self, generation: &Generation);
}

/// What makes a generation, apart from its number and time.
pub(in crate::policy) struct GenerationParts {
    pub(in crate::policy) manifest: Manifest,
    pub(in crate::policy) digest: String,
    pub(in crate::policy) provenance: Provenance,
    pub(in crate::policy) configuration: Arc<Configuration>,
    pub(in crate::policy) policy: Arc<dyn Decider>,
}

/// What a generation reports to.
pub(in crate::policy) struct Surroundings {
    /// The whole host's counters, which count the calls beside the generation's own.
    pub(in crate::policy) calls: Arc<Calls>,
    pub(in crate::policy) overseer: Weak<dyn Overseer>,
}

#[derive(Default)]
struct Counters {
    calls: AtomicU64,
    traps: AtomicU64,
    refused: AtomicU64,
}

/// Why there is no decision to act upon. The host then decides by its conservative rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// The policy gave no answer.
    #[error(transparent)]
    Trap(#[from] Trap),
    /// The policy gave an answer that the host does not act upon.
    #[error(transparent)]
    Illegal(#[from] Illegal),
}

impl Generation {
    pub(in crate::policy) fn new(
        number: u64,
        parts: GenerationParts,
        around: Surroundings,
    ) -> Self {
        let GenerationParts { manifest, digest, provenance, configuration, policy } = parts;
        let Surroundings { calls, overseer } = around;
        let label = format!("{}@{};generation={number}", manifest.name, manifest.version);
        let policy_id = PolicyId::of(&digest, &configuration.settings_json());
        let shared = GenerationShared {
            number,
            manifest,
            digest,
            provenance,
            policy_id,
            configuration,
            activated_at: SystemTime::now(),
            beside: Beside::default(),
            label,
            policy,
            counters: Counters::default(),
            failures: Mutex::default(),
            calls,
            overseer,
        };
        Self { shared: Arc::new(shared), plans: Some(Plans::new()) }
    }

    /// The same generation without plans and warm instances, for naming alone.
    pub(in crate::policy) fn naming_only(&self) -> Self {
        self.shared.policy.cool();
        Self { shared: Arc::clone(&self.shared), plans: None }
    }

    /// Makes its first calls as fast as later ones: makes instances, and asks for the plans of
    /// `hot` until `time` is over.
    pub(in crate::policy) fn warm(&self, hot: Vec<HotRead>, time: Duration) {
        let began = Instant::now();
        self.shared.policy.warm();
        let Some(plans) = &self.plans else { return };
        for HotRead { request, .. } in hot {
            if began.elapsed() > time {
                return;
            }
            if let Ok(Ok(plan)) = self.policy().plan(&request)
                && let Ok(named) = Named::try_new(plan)
            {
                plans.insert_request(&request, named);
            }
        }
    }

    /// Its number: unique in this process and increasing with every activation.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.shared.number
    }

    /// The name and version that the policy gives itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// SHA-256 of the component, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.shared.digest
    }

    /// What it was activated with.
    #[must_use]
    pub fn configuration(&self) -> &Arc<Configuration> {
        &self.shared.configuration
    }

    /// What its names depend on: its component and its own settings, without the configuration's
    /// entities.
    #[must_use]
    pub fn policy_id(&self) -> PolicyId {
        self.shared.policy_id
    }

    /// Whether it gives every read the same key as `other`, since both are the same component with
    /// the same configuration.
    #[must_use]
    pub fn names_like(&self, other: &Self) -> bool {
        let (own, theirs) = (&self.shared, &other.shared);
        own.digest == theirs.digest && own.configuration == theirs.configuration
    }

    /// `name@version;generation=7`, as responses name it.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.shared.label
    }

    /// Where an HTTP face keeps the header that it makes of the label.
    #[must_use]
    pub fn beside(&self) -> &Beside {
        &self.shared.beside
    }

    /// The plan of an entity's read, remembered; `request` is called only if the plan is not
    /// remembered.
    ///
    /// # Errors
    /// [`Undecided`] if the policy gave no plan that can be used. A [`Refusal`] is an answer.
    pub fn name_read(
        &self,
        read: &ReadName,
        request: impl FnOnce() -> Request,
    ) -> Result<Result<Arc<Named>, Refusal>, Undecided> {
        if let Some(named) = self.plans.as_ref().and_then(|plans| plans.get(read)) {
            return Ok(Ok(named));
        }
        let request = request();
        let answer = self.name(&request)?;
        if let (Ok(named), Some(plans)) = (&answer, &self.plans) {
            plans.insert(read.clone(), &request, Arc::clone(named));
        }
        Ok(answer)
    }

    /// Reads that were made a short while ago, at most `limit`: those whose plans it remembers.
    #[must_use]
    pub fn hot(&self, limit: usize) -> Vec<HotRead> {
        self.plans.as_ref().map_or_else(Vec::new, |plans| plans.hot(limit))
    }

    /// The key of a read. The call is not counted, since it belongs to no request.
    #[must_use]
    pub fn key_of(&self, request: &Request) -> Option<StoreKey> {
        let plan = self.policy().plan(request).ok()?.ok()?;
        guard::key(&plan.key).ok()
    }

    /// The plan of any read, asked for anew.
    ///
    /// # Errors
    /// As [`Generation::name_read`].
    pub fn name(&self, request: &Request) -> Result<Result<Arc<Named>, Refusal>, Undecided> {
        match self.plan(request)? {
            Ok(plan) => match Named::try_new(plan) {
                Ok(named) => Ok(Ok(named)),
                Err(illegal) => {
                    self.refused(&illegal);
                    Err(illegal.into())
                }
            },
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// The policy itself, for calls that belong to no request: they are not counted.
    #[must_use]
    pub fn uncounted(&self) -> &dyn Decider {
        &*self.shared.policy
    }

    /// Notes that the host did not act upon an answer. Every refused answer, of whatever function,
    /// is noted here.
    pub fn refused(&self, why: &dyn Display) {
        self.shared.counters.refused.fetch_add(1, Ordering::Relaxed);
        self.shared.calls.refused();
        self.failed(&format_args!("refused: {why}"));
    }

    /// Where it came from.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.shared.provenance
    }

    fn failed(&self, why: &dyn Display) {
        let mut failures = self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.truncate(FAILURES_SHOWN - 1);
        failures.push_front(why.to_string().chars().take(FAILURE_SHOWN).collect());
        drop(failures);
        if let Some(overseer) = self.shared.overseer.upgrade() {
            overseer.failed(self);
        }
    }

    /// Its counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            calls: self.shared.counters.calls.load(Ordering::Relaxed),
            traps: self.shared.counters.traps.load(Ordering::Relaxed),
            refused: self.shared.counters.refused.load(Ordering::Relaxed),
        }
    }

    /// The generation as operators see it, now.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let failures = self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner);
        Summary {
            generation: self.shared.number,
            name: self.shared.manifest.name.clone(),
            version: self.shared.manifest.version.clone(),
            digest: self.shared.digest.clone(),
            provenance: self.shared.provenance.clone(),
            activated_at: self.shared.activated_at,
            counts: self.counts(),
            plans: self.plans.as_ref().map_or(0, Plans::len),
            failures: failures.iter().cloned().collect(),
        }
    }

    fn policy(&self) -> &dyn Decider {
        &*self.shared.policy
    }

    fn counted<R>(
        &self,
        function: Function,
        call: impl FnOnce() -> Result<R, Trap>,
    ) -> Result<R, Trap> {
        let answer = self.shared.calls.count(function, call);
        self.shared.counters.calls.fetch_add(1, Ordering::Relaxed);
        if let Err(trap) = &answer {
            self.shared.counters.traps.fetch_add(1, Ordering::Relaxed);
            self.failed(trap);
        }
        answer
    }
}

/// The policy's own answers, counted.
impl Decider for Generation {
    fn plan(&self, request: &Request) -> Result<Result<Plan, Refusal>, Trap> {
        self.counted(Function::Plan, || self.policy().plan(request))
    }

    fn row_tags(
        &self,
        request: &Request,
        rows: &[Row],
    ) -> Result<Result<Vec<String>, Refusal>, Trap> {
        self.counted(Function::RowTags, || self.policy().row_tags(request, rows))
    }

    fn step(&self, memo: Memo, moment: Moment, event: Event) -> Result<Turn, Trap> {
        self.counted(Function::Step, || self.policy().step(memo, moment, event))
    }

    fn invalidate(&self, change: &Change) -> Result<Vec<Target>, Trap> {
        self.counted(Function::Invalidate, || self.policy().invalidate(change))
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Generation").field(&self.shared.label).finish()
    }
}
