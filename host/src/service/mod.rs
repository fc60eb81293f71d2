//! Corral as a library: one host, built from a configuration.
//!
//! Order of calls: [`Corral::start`], then reads, writes and invalidations from any task, then
//! [`Corral::shutdown`]. The binary's HTTP face is a thin layer over this module.

mod closures;
mod conditions;
mod edition;
mod explain;
mod fleet;
mod policies;
mod probe;
mod query;
mod questions;
mod readiness;
mod reload;
mod requests;
mod shadow;
mod statements;
mod tags;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::try_join_all;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cache::{
    Breaker, Cache, CacheParts, Definition, LoadLimit, SystemClock, SystemEntropy, WatchedOrigin,
    load_time,
};
use crate::config::{Config, Secret};
use crate::observe::Metrics;
use crate::origin::{self, CurrentUrl, Origin, OriginOptions};
use crate::policy::prove::gate;
use crate::policy::{EngineError, FileWatch, Slot};
use crate::store::{MemoryStore, SingleNode, StoreError, Topology};

use edition::{BoundEntity, Edition};

pub use closures::ClosureError;
pub use conditions::conditions;
pub use explain::{ExplainError, Explained, ExplainedFlight, ExplainedTurn, Explanation, Glance};
pub use fleet::{
    Fleet, FleetHost, FleetPolicy, FleetRecord, FleetStatus, PastRollout, Rollout, RolloutBegun,
    RolloutError, RolloutPhase, RolloutRequest,
};
pub use policies::{
    Candidate, InstallError, Installed, Policies, PolicyStatus, RefusedCandidate, Renames,
};
pub use query::QueryRequest;
pub use questions::{
    QuestionError, TraceRequests, generated_questions, recorded_questions, trace_requests,
};
pub use readiness::Readiness;
pub use reload::{ReloadError, Reloaded};
pub use requests::{Arguments, InvalidArgument, ReadRequest, RequestError};
pub use shadow::ShadowError;
pub use tags::{FilledTag, GivenTag};

/// How often the near cache is swept.
const SWEEP: Duration = Duration::from_secs(5);

/// How long giving leases back and answering waiting requests may take at the end: a few round trips to the
/// store. A store that can't be reached must not keep a host from ending.
pub const FAREWELL: Duration = Duration::from_millis(250);

/// How long a start waits for the store: a few round trips, so that the first reads find it trusted.
const FIRST_BEAT: Duration = Duration::from_millis(250);

/// How often an ending host looks whether it is idle: much shorter than any load.
const IDLE_LOOK: Duration = Duration::from_millis(5);

/// One host: a policy, a store, an origin, and the cache between them. Cheap to clone.
#[derive(Clone)]
pub struct Corral {
    inner: Arc<CorralInner>,
}

struct CorralInner {
    /// The configuration in force.
    edition: ArcSwap<Edition>,
    /// Held during a reload, so that configurations come into force one after the other.
    reloading: tokio::sync::Mutex<()>,
    /// The watch on the configuration's file.
    watched: std::sync::Mutex<Option<FileWatch>>,
    cache: Arc<Cache>,
    origin: Option<Arc<dyn Origin>>,
    probe: probe::Probe,
    /// Where ad-hoc queries run.
    queries: Option<Arc<dyn Origin>>,
    policies: Policies,
    fleet: Fleet,
    metrics: Arc<Metrics>,
    draining: AtomicBool,
    /// Whether the host may take requests: it could store once, or has waited long enough for it.
    begun: AtomicBool,
    started: Instant,
    tasks: std::sync::Mutex<JoinSet<()>>,
    /// The entities that are served although `corral check` refuses them.
    misfits: statements::Misfits,
}

