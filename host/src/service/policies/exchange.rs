//! Exchanging the policy: a candidate passes the gate, its names are compared, and it comes into force.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde_json::{Map, Value};
use tokio::sync::OwnedMutexGuard;

use crate::policy::prove::gate::{self, Conditions, Hot, HotRead, Passed, Passport, Rejection};
use crate::policy::{Engine, Generation, Introduction, Provenance, Reason, behind};

use super::alike::UnorderedPair;
use super::{Policies, PoliciesInner, REFUSALS, RefusedCandidate, lock};

/// How many hot reads a candidate is asked to name: enough for a share to mean something, and a few
/// milliseconds of calls.
const HOT_READS: usize = 1_000;

/// How many components that passed the gate are remembered, with their settings: as many as an operator
/// exchanges to and fro. They hold code and no instances.
const PASSED: usize = 4;

/// A component that is to come into force.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// A component, or a core module.
    pub component: Arc<[u8]>,
    /// Where the component comes from.
    pub provenance: Provenance,
    /// Why the component is to come into force.
    pub reason: Reason,
    /// The candidate's own settings; `None` for those of the generation in force.
    pub settings: Option<Map<String, Value>>,
    /// Whether the candidate may give reads other keys.
    pub allow_rename: bool,
    /// When an operator asked for the candidate, or its file was seen to change.
    pub asked: Instant,
}

/// What becomes of a candidate that passes the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The candidate comes into force.
    Activate,
    /// Invalidations cover the keys that the candidate names. The policy in force stays.
    Learn,
}

/// A candidate that came into force, or that was learned.
#[derive(Debug)]
pub struct Installed {
    /// The candidate's generation.
    pub generation: Arc<Generation>,
    /// What the gate learned about the candidate.
    pub report: Passport,
    /// How long the exchange took, from the moment when the operator asked for it or the file changed.
    pub took_ms: f64,
}

/// Why a candidate did not come into force.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The gate refused the candidate.
    #[error(transparent)]
    Refused(Box<Rejection>),
    /// The candidate gives reads other keys, and the operator has not allowed that.
    #[error(transparent)]
    Renames(Box<Renames>),
    /// The component was rolled back automatically, and comes from its file again: only a push by an operator
    /// brings it back.
    #[error(
        "it was rolled back by itself because it failed too often; `corral policy push` insists \
         on it"
    )]
    Condemned,
}

/// How many reads would go cold under a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renames {
    /// Among the reads that were made a short while ago.
    pub hot: Hot,
    /// Among generated reads, if no hot read gets another key.
    pub generated: Hot,
}

impl std::fmt::Display for Renames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { hot, generated } = self;
        write!(f, "{} of {} hot reads would get another key and go cold", hot.renamed, hot.asked)?;
        if hot.renamed == 0 {
            write!(f, ", but {} of {} generated ones would", generated.renamed, generated.asked)?;
        }
        if let Some(example) = hot.example.as_ref().or(generated.example.as_ref()) {
            let gate::Renamed { read, key, becomes } = example;
            write!(f, " ({read}: {key} becomes {becomes})")?;
        }
        f.write_str(
            "; ask for it by name: `corral policy rollout --allow-rename` lets every host learn the \
             names before one fills under them; for this host alone there are `corral policy push \
             --allow-rename`, ?rename=allow, and allow_rename = true in [policy] for a watched file",
        )
    }
}

impl std::error::Error for Renames {}

impl Candidate {
    /// A component that is asked for now, under the settings in force, and that gives every read the key that
    /// it has.
    #[must_use]
    pub fn new(component: Vec<u8>, provenance: Provenance) -> Self {
        let reason = Reason::of(&provenance);
        let (component, asked) = (component.into(), Instant::now());
        Self { component, provenance, reason, settings: None, allow_rename: false, asked }
    }
}

impl Policies {
    /// Runs a component, or a core module, through the gate and puts it in force. A component that fails the
    /// gate, or gives reads other keys, changes nothing.
    ///
    /// # Errors
    /// [`InstallError`] says what was found.
    pub async fn install(
        &self,
        component: Vec<u8>,
        provenance: Provenance,
    ) -> Result<Installed, InstallError> {
        self.exchange(Candidate::new(component, provenance)).await
    }

    /// Installs a candidate like [`Policies::install`], with all its options.
    ///
    /// # Errors
    /// [`InstallError`] says what was found.
    pub async fn exchange(&self, candidate: Candidate) -> Result<Installed, InstallError> {
        let (provenance, component) =
            (candidate.provenance.clone(), Arc::clone(&candidate.component));
        let installed = self.installed(candidate, Purpose::Activate).await;
        match &installed {
            Ok(installed) => self.inner.tell(installed),
            Err(error) => self.inner.note_refusal(provenance, gate::digest(&component), error),
        }
        installed
    }

