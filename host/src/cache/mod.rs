//! The cache: the only part that knows policy, store and origin.
//!
//! ```text
//! read → plan → first look ──answer──────────────────────────────→ answer
//!                    └──────→ flight: round, round, … (one per key and host) ──→ answers
//! write → origin: execute → policy: what it touches → announce → commit → invalidate → answer
//! ```
//!
//! What is absent here, on purpose: no lock is held across an await, no wall clock is read, no key
//! is made of anything but what the policy named, and nothing writes to the store but a fill under
//! a lease.

mod answer;
mod entropy;
mod flights;
mod intents;
mod lease;
mod load;
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
use crate::policy::guard::Lifetimes;
use crate::policy::{
    Argument, Generation, Named, Query, Refusal, Request, Slot, Subject, Undecided,
};
use crate::store::Store;

pub use answer::{Answer, ReadError, Times, Via, Why};
pub use entropy::{Entropy, SystemEntropy};
pub use load::{LoadError, Loaded, Loader, QueryLoader, SqlLoader};
pub use trust::{Breaker, Invalidated, TrustedStore};
pub use writer::{CacheEffect, Invalidation, Resolve, WriteCall, WriteError, Wrote};

use flights::Flights;
use load::Loads;

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
    /// What is read; for an ad-hoc query, an entity made for it.
    pub entity: Arc<Entity>,
    /// The canonical values, in the order of the entity's parameters.
    pub values: Vec<Option<String>>,
    /// The statement, where no entity of the configuration has it.
    pub query: Option<Query>,
    /// How it is loaded.
    pub loader: Arc<dyn Loader>,
    /// The caller wants a value loaded after its request began.
    pub bypass: bool,
}

impl Read {
    /// The read in the policy's words.
    #[must_use]
    pub fn request(&self) -> Request {
        let subject = match &self.query {
            Some(query) => Subject::Query(query.clone()),
            None => Subject::Entity(self.entity.name.clone()),
        };
        let arguments = self
            .entity
            .params
            .iter()
            .zip(&self.values)
            .map(|(param, value)| Argument { name: param.name.clone(), value: value.clone() });
        Request { subject, arguments: arguments.collect() }
    }

    /// Its plan under `generation`.
    fn plan(&self, generation: &Generation) -> Result<Result<Arc<Named>, Refusal>, Undecided> {
        if self.query.is_some() {
            return generation.name(&self.request());
        }
        let values: Vec<Option<&str>> = self.values.iter().map(Option::as_deref).collect();
        generation.name_entity(&self.entity.name, &values, || self.request())
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
}

/// One host's cache.
pub struct Cache {
    store: Arc<TrustedStore>,
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
        let Parts { store, slot, metrics, entropy, loads_at_once, longest_load } = parts;
        let mark = longest_load * 2;
        Self {
            store: Arc::new(TrustedStore::new(store, mark, Arc::clone(&metrics))),
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
        let loaded = self.loads.run(&*read.loader, deadline - reserve, end, || {
            self.metrics.entity(&read.entity.name).load(reason);
        });
        let loaded = loaded.await.inspect_err(|error| {
            tracing::debug!(entity = read.entity.name, %error, "a load failed");
        })?;
        self.metrics.origin_load_seconds.record(loaded.cost);
        Ok(loaded)
    }
}