/// Why a host did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine that runs policies does not start.
    #[error("the policy engine does not start: {0}")]
    Engine(#[from] EngineError),
    /// The component's or the configuration's file can't be read or watched.
    #[error("{path}: {error}")]
    Component {
        /// The file.
        path: String,
        /// Why the file can't be read or watched.
        error: String,
    },
    /// The policy did not pass the gate.
    #[error("the policy is refused\n{0}")]
    Policy(Box<gate::Rejection>),
    /// The store's address can't be used, or the server there can't.
    #[error("store.url: {0}")]
    Store(StoreError),
    /// The origin's address can't be used.
    #[error("origin.url: {0}")]
    Origin(#[from] origin::ConnectError),
}

impl Corral {
    /// Builds a host and starts what runs beside its requests: the store's probe, the policy's
    /// watch, the near cache's sweep. Neither store nor origin has to be reachable.
    ///
    /// # Errors
    /// [`StartError`] for a policy that does not pass the gate, addresses that can't be used, and a server
    /// that forbids what no host can do without.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let store = connect_store(&config).map_err(StartError::Store)?;
        // A store that does not answer must not keep a host from starting.
        let map = store.map();
        let asking = try_join_all(map.nodes.iter().map(|node| node.store.beat(&[])));
        if let Ok(Err(error @ StoreError::Unusable(_))) = timeout(FIRST_BEAT, asking).await {
            return Err(StartError::Store(error));
        }
        Self::start_with(config, store).await
    }

    /// Builds a host like [`Corral::start`], over a store of the caller's.
    ///
    /// # Errors
    /// Like [`Corral::start`].
    pub async fn start_with(config: Config, store: Arc<dyn Topology>) -> Result<Self, StartError> {
        let origin = connect_origin(&config)?;
        let queries = connect_queries(&config)?;
        let metrics = Arc::new(Metrics::new(config.entities.keys().map(String::as_str)));
        let policies = Policies::start(&config, Arc::clone(&metrics)).await?;
        let edition = Edition::of(config.clone(), origin.as_ref());
        let definitions = edition.definitions();
        let url = config.origin.url.as_ref();
        let watched =
            origin.clone().zip(url).map(|(origin, url)| WatchedOrigin::new(origin, &url.0));
        let parts = Assembled { store, definitions, origin: watched };
        let cache = new_cache(&config, parts, policies.slot(), Arc::clone(&metrics));
        cache.listens_at(&config.listen.to_string());
        let fleet = Fleet::new(Arc::clone(&cache), policies.clone(), Arc::clone(&metrics));
        let inner = Arc::new(CorralInner {
            edition: ArcSwap::from_pointee(edition),
            reloading: tokio::sync::Mutex::default(),
            watched: std::sync::Mutex::default(),
            cache,
            origin,
            probe: probe::Probe::default(),
            queries,
            policies,
            fleet,
            metrics,
            draining: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            started: Instant::now(),
            tasks: std::sync::Mutex::default(),
            misfits: statements::Misfits::default(),
        });
        let corral = Self { inner };
        corral.start_tasks()?;
        let first_beat = corral.inner.cache.judged();
        // A store that does not answer must not keep a host from starting.
        let _in_time = timeout(FIRST_BEAT, first_beat).await;
        corral.join_fleet().await;
        Ok(corral)
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.inner.config()
    }

    /// The edition of the configuration in force.
    pub(crate) fn edition(&self) -> Arc<Edition> {
        self.inner.edition.load_full()
    }

    /// The policy in force, its exchange and rollback.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.inner.policies
    }

    /// `memory` or `redis`.
    #[must_use]
    pub fn store_kind(&self) -> &'static str {
        self.inner.cache.store_kind()
    }

    /// `postgres`, `sqlite` or `none`.
    #[must_use]
    pub fn origin_kind(&self) -> &'static str {
        self.inner.origin.as_ref().map_or("none", |origin| origin.kind())
    }

    /// Metrics as Prometheus text.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.inner.fold_metrics();
        self.inner.metrics.render(self.inner.policies.slot().calls().times())
    }

    /// Counts a request for which the client did not wait.
    #[cfg(feature = "http")]
    pub(crate) fn note_disconnect(&self) {
        self.inner.metrics.http_disconnects.add(1);
    }

    /// Ends the host: flights in progress may finish until `grace` is over, then they are cut off and give
    /// their leases back, which takes [`FAREWELL`] at most.
    pub async fn shutdown(&self, grace: Duration) {
        self.drain();
        let finished = timeout(grace, self.idle()).await.is_ok();
        self.inner.cache.cut_off();
        let tidy = timeout(FAREWELL, self.idle()).await.is_ok();
        let _ = timeout(FAREWELL, self.inner.cache.leave()).await;
        let standing = self.inner.cache.standing();
        if standing.owed > 0 || standing.in_doubt > 0 {
            tracing::warn!(
                owed = standing.owed,
                in_doubt = standing.in_doubt,
                "stopped with invalidations that the store has not taken: the values concerned may be read \
                 stale from it until their lifetime ends; `corral flush` makes all of them untrue"
            );
        }
        tracing::info!(finished, tidy, "stopped");
        if let Ok(mut tasks) = self.inner.tasks.lock() {
            tasks.abort_all();
        }
    }

    async fn idle(&self) {
        while !self.inner.cache.is_idle() {
            sleep(IDLE_LOOK).await;
        }
    }

    fn start_tasks(&self) -> Result<(), StartError> {
        let inner = Arc::downgrade(&self.inner);
        self.inner.policies.watch()?;
        self.follow_configuration()?;
        if let Ok(mut tasks) = self.inner.tasks.lock() {
            let [trust, list, intents, database] = [(); 4].map(|()| Arc::clone(&self.inner.cache));
            tasks.spawn(async move { trust.keep_trust().await });
            tasks.spawn(async move { list.keep_listed().await });
            tasks.spawn(async move { database.keep_database().await });
            tasks.spawn(async move { intents.carry_out_intents().await });
            tasks.spawn(statements::keep_looking(inner.clone()));
            tasks.spawn(async move {
                while let Some(inner) = inner.upgrade() {
                    inner.cache.sweep_near();
                    drop(inner);
                    sleep(SWEEP).await;
                }
            });
        }
        Ok(())
    }
}