    /// Runs a component through the gate; from then on invalidations cover the keys that it names. The policy
    /// in force stays. A policy that renames keys is to be learned by every host before the first host fills
    /// under the new names (race J).
    ///
    /// # Errors
    /// [`InstallError::Refused`] says what the gate found.
    pub async fn learn(&self, candidate: Candidate) -> Result<Installed, InstallError> {
        let learned = self.installed(candidate, Purpose::Learn).await?;
        tracing::info!(policy = learned.generation.label(), "a policy's names were learned");
        Ok(learned)
    }

    /// Runs a component through the gate and compares its names with those in force; returns the gate's
    /// report and whether it gives reads other keys. Nothing comes into force.
    ///
    /// # Errors
    /// [`InstallError`] says what was found; that it renames only if the candidate may not.
    pub(in crate::service) async fn foresee(
        &self,
        candidate: Candidate,
    ) -> Result<(Passport, bool), InstallError> {
        let (provenance, component) =
            (candidate.provenance.clone(), Arc::clone(&candidate.component));
        let foreseen = self
            .in_turn(move |inner| {
                let current = inner.slot.current();
                let passed = inner.pass(&candidate, &current)?;
                match inner.compare_names(&passed, &current) {
                    Err(_) if candidate.allow_rename => Ok((passed.report().clone(), true)),
                    Err(renames) => Err(renames),
                    Ok(()) => Ok((passed.report().clone(), false)),
                }
            })
            .await;
        let note = |error: &InstallError| {
            self.inner.note_refusal(provenance, gate::digest(&component), error);
        };
        foreseen.inspect_err(note)
    }

    /// The component of a policy that is in force or ready here; empty if it is neither.
    pub(in crate::service) fn component(&self, digest: &str) -> Arc<[u8]> {
        self.inner.component(digest)
    }

    /// Runs a component through the gate, only to be asked.
    ///
    /// # Errors
    /// [`InstallError::Refused`] says what the gate found.
    pub(in crate::service) async fn examined(
        &self,
        component: Vec<u8>,
    ) -> Result<Passed, InstallError> {
        let candidate = Candidate::new(component, Provenance::Pushed);
        self.in_turn(move |inner| inner.pass(&candidate, &inner.slot.current())).await
    }

    async fn installed(
        &self,
        candidate: Candidate,
        purpose: Purpose,
    ) -> Result<Installed, InstallError> {
        self.in_turn(move |inner| inner.install(candidate, purpose)).await
    }

    /// Runs the examination of a candidate in its turn, off the threads that serve, since the gate blocks.
    async fn in_turn<R: Send + 'static>(
        &self,
        examination: impl FnOnce(&PoliciesInner) -> Result<R, InstallError> + Send + 'static,
    ) -> Result<R, InstallError> {
        // Compiling occupies a whole core, so candidates of all kinds wait for each other.
        let turn = self.inner.turn().await;
        let inner = Arc::clone(&self.inner);
        let examined = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            examination(&inner)
        });
        let crashed = |_panic| Err(InstallError::Refused(Box::new(Rejection::crashed())));
        examined.await.unwrap_or_else(crashed)
    }
}

impl PoliciesInner {
    /// The turn of one candidate. The work itself holds it, since its caller may go away meanwhile.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Runs a candidate through the gate, unless it passed before under the same configuration.
    fn pass(&self, candidate: &Candidate, current: &Generation) -> Result<Passed, InstallError> {
        let Candidate { component, provenance, reason, settings, .. } = candidate;
        let settings = settings.as_ref().unwrap_or(&current.configuration().settings);
        let conditions = self.told.load().conditions_with(settings);
        let digest = gate::digest(component);
        // A watched file that still holds a condemned component asks for nothing; a push does.
        if matches!(reason, Reason::File)
            && self.slot.is_condemned(&digest, &conditions.configuration)
        {
            return Err(InstallError::Condemned);
        }
        let passed = match self.known(&digest, &conditions) {
            Some(known) => known,
            None => self.examine(component, provenance, &conditions)?,
        };
        // Asked here and not within the gate's time, which may be over before: the exchange depends on
        // the hot reads.
        Ok(passed.again(&current.hot(HOT_READS)))
    }

