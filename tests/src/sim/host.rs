//! One life of a host: the real cache between a simulated link to the store and a simulated way
//! (lane) to the origin.

mod naive;
mod policies;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use corral_host::cache::{
    Answer, Breaker, Cache, CacheEffect, CacheParts, CacheRead, Definition, Invalidated,
    Invalidation, LoadLimit, Loader, ReadError, WatchedOrigin, WriteCall, WriteError, Wrote,
};
use corral_host::config::{EntityConfig, Param};
use corral_host::observe::Metrics;
use corral_host::origin::{Origin, ParamType, ReadStatement, Rows, Value, WriteStatement};
use corral_host::policy::{Argument, Slot};
use corral_host::store::{HashSlot, Listener as _, Prefix, SingleNode, Store};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::chance::Chance;
use super::climate::Climate;
use super::history::{Life, RequestId};
use super::lane::{Lane, RowLoader, Writing};
use super::link::Link;
use super::pauses::HostClock;
use super::protection::Protection;
use super::truth::{Change, Subject};
use super::world::World;
use naive::Naive;
use policies::policy;

/// The metrics of all hosts of this process, which are judged at the end of a campaign.
pub(super) static METRICS: LazyLock<Arc<Metrics>> =
    LazyLock::new(|| Arc::new(Metrics::new(["item", "team", "roster"])));

/// Most loads of one host at a time.
const LOADS_AT_ONCE: usize = 4;

/// A host serves after this time even if its store has not answered.
const FIRST_BEAT: Duration = Duration::from_millis(250);

/// Room for every value of a schedule.
const NEAR_BYTES: u64 = 1 << 16;

/// What a host is started with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// The naming of its policy.
    pub(super) naming: u32,
    /// The definition of its entities.
    pub(super) configuration: usize,
}

/// Definitions of the entities that hosts may have: the first one, one with another statement, and
/// one whose parameter has another type.
pub(super) const CONFIGURATIONS: usize = 3;

/// One life of a host.
pub(super) struct Host {
    pub(super) number: usize,
    pub(super) life: Life,
    pub(super) cache: Arc<Cache>,
    /// Notified when the host dies.
    pub(super) died: Notify,
    dead: AtomicBool,
    world: Arc<World>,
    slot: Arc<Slot>,
    link: Arc<Link>,
    lane: Arc<Lane>,
    item: Arc<Definition>,
    team: Arc<Definition>,
    roster: Arc<Definition>,
    naming: AtomicU32,
    tasks: Vec<JoinHandle<()>>,
    naive: Arc<Naive>,
}

impl Host {
    pub(super) fn start(world: &Arc<World>, number: usize, life: Life, terms: Terms) -> Arc<Self> {
        let link = Arc::new(Link::new(world, number));
        let lane = Arc::new(Lane::new(world, number));
        let slot = Arc::new(Slot::native(policy(world, terms.naming)));
        let climate = &world.climate;
        let prefix = Prefix::default();
        let define = |name: &str, param: &str| {
            Definition::new(Arc::new(entity(name, param, climate, terms.configuration)), &prefix)
        };
        let (item, team) = (define("item", "id"), define("team", "team"));
        let roster = define("roster", "team");
        let cache = Arc::new(Cache::new(CacheParts {
            store: Arc::new(SingleNode::new(Arc::clone(&link) as Arc<dyn Store>)),
            prefix: prefix.clone(),
            definitions: vec![Arc::clone(&item), Arc::clone(&team), Arc::clone(&roster)],
            origin: Some(WatchedOrigin::new(Arc::clone(&lane) as Arc<dyn Origin>, "simulated")),
            slot: Arc::clone(&slot),
            metrics: Arc::clone(&METRICS),
            entropy: Arc::new(Chance::new(world.chance.below(usize::MAX) as u64)),
            clock: Arc::new(HostClock { world: Arc::clone(world), host: number }),
            loads: LoadLimit { at_once: LOADS_AT_ONCE, is_shared: true },
            near_bytes: if climate.near.is_zero() { 0 } else { NEAR_BYTES },
        }));
        link.belongs_to(&cache);
        let naive = Naive::new(climate.near);
        link.listen(naive.as_listener());
        Arc::new(Self {
            number,
            life,
            tasks: keep(&cache),
            cache,
            died: Notify::new(),
            dead: AtomicBool::new(false),
            world: Arc::clone(world),
            slot,
            link,
            lane,
            item,
            team,
            roster,
            naming: AtomicU32::new(terms.naming),
            naive,
        })
    }

