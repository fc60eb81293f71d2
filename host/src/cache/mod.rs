//! The cache: the only part that knows policy, store and origin.
//!
//! A hit: `reader` looks into the near cache. Otherwise the policy names the read (its plan is remembered),
//! its node is asked, and the value is answered if its fingerprint is the read's and its stamp is in
//! force.
//!
//! A miss: the read's flight is joined or started. The flight claims the lease, writes the name into the
//! indexes of its tags, loads, fills, and answers every request that may share the value.
//!
//! A write: executed, named, announced, committed, invalidated. The targets are named when the invalidation
//! is sent, under every naming in use on any host.
//!
//! Beside reads and writes runs [`Cache::keep_trust`]: it asks for a beat, reads the range's floors and
//! namings, pays the debts, and only then trusts the node for a second.
//!
//! What is absent here, on purpose: no lock is held across an await, no wall clock is read, no name
//! is made of anything but what the policy named, and nothing writes a value to the store but a fill under
//! a lease.

mod answer;
mod breaker;
mod database;
mod debt;
mod definition;
mod entropy;
mod exchange;
mod failings;
mod fleet;
mod flight;
mod flights;
mod keep;
mod lease;
mod listing;
mod load;
mod loads;
mod namings;
mod near;
mod nodes;
mod pauses;
mod read;
mod reader;
mod removal;
mod stamps;
mod trust;
mod write;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::name::Place;
use crate::observe::Metrics;
use crate::policy::{Generation, Slot};
use crate::store::{Envelope, HashSlot, HostCard, Name, Prefix, Store, StoreError, Topology};

pub use crate::clock::{Clock, RuntimeClock, SystemClock};
pub use answer::{Answer, ReadError, Via, Why};
pub use definition::Definition;
pub use entropy::{Entropy, SystemEntropy};
pub(crate) use flight::{millis, sighting};
pub use load::{LoadError, Loaded, Loader, QueryLoader, SqlLoader, load_time};
pub use loads::LoadLimit;
pub use near::Ready;
pub use read::CacheRead;

pub use trust::Breaker;
pub use write::{
    CacheEffect, Invalidated, Invalidation, Resolve, TooMuch, WriteCall, WriteError, Wrote,
};

use breaker::OriginBreaker;
use database::Database;
pub use database::WatchedOrigin;
use debt::Debt;
use failings::Failings;
use fleet::Fellows;
use flights::Flights;
use listing::Listed;
use loads::Loads;
use near::Near;
use nodes::Nodes;
use pauses::Pauses;
use stamps::Stamps;

/// What a cache is made of.
pub struct CacheParts {
    /// The store that all hosts share.
    pub store: Arc<dyn Topology>,
    /// The prefix of every name.
    pub prefix: Prefix,
    /// Every definition that is read through this cache.
    pub definitions: Vec<Arc<Definition>>,
    /// The origin that is asked about transactions in doubt and watched for a change of its identity.
    pub origin: Option<WatchedOrigin>,
    /// The policy in force.
    pub slot: Arc<Slot>,
    /// Where the cache counts.
    pub metrics: Arc<Metrics>,
    /// Where tokens and the policy's random bits come from.
    pub entropy: Arc<dyn Entropy>,
    /// The clock by which trust is measured.
    pub clock: Arc<dyn Clock>,
    /// The limit of concurrent loads.
    pub loads: LoadLimit,
    /// Bytes that the near cache may take up; 0 switches the near cache off.
    pub near_bytes: u64,
}

/// Work that an orderly end waits for: the work lasts as long as a clone of this value.
#[derive(Debug, Clone, Default)]
struct Unfinished(Arc<()>);

/// How many writes are in doubt.
#[derive(Debug, Default)]
struct Doubts(AtomicUsize);