    fn install(&self, candidate: Candidate, purpose: Purpose) -> Result<Installed, InstallError> {
        let current = self.slot.current();
        let passed = self.pass(&candidate, &current)?;
        let report = passed.report().clone();
        let Candidate { component, provenance, reason, settings: _, allow_rename, asked } =
            candidate;
        let generation = match purpose {
            Purpose::Learn => self.slot.learn(passed, provenance),
            Purpose::Activate => {
                if !allow_rename {
                    self.compare_names(&passed, &current)?;
                }
                let introduction = Introduction { provenance, reason, asked };
                let generation = self.slot.introduce(passed, introduction);
                self.keep(&report.digest, component);
                generation
            }
        };
        Ok(Installed { generation, report, took_ms: asked.elapsed().as_secs_f64() * 1e3 })
    }

    pub(super) fn examine(
        &self,
        component: &[u8],
        provenance: &Provenance,
        conditions: &Conditions,
    ) -> Result<Passed, InstallError> {
        let engine = match provenance {
            Provenance::File(_) => &self.shelving,
            Provenance::BuiltIn | Provenance::Pushed | Provenance::Fleet => &self.engine,
        };
        let passed = behind(|| gate::examine(engine, component, conditions))
            .map_err(|rejection| InstallError::Refused(Box::new(rejection)))?;
        let mut known = lock(&self.passed);
        known.truncate(PASSED - 1);
        known.push_front(passed.again(&[]));
        Ok(passed)
    }

    /// A component that passed before under the same configuration.
    fn known(&self, digest: &str, conditions: &Conditions) -> Option<Passed> {
        let mut known = lock(&self.passed);
        let same = |passed: &Passed| {
            passed.report().digest == digest
                && *passed.pool().configuration() == conditions.configuration
        };
        let at = known.iter().position(same)?;
        let passed = known.remove(at)?;
        known.push_front(passed.clone());
        Some(passed)
    }

    /// Refuses a candidate that gives reads other keys. Few reads may be hot, so if all of them keep their
    /// key, generated reads are compared as well.
    pub(super) fn compare_names(
        &self,
        passed: &Passed,
        current: &Generation,
    ) -> Result<(), InstallError> {
        let hot = passed.report().hot.clone();
        let (told, pair) = (self.told.load(), UnorderedPair::of(passed, current));
        let are_alike = pair.as_ref().is_some_and(|pair| told.alike.has(pair));
        let mut generated = Hot::default();
        if hot.renamed == 0 && !are_alike {
            let sample = gate::sample(told.conditions.entities());
            let all = sample.len();
            let named = sample
                .into_iter()
                .filter_map(|request| Some(HotRead { key: current.key_of(&request)?, request }));
            generated = passed.names(&named.collect::<Vec<_>>());
            if let Some(pair) = pair.filter(|_| generated.renamed == 0 && generated.asked == all) {
                told.alike.note(pair);
            }
        }
        if hot.renamed == 0 && generated.renamed == 0 {
            return Ok(());
        }
        Err(InstallError::Renames(Box::new(Renames { hot, generated })))
    }

    /// Remembers a component for an exchange of its settings, and forgets components without a generation to
    /// go back to.
    fn keep(&self, digest: &str, component: Arc<[u8]>) {
        let generations = self.slot.status().generations;
        let mut components = lock(&self.components);
        components.retain(|(known, _)| {
            known != digest && generations.iter().any(|g| g.summary.digest == *known)
        });
        components.push((digest.to_owned(), component));
    }

    fn tell(&self, installed: &Installed) {
        self.metrics.policy_swaps("activated");
        tracing::info!(
            policy = installed.generation.label(),
            renamed = installed.report.hot.renamed,
            gate = installed.report.explored.cut_short().map(tracing::field::display),
            gate_ms = installed.report.took_ms,
            took_ms = installed.took_ms,
            "a policy was exchanged"
        );
    }

    pub(super) fn note_refusal(
        &self,
        provenance: Provenance,
        digest: String,
        error: &InstallError,
    ) {
        self.metrics.policy_swaps("refused");
        tracing::warn!(%error, "a policy was refused");
        let (stage, reason) = match error {
            InstallError::Refused(rejection) => (Some(rejection.stage), rejection.reason.clone()),
            InstallError::Renames(_) | InstallError::Condemned => (None, error.to_string()),
        };
        let at = SystemTime::now();
        let mut refusals = lock(&self.refusals);
        refusals.truncate(REFUSALS - 1);
        refusals.push_front(RefusedCandidate { at, provenance, digest, stage, reason });
    }
}

/// Examines the first component off the threads that serve, but at their priority: a host that starts has
/// nothing else to do.
pub(super) async fn examine_first(
    engine: &Engine,
    component: Arc<[u8]>,
    conditions: Conditions,
) -> Result<Passed, Rejection> {
    let engine = engine.clone();
    let examined =
        tokio::task::spawn_blocking(move || gate::examine(&engine, &component, &conditions));
    examined.await.unwrap_or_else(|_panic| Err(Rejection::crashed()))
}