    /// Ends the host: nothing that it does has an effect any more.
    pub(super) fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.link.cut();
        self.lane.cut();
        self.tasks.iter().for_each(JoinHandle::abort);
        self.died.notify_waiters();
    }

    /// Breaks its connection to the store.
    pub(super) fn disconnect(&self) {
        self.link.reconnect();
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Puts the policy of this naming in force.
    pub(super) fn swap(&self, naming: u32) {
        self.naming.store(naming, Ordering::Relaxed);
        self.slot.activate_native(policy(&self.world, naming));
        self.naive.all_changed();
    }

    /// The naming in force.
    pub(super) fn naming(&self) -> u32 {
        self.naming.load(Ordering::Relaxed)
    }

    /// Whether an invalidation waits until the host trusts the store.
    pub(super) fn owes(&self) -> bool {
        let standing = self.cache.standing();
        standing.owed > 0 || standing.store != Breaker::Closed
    }

    /// Waits until the host serves: until the store's first beat is judged, or late. `false` if the
    /// host died before that.
    pub(super) async fn has_started(&self) -> bool {
        let died = self.died.notified();
        tokio::select! {
            biased;
            () = died => return false,
            _ = timeout(FIRST_BEAT, self.cache.judged()) => {}
        }
        !self.is_dead()
    }

    fn read_of(&self, subject: Subject, fresh: bool, counted: bool) -> CacheRead {
        let (definition, number) = match subject {
            Subject::Item(id) => (&self.item, id),
            Subject::Team(id) => (&self.team, id),
            Subject::Roster(id) => (&self.roster, id),
        };
        // A renamed row has another key and so another flight.
        let counted = counted && !self.world.climate.swaps;
        let loader = Arc::new(RowLoader { lane: Arc::clone(&self.lane), subject, counted });
        let blind = self.world.lacks(Protection::FingerprintsAreCompared);
        let number = if blind && self.world.climate.collides { 0 } else { number };
        let values = vec![Value::from(i64::from(number))];
        CacheRead::new(Arc::clone(definition), values, loader).bypassing(fresh)
    }

    /// Reads a row that does not belong to the simulation's own rows.
    pub(super) async fn read_row(
        &self,
        number: u64,
        loader: Arc<dyn Loader>,
    ) -> Result<Answer, ReadError> {
        let values = vec![Value::from(number.cast_signed())];
        self.cache.read(CacheRead::new(Arc::clone(&self.item), values, loader)).await
    }

    pub(super) async fn read(
        self: &Arc<Self>,
        subject: Subject,
        fresh: bool,
    ) -> Result<Answer, ReadError> {
        self.world.pauses.over(self.number).await;
        let read = || self.cache.read(self.read_of(subject, fresh, true));
        // A reader that waited for another read has no time left for a read of its own.
        let in_time = |answer: Result<_, _>| answer.unwrap_or(Err(ReadError::Deadline));
        let deadline = self.world.climate.deadline;
        match self.world.missing {
            Some(Protection::LateJoinersWait) if !fresh => {
                in_time(timeout(deadline, self.naive.share(subject, read)).await)
            }
            Some(Protection::LateJoinersCompareStamps) if !fresh => {
                let shared = self.naive.share_fills(subject, self.link.fills(), read);
                in_time(timeout(deadline, shared).await)
            }
            Some(Protection::NearComparesStamps) if !fresh => {
                self.naive.near(subject, self.cache.believes(HashSlot::of("")), read).await
            }
            _ => read().await,
        }
    }

    pub(super) async fn write(
        self: &Arc<Self>,
        change: Change,
        request: RequestId,
    ) -> Result<Wrote, WriteError> {
        let (param, number) = match change.subject() {
            Subject::Item(id) => ("id", id),
            Subject::Team(id) | Subject::Roster(id) => ("team", id),
        };
        let writing = Writing { lane: Arc::clone(&self.lane), change, request };
        let host = Arc::clone(self);
        let call = WriteCall {
            definition: Arc::clone(&self.item),
            entity: "item".to_owned(),
            write: change.name().to_owned(),
            arguments: vec![Argument { name: param.to_owned(), value: Some(number.to_string()) }],
            statement: Arc::new(WriteStatement { sql: String::new(), params: vec![] }),
            values: vec![],
            needs: match change {
                Change::Rename(_) => vec![],
                Change::Put(_)
                | Change::Through(_)
                | Change::Move(..)
                | Change::Delete(_)
                | Change::Behind(_) => vec!["team".to_owned(), "old.team".to_owned()],
            },
            origin: Arc::new(writing),
            deadline: self.world.climate.deadline,
            resolve: Arc::new(move |_| Some(host.read_of(change.subject(), false, false))),
        };
        self.cache.write(call).await
    }

    /// An operator invalidates a row by name.
    pub(super) async fn invalidate(&self, subject: Subject) {
        let reads = vec![self.read_of(subject, false, false).request()];
        let invalidation = Invalidation { reads, ..Invalidation::default() };
        // It promises nothing to the row's writer, since no write waits for it.
        let _ = self.cache.invalidate(invalidation).await;
    }

    /// An operator flushes everything; `true` if that was done, `false` if it is owed.
    pub(super) async fn flush(&self) -> bool {
        self.cache.flush().await != Invalidated::Pending
    }
}

/// Starts the tasks that run for as long as the host.
fn keep(cache: &Arc<Cache>) -> Vec<JoinHandle<()>> {
    let (trusting, listing, carrying) = (Arc::clone(cache), Arc::clone(cache), Arc::clone(cache));
    vec![
        tokio::spawn(async move { trusting.keep_trust().await }),
        tokio::spawn(async move { listing.keep_listed().await }),
        tokio::spawn(async move { carrying.carry_out_intents().await }),
    ]
}

/// Whether a write's invalidation waits for the store.
pub(super) fn is_pending(wrote: &Wrote) -> bool {
    wrote.cache == CacheEffect::Pending
}

fn entity(name: &str, param: &str, climate: &Climate, configuration: usize) -> EntityConfig {
    let ty = if configuration == 2 { ParamType::Numeric } else { ParamType::Text };
    let read = ReadStatement {
        sql: format!("SELECT {}", if configuration == 1 { "another" } else { "one" }),
        params: vec![ty],
        rows: Rows::One,
    };
    EntityConfig {
        name: name.to_owned(),
        params: vec![Param { name: param.to_owned(), ty }],
        read: Some(read),
        rows: Rows::One,
        ttl: climate.ttl,
        stale_while_revalidate: climate.stale_while_revalidate,
        stale_if_error: climate.stale_if_error,
        negative_ttl: climate.ttl,
        tags: vec![],
        depends: vec![],
        deadline: climate.deadline,
        load_limit: climate.load_limit(),
        near: climate.near,
        cache_control: None,
        writes: BTreeMap::new(),
    }
}