impl Doubts {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn remove(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One host's cache.
pub struct Cache {
    nodes: Arc<Nodes>,
    stamps: Stamps,
    debt: Debt,
    doubts: Doubts,
    prefix: Prefix,
    host: HostCard,
    listed: Listed,
    fleet: Fellows,
    /// Hosts of another format that are alive.
    strangers: Mutex<usize>,
    /// What follows from the store's settings.
    concern: Mutex<Option<String>>,
    database: Database,
    near: Arc<Near>,
    slot: Arc<Slot>,
    flights: Arc<Flights>,
    loads: Arc<Loads>,
    /// The places for loads of ad-hoc queries, which take none from entities.
    query_loads: Arc<Loads>,
    breaker: OriginBreaker,
    pauses: Pauses,
    failings: Failings,
    metrics: Arc<Metrics>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    unfinished: Unfinished,
    /// Becomes true when every flight has to end.
    cut: watch::Sender<bool>,
}

/// What a cache owes and distrusts, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The breaker of the node that is trusted least.
    pub store: Breaker,
    /// Why that node is not trusted.
    pub why: Option<String>,
    /// The nodes, where there are several.
    pub nodes: Vec<NodeStanding>,
    /// Invalidations that are owed.
    pub owed: usize,
    /// Writes in doubt.
    pub in_doubt: usize,
    /// Hosts of another format that are alive.
    pub strangers: usize,
    /// Whether nothing can be stored yet because other hosts still have to learn this host's namings.
    pub is_new: bool,
    /// Whether what is loaded now can be stored.
    pub may_store: bool,
    /// What the store's settings put outside Corral's promises, as a sentence about the server.
    pub concern: Option<String>,
    /// What fails at the origin, as sentences with what to do.
    pub failings: Vec<String>,
}

/// How far one node of the store is trusted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NodeStanding {
    /// The node's name: its address, or the kind of a single node.
    pub node: String,
    /// The node's breaker.
    pub breaker: Breaker,
    /// Why the node is not trusted.
    pub why: Option<String>,
}

/// The breaker of the node that is trusted least, and why.
fn worst(nodes: &[NodeStanding]) -> (Breaker, Option<String>) {
    let rank = |standing: &&NodeStanding| match standing.breaker {
        Breaker::Closed => 0,
        Breaker::HalfOpen => 1,
        Breaker::Open => 2,
    };
    let worst = nodes.iter().max_by_key(rank);
    worst.map_or((Breaker::Open, None), |worst| (worst.breaker, worst.why.clone()))
}

/// What the store has under a name.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// The value.
    pub envelope: Option<Envelope>,
    /// Whether the value answers the read.
    pub believed: bool,
    /// How long the lease is held unless its holder renews it; `None` if it is free.
    pub held: Option<Duration>,
}

impl Cache {
    /// A cache of these parts. [`Cache::keep_trust`], [`Cache::keep_listed`],
    /// [`Cache::keep_database`] and [`Cache::carry_out_intents`] have to run beside it.
    #[must_use]
    pub fn new(parts: CacheParts) -> Self {
        let CacheParts {
            store, prefix, definitions, origin, slot, metrics, entropy, clock, ..
        } = parts;
        let near = Arc::new(Near::new(parts.near_bytes));
        let host = HostCard {
            id: format!("{:032x}", entropy.bits()),
            format: crate::store::FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..HostCard::default()
        };
        let layout = store.layout();
        let nodes = Nodes::new(store, Arc::clone(&clock), Arc::clone(&near));
        Self {
            nodes: Arc::new(nodes),
            stamps: Stamps::new(definitions, layout),
            debt: Debt::new(Arc::clone(&metrics)),
            doubts: Doubts::default(),
            prefix,
            host,
            listed: Listed::default(),
            fleet: Fellows::default(),
            strangers: Mutex::default(),
            concern: Mutex::default(),
            database: Database::new(origin),
            near,
            slot,
            flights: Arc::new(Flights::new(Arc::clone(&metrics))),
            loads: Loads::new(parts.loads),
            query_loads: Loads::new(parts.loads),
            breaker: OriginBreaker::default(),
            pauses: Pauses::default(),
            failings: Failings::default(),
            metrics,
            entropy,
            clock,
            unfinished: Unfinished::default(),
            cut: watch::Sender::new(false),
        }
    }

