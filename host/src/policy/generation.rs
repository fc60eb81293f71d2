//! A generation: one activated policy with everything that belongs to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::calls::{Calls, Function};
use super::gate::HotRead;
use super::guard::{Illegal, Named};
use super::plans::{Lookup, Plans};
use super::{
    Change, Event, Manifest, Memo, Moment, Plan, Policy, Refusal, Request, Row, Target, Trap, Turn,
};

/// Where a policy came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The component that the host carries.
    BuiltIn,
    /// A file that the configuration names.
    File(PathBuf),
    /// Uploaded by an operator.
    Pushed,
}

/// One activated policy. Requests hold it until they end, so it lives as long as the last of them.
pub struct Generation {
    number: u64,
    manifest: Manifest,
    digest: String,
    origin: Origin,
    settings: String,
    activated_at: SystemTime,
    label: String,
    policy: Arc<dyn Policy>,
    plans: Plans,
    counters: Counters,
    calls: Arc<Calls>,
}

/// What makes a generation, apart from its number and time.
pub(super) struct Parts {
    pub(super) manifest: Manifest,
    pub(super) digest: String,
    pub(super) origin: Origin,
    pub(super) settings: String,
    pub(super) policy: Arc<dyn Policy>,
}

#[derive(Default)]
struct Counters {
    calls: AtomicU64,
    traps: AtomicU64,
    refused: AtomicU64,
}

/// What a generation was asked and how it went, since it was made.
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
    pub origin: Origin,
    /// When it was first activated, RFC 3339.
    #[serde(serialize_with = "rfc3339")]
    pub activated_at: SystemTime,
    /// Its counters.
    #[serde(flatten)]
    pub counts: Counts,
    /// Plans it remembers.
    pub plans: usize,
}

/// There is no decision to act upon: the host decides by its conservative rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// The policy gave no answer.
    #[error(transparent)]
    Trap(#[from] Trap),
    /// It gave one that the host does not act upon.
    #[error(transparent)]
    Illegal(#[from] Illegal),
}

impl Generation {
    /// `calls` are counted beside its own counters, for the whole host.
    pub(super) fn new(number: u64, parts: Parts, calls: Arc<Calls>) -> Self {
        let Parts { manifest, digest, origin, settings, policy } = parts;
        let label = format!("{}@{};generation={number}", manifest.name, manifest.version);
        Self {
            number,
            manifest,
            digest,
            origin,
            settings,
            activated_at: SystemTime::now(),
            label,
            policy,
            plans: Plans::new(),
            counters: Counters::default(),
            calls,
        }
    }

    /// Its number: unique in this process and increasing with every activation.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Who the policy says it is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the component, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The settings that it was activated with, as JSON.
    #[must_use]
    pub fn settings(&self) -> &str {
        &self.settings
    }

    /// Whether it gives every read the key that `other` gives it, being the same component with
    /// the same settings.
    #[must_use]
    pub fn names_like(&self, other: &Self) -> bool {
        self.digest == other.digest && self.settings == other.settings
    }

    /// `name@version;generation=7`, as responses name it.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The plan of an entity's read, remembered. `values` stand in the entity's declared order;
    /// `request` is asked for only when the plan is not at hand.
    ///
    /// # Errors
    /// [`Undecided`] when the policy gave no plan that can be used. A [`Refusal`] is an answer.
    pub fn name_entity(
        &self,
        entity: &str,
        values: &[Option<&str>],
        request: impl FnOnce() -> Request,
    ) -> Result<Result<Arc<Named>, Refusal>, Undecided> {
        let lookup = Lookup { entity, values };
        if let Some(named) = self.plans.get(&lookup) {
            return Ok(Ok(named));
        }
        let request = request();
        let answer = self.name(&request)?;
        if let Ok(named) = &answer {
            self.plans.insert(&lookup, &request, Arc::clone(named));
        }
        Ok(answer)
    }

    /// Reads that were made a short while ago, at most `limit`: those whose plans it remembers.
    #[must_use]
    pub fn hot(&self, limit: usize) -> Vec<HotRead> {
        self.plans.hot(limit)
    }

    /// The plan of any read, asked anew.
    ///
    /// # Errors
    /// As [`Generation::name_entity`].
    pub fn name(&self, request: &Request) -> Result<Result<Arc<Named>, Refusal>, Undecided> {
        match self.plan(request)? {
            Ok(plan) => match Named::try_new(plan) {
                Ok(named) => Ok(Ok(named)),
                Err(illegal) => {
                    self.count_refused();
                    Err(illegal.into())
                }
            },
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Notes that the host did not act upon an answer.
    pub fn count_refused(&self) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Its counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            calls: self.counters.calls.load(Ordering::Relaxed),
            traps: self.counters.traps.load(Ordering::Relaxed),
            refused: self.counters.refused.load(Ordering::Relaxed),
        }
    }

    /// The generation as operators see it, now.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            generation: self.number,
            name: self.manifest.name.clone(),
            version: self.manifest.version.clone(),
            digest: self.digest.clone(),
            origin: self.origin.clone(),
            activated_at: self.activated_at,
            counts: self.counts(),
            plans: self.plans.len(),
        }
    }

    fn counted<R>(
        &self,
        function: Function,
        call: impl FnOnce() -> Result<R, Trap>,
    ) -> Result<R, Trap> {
        let answer = self.calls.count(function, call);
        self.counters.calls.fetch_add(1, Ordering::Relaxed);
        if answer.is_err() {
            self.counters.traps.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

/// The policy's own answers, counted.
impl Policy for Generation {
    fn plan(&self, request: &Request) -> Result<Result<Plan, Refusal>, Trap> {
        self.counted(Function::Plan, || self.policy.plan(request))
    }

    fn row_tags(
        &self,
        request: &Request,
        rows: &[Row],
    ) -> Result<Result<Vec<String>, Refusal>, Trap> {
        self.counted(Function::RowTags, || self.policy.row_tags(request, rows))
    }

    fn step(&self, memo: Memo, moment: Moment, event: Event) -> Result<Turn, Trap> {
        self.counted(Function::Step, || self.policy.step(memo, moment, event))
    }

    fn invalidate(&self, change: &Change) -> Result<Vec<Target>, Trap> {
        self.counted(Function::Invalidate, || self.policy.invalidate(change))
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Generation").field(&self.label).finish()
    }
}

pub(super) fn rfc3339<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*at))
}
