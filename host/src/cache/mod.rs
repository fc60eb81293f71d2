//! The cache: the only part that knows policy, store and origin.
//!
//! ```text
//! read → near ─────────────answer────────────────────────────────→ answer
//!          └→ plan → first look ──answer─────────────────────────→ answer
//!                         └──→ flight: round, round, … (one per key and host) ──→ answers
//! write → origin: execute → policy: what it touches → announce → commit → invalidate → answer
//! ```
//!
//! What is absent here, on purpose: no lock is held across an await, no wall clock is read, no key
//! is made of anything but what the policy named, and nothing writes to the store but a fill under
//! a lease.

mod answer;
mod entropy;
mod explain;
mod flights;
mod intents;
mod lease;
mod load;
mod near;
mod reader;
mod round;
mod stage;
mod tags;
mod trust;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Entity;
use crate::observe::{LoadReason, Metrics};
use crate::origin::Value;
use crate::policy::guard::Lifetimes;
use crate::policy::{
    Argument, Generation, Named, Query, Refusal, Request, Slot, Subject, Undecided,
};
use crate::read_name::ReadName;
use crate::store::Store;

pub use answer::{Answer, ReadError, Via, Why};
pub use entropy::{Entropy, SystemEntropy};
pub use explain::{Course, Explanation, Glance, Turned};
pub use load::{LoadError, Loaded, Loader, QueryLoader, SqlLoader};
pub use near::{Ready, etag_header};
pub use trust::{Breaker, Invalidated, TrustedStore};
pub use writer::{CacheEffect, Invalidation, Resolve, WriteCall, WriteError, Wrote};

use flights::Flights;
use load::Loads;
use near::Near;

/// Time kept back from a load's deadline, for the stale answer that may follow its failure; more
/// than an origin takes to notice that its server went away without a word.
const ANSWER_RESERVE: Duration = Duration::from_millis(150);

/// How long a load may take, so that a read with this deadline still has time for its answer.
#[must_use]
pub fn load_time(deadline: Duration) -> Duration {
    deadline - ANSWER_RESERVE.min(deadline / 5)
}

/// What the configuration says of the lifetimes of an entity's values.
pub(crate) fn lifetimes(entity: &Entity) -> Lifetimes {
    Lifetimes {
        ttl: entity.ttl,
        negative_ttl: entity.negative_ttl,
        stale_while_revalidate: entity.stale_while_revalidate,
        stale_if_error: entity.stale_if_error,
    }
}

/// A read with everything it needs.
pub struct Read {
    entity: Arc<Entity>,
    values: Vec<Value>,
    name: ReadName,
    query: Option<Query>,
    loader: Arc<dyn Loader>,
    bypass: bool,
}

impl Read {
    /// A read of an entity; the values stand in the order of its parameters.
    #[must_use]
    pub fn new(entity: Arc<Entity>, values: Vec<Value>, loader: Arc<dyn Loader>) -> Self {
        let name = ReadName::new(&entity.name, values.iter().map(Value::canonical));
        Self { entity, values, name, query: None, loader, bypass: false }
    }

    /// The same with a statement that no entity of the configuration has.
    #[must_use]
    pub fn of_query(self, query: Query) -> Self {
        Self { query: Some(query), ..self }
    }

    /// The same for a caller who wants a value loaded after the request began, or does not.
    #[must_use]
    pub fn bypassing(self, bypass: bool) -> Self {
        Self { bypass, ..self }
    }

    /// The read in the policy's words.
    #[must_use]
    pub fn request(&self) -> Request {
        let subject = match &self.query {
            Some(query) => Subject::Query(query.clone()),
            None => Subject::Entity(self.entity.name.clone()),
        };
        let arguments = self.entity.params.iter().zip(&self.values).map(|(param, value)| {
            Argument { name: param.name.clone(), value: value.canonical().map(str::to_owned) }
        });
        Request { subject, arguments: arguments.collect() }
    }

    /// Its plan under `generation`.
    fn plan(&self, generation: &Generation) -> Result<Result<Arc<Named>, Refusal>, Undecided> {
        match self.query {
            Some(_) => generation.name(&self.request()),
            None => generation.name_read(&self.name, || self.request()),
        }
    }
}

/// What a cache is made of.
pub struct Parts {
    /// What all hosts share.
    pub store: Arc<dyn Store>,
    /// The policy in force.
    pub slot: Arc<Slot>,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// Where its random bits come from.
    pub entropy: Arc<dyn Entropy>,
    /// The limit of concurrent loads.
    pub loads_at_once: usize,
    /// The longest deadline of all entities.
    pub longest_load: Duration,
    /// What the near cache may weigh; 0: there is none.
    pub near_bytes: u64,
}

/// One host's cache.
pub struct Cache {
    store: Arc<TrustedStore>,
    near: Arc<Near>,
    slot: Arc<Slot>,
    flights: Arc<Flights>,
    loads: Loads,
    metrics: Arc<Metrics>,
    entropy: Arc<dyn Entropy>,
    /// True: flights end.
    cut: watch::Sender<bool>,
}

impl Cache {
    /// A cache of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { store, slot, metrics, entropy, loads_at_once, longest_load, near_bytes } =
            parts;
        let (mark, near) = (longest_load * 2, Arc::new(Near::new(near_bytes)));
        let trusted = TrustedStore::new(store, Arc::clone(&near), mark, Arc::clone(&metrics));
        Self {
            store: Arc::new(trusted),
            near,
            slot,
            flights: Arc::new(Flights::new(Arc::clone(&metrics))),
            loads: Loads::new(loads_at_once),
            metrics,
            entropy,
            cut: watch::Sender::new(false),
        }
    }

    /// The store, as far as it is trusted.
    #[must_use]
    pub fn store(&self) -> &Arc<TrustedStore> {
        &self.store
    }

    /// Entries of the near cache, and their bytes.
    #[must_use]
    pub fn near_size(&self) -> (usize, u64) {
        self.near.size()
    }

    /// Makes room of what the near cache may not answer any more; to be called every few seconds.
    pub fn sweep_near(&self) {
        self.near.sweep(&self.slot.peek());
    }

    /// Whether nothing is left to wait for: no flight, no write, no lease to give back.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.flights.count() == 0 && self.store.unfinished() == 0
    }

    /// Ends every flight, those that begin from now on too: whoever waits gets no answer, and the
    /// leases are given back. Writes go on.
    pub fn cut_off(&self) {
        self.cut.send_replace(true);
    }

    async fn load(
        &self,
        read: &Read,
        reason: LoadReason,
        deadline: Instant,
    ) -> Result<Loaded, LoadError> {
        let reserve = read.entity.deadline - load_time(read.entity.deadline);
        // What ends by itself shall be first: an origin ends a statement more gently than we do.
        let end = deadline - reserve / 5;
        let loaded = self.loads.run((&*read.loader, &read.values), deadline - reserve, end, || {
            self.metrics.entity(&read.entity.name).load(reason);
        });
        let loaded = loaded.await.inspect_err(|error| {
            tracing::debug!(entity = read.entity.name, %error, "a load failed");
        })?;
        self.metrics.origin_load_seconds.record(loaded.cost);
        Ok(loaded)
    }
}