    /// This cache with another limit of concurrent ad-hoc queries.
    #[must_use]
    pub fn with_queries_at_once(self, limit: usize) -> Self {
        let limit = LoadLimit { at_once: limit, is_shared: false };
        Self { query_loads: Loads::new(limit), ..self }
    }

    /// Returns once every node of the store was asked for the first time.
    pub async fn judged(&self) {
        self.nodes.judged().await;
    }

    /// `memory`, `redis` or `redis cluster`, for logs and answers.
    #[must_use]
    pub fn store_kind(&self) -> &'static str {
        self.nodes.kind()
    }

    /// How many envelopes and intents since the start could not be read.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.nodes.unreadable()
    }

    /// What this cache owes and distrusts.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let nodes = self.nodes.standings();
        let (store, why) = worst(&nodes);
        let strangers = *self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let in_doubt = self.doubts.0.load(Ordering::Relaxed);
        let is_new = store == Breaker::Closed && self.stamps.is_new(self.clock.now());
        let may_store = store == Breaker::Closed && !is_new && !self.is_of_another_database();
        let concern = self.concern.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Standing {
            store,
            why,
            nodes,
            owed: self.debt.len(),
            in_doubt,
            strangers,
            is_new,
            may_store,
            concern,
            failings: self.failings.sentences(),
        }
    }

    /// Whether values in a slot are believed at this moment.
    #[must_use]
    pub fn believes(&self, slot: HashSlot) -> bool {
        self.nodes.holds(slot)
    }

    /// The clock of the node that has a name, as this host estimates it.
    #[must_use]
    pub fn now_ms(&self, name: &Name) -> u64 {
        self.nodes.now_ms(name.slot())
    }

    /// Entries of the near cache, and their bytes.
    #[must_use]
    pub fn near_size(&self) -> (usize, u64) {
        self.near.size()
    }

    /// Removes what the near cache may not answer any more; to be called every few seconds.
    pub fn sweep_near(&self) {
        self.near.sweep(&self.slot.peek());
    }

    /// Whether nothing is left to wait for: no flight, no write, no lease to give back, no debt.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_working = Arc::strong_count(&self.unfinished.0) > 1;
        self.flights.count() == 0 && !is_working && self.debt.len() == 0
    }

    /// Ends every flight, also those that begin from now on: the requests that wait get no answer, and the
    /// leases are given back. Writes go on.
    pub fn cut_off(&self) {
        self.cut.send_replace(true);
    }

    /// What the store has under a name, and whether it would be believed. Changes nothing.
    ///
    /// # Errors
    /// The store's errors; [`StoreError::Distrusted`] while the node is not trusted.
    pub async fn look_at(
        &self,
        definition: &Definition,
        place: &Place,
    ) -> Result<Sight, StoreError> {
        let name = &place.name;
        let get = |store: Arc<dyn Store>| async move { store.get(name).await };
        let (envelope, epoch) = self.nodes.ask(name.slot(), get).await?;
        let look = |store: Arc<dyn Store>| async move { store.lease_left(name).await };
        let held = self.nodes.watch(name.slot(), look).await?;
        let now_ms = self.now_ms(name);
        let envelope = envelope.filter(|envelope| envelope.stale_until_ms > now_ms);
        let believed = envelope.as_ref().is_some_and(|envelope| {
            envelope.fingerprint == place.fingerprint.in_database(self.database.number())
                && definition.is_in_force(self.nodes.range_of(name.slot()), envelope.stamp.word)
                && self.nodes.with_tags(epoch, &envelope.tag_slots) == Some(envelope.stamp.epoch)
        });
        Ok(Sight { envelope, believed, held })
    }

    fn begin(&self) -> Unfinished {
        self.unfinished.clone()
    }

    /// The value under a read's name was loaded for another read: the policy's keys collide, or another
    /// application shares the names. Within one configuration the collision counts against the policy.
    fn note_collision(&self, read: &CacheRead, generation: &Generation) {
        let entity = &read.entity().name;
        generation.refused(&format_args!("a key of {entity} is that of another read"));
    }
}