impl CorralInner {
    /// Copies what is counted elsewhere into the registry, when metrics are asked for.
    fn fold_metrics(&self) {
        let (entries, bytes) = self.cache.near_size();
        self.metrics.store_unreadable.set(self.cache.unreadable());
        self.metrics.breaker_state.set(match self.cache.standing().store {
            Breaker::Closed => 0,
            Breaker::HalfOpen => 1,
            Breaker::Open => 2,
        });
        self.metrics.near_entries.set(entries as u64);
        self.metrics.near_bytes.set(bytes);
        self.policies.fold_metrics();
    }
}

/// The store of a configuration.
pub(crate) fn connect_store(config: &Config) -> Result<Arc<dyn Topology>, StoreError> {
    match &config.store.url {
        None => Ok(Arc::new(SingleNode::new(Arc::new(MemoryStore::default())))),
        Some(url) => {
            crate::store::connect(&url.0, config.store.prefix.clone(), config.store.timeout)
        }
    }
}

/// The origin of a configuration, if it has one.
pub(crate) fn connect_origin(
    config: &Config,
) -> Result<Option<Arc<dyn Origin>>, origin::ConnectError> {
    let Some(url) = &config.origin.url else {
        return Ok(None);
    };
    let size = |connections| u32::try_from(connections).unwrap_or(u32::MAX);
    let options = OriginOptions {
        max_loads: size(config.origin.max_loads),
        max_writes: size(config.origin.max_writes),
        deadline: usual_deadline(config),
        pooler: config.origin.pooler,
        again: again(config, |config| config.origin.url),
    };
    origin::connect(&url.0, &options).map(Some)
}

/// How an origin's URL is read again from the configuration's file, where its password may have been rotated.
fn again(config: &Config, url: fn(Config) -> Option<Secret>) -> Option<CurrentUrl> {
    let file = config.file.clone()?;
    Some(CurrentUrl::new(move || url(Config::load(&file).ok()?).map(|url| url.0)))
}

/// The origin of ad-hoc queries: connections of their own, which may use another role.
pub(crate) fn connect_queries(
    config: &Config,
) -> Result<Option<Arc<dyn Origin>>, origin::ConnectError> {
    let Some(url) = config.query.url.as_ref().or(config.origin.url.as_ref()) else {
        return Ok(None);
    };
    let options = OriginOptions {
        max_loads: u32::try_from(config.query.max_loads).unwrap_or(u32::MAX),
        max_writes: 1,
        pooler: config.origin.pooler,
        deadline: load_time(config.query.deadline),
        again: again(config, |config| config.query.url.or(config.origin.url)),
    };
    origin::connect(&url.0, &options).map(Some)
}

/// The time that most loads have. A read with this time needs no transaction of its own.
fn usual_deadline(config: &Config) -> Duration {
    let mut counts: BTreeMap<Duration, usize> = BTreeMap::new();
    for entity in config.entities.values() {
        *counts.entry(load_time(entity.deadline)).or_default() += 1;
    }
    let usual = counts.into_iter().max_by_key(|(_, count)| *count);
    usual.map_or(OriginOptions::default().deadline, |(deadline, _)| deadline)
}

/// Whether more than one entity loads; all ad-hoc queries together count as one.
fn is_shared(config: &Config) -> bool {
    config.entities.len() + usize::from(config.query.enabled) > 1
}

/// What a cache is built over.
struct Assembled {
    store: Arc<dyn Topology>,
    definitions: Vec<Arc<Definition>>,
    origin: Option<WatchedOrigin>,
}

fn new_cache(
    config: &Config,
    over: Assembled,
    slot: Arc<Slot>,
    metrics: Arc<Metrics>,
) -> Arc<Cache> {
    let Assembled { store, definitions, origin } = over;
    let near_is_used = config.entities.values().any(|entity| !entity.near.is_zero());
    let cache = Cache::new(CacheParts {
        store,
        prefix: config.store.prefix.clone(),
        definitions,
        origin,
        slot,
        metrics,
        entropy: Arc::new(SystemEntropy),
        clock: Arc::new(SystemClock),
        loads: LoadLimit { at_once: config.origin.max_loads, is_shared: is_shared(config) },
        near_bytes: if near_is_used { config.near.bytes } else { 0 },
    });
    Arc::new(cache.with_queries_at_once(config.query.max_loads))
}
