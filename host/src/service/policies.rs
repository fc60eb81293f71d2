//! The policy in force and its exchange: by file, by an operator, back again.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::{Config, PolicyConfig};
use crate::observe::Metrics;
use crate::policy::gate::{self, Rejection, Terms};
use crate::policy::{
    self, Engine, Generation, NothingToRollBack, Origin, Slot, Status, Watch, builtin,
};

use super::{StartError, terms};

/// How many of the reads that are hot a candidate is asked for: enough for a share to mean something,
/// a few milliseconds of its calls.
const HOT_READS: usize = 1_000;

/// Everything that exchanging a policy needs. Cheap to clone.
#[derive(Clone)]
pub struct Policies {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    slot: Arc<Slot>,
    terms: Terms,
    metrics: Arc<Metrics>,
    watch: Mutex<Option<Watch>>,
}

/// A candidate that came into force.
#[derive(Debug)]
pub struct Installed {
    /// What it is now.
    pub generation: Arc<Generation>,
    /// What the gate learned of it.
    pub report: gate::Passport,
}

impl Policies {
    pub(super) async fn start(config: &Config, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        let engine = Engine::new(config.policy.limits.clone())?;
        let terms = terms(config);
        let (bytes, origin) = match &config.policy.component {
            None => (builtin().to_vec(), Origin::BuiltIn),
            Some(path) => (read(path).await?, Origin::File(path.clone())),
        };
        let passed = examine(&engine, bytes, terms.clone())
            .await
            .map_err(|rejection| StartError::Policy(Box::new(rejection)))?;
        let slot = Arc::new(Slot::new(passed, origin));
        let watch = Mutex::new(None);
        let policies = Self { inner: Arc::new(Inner { engine, slot, terms, metrics, watch }) };
        tracing::info!(policy = policies.inner.slot.current().label(), "the policy is in force");
        Ok(policies)
    }

    /// Where the generation in force stands.
    #[must_use]
    pub fn slot(&self) -> Arc<Slot> {
        Arc::clone(&self.inner.slot)
    }

    /// Runs a candidate through the gate and puts it in force. A component and a core module are
    /// both welcome. What fails the gate changes nothing.
    ///
    /// # Errors
    /// [`Rejection`] says what the gate found.
    pub async fn install(
        &self,
        bytes: Vec<u8>,
        origin: Origin,
    ) -> Result<Installed, Box<Rejection>> {
        let inner = &self.inner;
        let hot = inner.slot.current().hot(HOT_READS);
        let terms = Terms { hot, ..inner.terms.clone() };
        match examine(&inner.engine, bytes, terms).await {
            Ok(passed) => {
                let report = passed.report().clone();
                let generation = inner.slot.activate(passed, origin);
                inner.metrics.policy_swaps("activated");
                tracing::info!(policy = generation.label(), "a policy was exchanged");
                Ok(Installed { generation, report })
            }
            Err(rejection) => {
                inner.metrics.policy_swaps("refused");
                tracing::warn!(%rejection, "a policy was refused");
                Err(Box::new(rejection))
            }
        }
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
    pub fn status(&self) -> Status {
        self.inner.slot.status()
    }

    /// Follows the component's file, when the configuration asks for it.
    pub(super) fn watch(&self, config: &PolicyConfig) -> Result<(), StartError> {
        let (true, Some(path)) = (config.watch, &config.component) else {
            return Ok(());
        };
        let runtime = tokio::runtime::Handle::current();
        let weak = Arc::downgrade(&self.inner);
        let file = path.clone();
        let watch = policy::watch(path, move |change| {
            let Some(inner) = weak.upgrade() else { return };
            let origin = Origin::File(file.clone());
            match change {
                // The system may report one action as several, and an exchange too many would make
                // a rollback lead nowhere.
                Ok(bytes) if gate::digest(&bytes) == inner.slot.current().digest() => {
                    tracing::debug!("the policy's file holds what is in force");
                }
                Ok(bytes) => {
                    // Its refusal is logged and counted where it is refused.
                    let _outcome = runtime.block_on(Self { inner }.install(bytes, origin));
                }
                Err(error) => tracing::warn!(%error, "the policy's file can't be followed"),
            }
        });
        let watch = watch.map_err(|error| StartError::Component {
            path: path.display().to_string(),
            error: error.to_string(),
        })?;
        *self.inner.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
        Ok(())
    }

    pub(super) fn fold_metrics(&self) {
        for (function, result, total) in self.inner.slot.calls().each() {
            self.inner.metrics.policy_calls(function, result, total);
        }
        for time in self.inner.slot.calls().take_times() {
            self.inner.metrics.policy_call_seconds.record(time);
        }
        let current = self.inner.slot.current();
        #[expect(clippy::cast_precision_loss, reason = "a gauge is an f64")]
        self.inner.metrics.policy_generation.set(current.number() as f64);
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, StartError> {
    tokio::fs::read(path).await.map_err(|error| StartError::Component {
        path: path.display().to_string(),
        error: error.to_string(),
    })
}

/// Compiling takes tens of milliseconds of one core: off the threads that serve.
async fn examine(engine: &Engine, bytes: Vec<u8>, terms: Terms) -> Result<gate::Passed, Rejection> {
    let engine = engine.clone();
    let examined = tokio::task::spawn_blocking(move || gate::examine(&engine, &bytes, &terms));
    examined.await.unwrap_or_else(|_panic| Err(Rejection::crashed()))
}
