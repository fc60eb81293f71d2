//! One life of a host: the real cache between a link and a lane.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use corral_host::cache::{
    Answer, Cache, CacheEffect, Invalidation, Loader, Parts, Read, ReadError, WriteCall,
    WriteError, Wrote,
};
use corral_host::config::{Entity, Param};
use corral_host::observe::Metrics;
use corral_host::origin::{ParamType, Rows, Value, WriteStatement};
use corral_host::policy::{
    self, Argument, Event, Memo, Moment, Plan, Policy, Refusal, Request, Row, Slot, Target, Trap,
    Turn,
};
use corral_host::store::Store;
use tokio::sync::{Mutex as AsyncMutex, Notify, OnceCell};
use tokio::task::JoinHandle;

use super::chance::Chance;
use super::climate::Climate;
use super::history::{Life, RequestId};
use super::lane::{Lane, RowLoader, Writing};
use super::link::Link;
use super::protection::Protection;
use super::truth::{Change, Subject};
use super::world::World;
use crate::native::{Native, named};

/// Of all hosts of this process: what is counted is judged at the end of a campaign.
pub(super) static METRICS: LazyLock<Arc<Metrics>> =
    LazyLock::new(|| Arc::new(Metrics::new(["item", "team"])));

/// Loads at once, of one host.
const LOADS_AT_ONCE: usize = 4;

/// Room for everything there is.
const NEAR_BYTES: u64 = 1 << 16;

type NaiveFlight = OnceCell<Result<Answer, ReadError>>;

/// One life of a host.
pub(super) struct Host {
    pub(super) number: usize,
    pub(super) life: Life,
    pub(super) cache: Arc<Cache>,
    /// It died.
    pub(super) died: Notify,
    dead: AtomicBool,
    world: Arc<World>,
    slot: Arc<Slot>,
    link: Arc<Link>,
    lane: Arc<Lane>,
    item: Arc<Entity>,
    team: Arc<Entity>,
    tasks: Vec<JoinHandle<()>>,
    /// Where a naive single-flight keeps who shares what.
    shared: AsyncMutex<BTreeMap<Subject, Arc<NaiveFlight>>>,
}

impl Host {
    pub(super) fn start(world: &Arc<World>, number: usize, life: Life, naming: u32) -> Arc<Self> {
        let link = Arc::new(Link::new(world, number));
        let slot = Arc::new(Slot::native(policy(world, naming)));
        let climate = &world.climate;
        let cache = Arc::new(Cache::new(Parts {
            store: Arc::clone(&link) as Arc<dyn Store>,
            slot: Arc::clone(&slot),
            metrics: Arc::clone(&METRICS),
            entropy: Arc::new(Chance::new(world.chance.below(usize::MAX) as u64)),
            loads_at_once: LOADS_AT_ONCE,
            longest_load: climate.deadline,
            near_bytes: if climate.near.is_zero() { 0 } else { NEAR_BYTES },
        }));
        let tasks = vec![
            tokio::spawn({
                let store = Arc::clone(cache.store());
                async move { store.probe().await }
            }),
            tokio::spawn({
                let cache = Arc::clone(&cache);
                async move { cache.carry_out_intents().await }
            }),
        ];
        Arc::new(Self {
            number,
            life,
            cache,
            died: Notify::new(),
            dead: AtomicBool::new(false),
            world: Arc::clone(world),
            slot,
            link,
            lane: Arc::new(Lane::new(world, number)),
            item: Arc::new(entity("item", "id", climate)),
            team: Arc::new(entity("team", "team", climate)),
            tasks,
            shared: AsyncMutex::default(),
        })
    }

    /// Nothing that it does has an effect any more.
    pub(super) fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.link.cut();
        self.lane.cut();
        self.tasks.iter().for_each(JoinHandle::abort);
        self.died.notify_waiters();
    }

    /// Its connection to the store breaks.
    pub(super) fn disconnect(&self) {
        self.link.reconnect();
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Puts the policy of this naming in force.
    pub(super) fn swap(&self, naming: u32) {
        self.slot.activate_native(policy(&self.world, naming));
    }

    pub(super) fn pending(&self) -> usize {
        self.cache.store().state().1
    }

    fn read_of(&self, subject: Subject, fresh: bool, counted: bool) -> Read {
        let (entity, number) = match subject {
            Subject::Item(id) => (&self.item, id),
            Subject::Team(id) => (&self.team, id),
        };
        // A renamed row is another key, with a flight of its own.
        let counted = counted && !self.world.climate.swaps;
        let loader = Arc::new(RowLoader { lane: Arc::clone(&self.lane), subject, counted });
        let values = vec![Value::from(i64::from(number))];
        Read::new(Arc::clone(entity), values, loader).bypassing(fresh)
    }

    /// Reads a row that no other part of the simulation knows.
    pub(super) async fn read_row(
        &self,
        number: u64,
        loader: Arc<dyn Loader>,
    ) -> Result<Answer, ReadError> {
        let values = vec![Value::from(number.cast_signed())];
        self.cache.read(Read::new(Arc::clone(&self.item), values, loader)).await
    }

    pub(super) async fn read(
        self: &Arc<Self>,
        subject: Subject,
        fresh: bool,
    ) -> Result<Answer, ReadError> {
        if self.world.lacks(Protection::LateJoinersWait) && !fresh {
            return self.read_naively(subject).await;
        }
        self.cache.read(self.read_of(subject, fresh, true)).await
    }

    /// A single-flight as it is usually made: who comes while a read runs gets its answer.
    async fn read_naively(self: &Arc<Self>, subject: Subject) -> Result<Answer, ReadError> {
        let flight = Arc::clone(self.shared.lock().await.entry(subject).or_default());
        let answer = flight
            .get_or_init(|| self.cache.read(self.read_of(subject, false, true)))
            .await
            .clone();
        let mut shared = self.shared.lock().await;
        if shared.get(&subject).is_some_and(|known| Arc::ptr_eq(known, &flight)) {
            shared.remove(&subject);
        }
        answer
    }

    pub(super) async fn write(
        self: &Arc<Self>,
        change: Change,
        request: RequestId,
    ) -> Result<Wrote, WriteError> {
        let (param, number) = match change.subject() {
            Subject::Item(id) => ("id", id),
            Subject::Team(id) => ("team", id),
        };
        let writing = Writing { lane: Arc::clone(&self.lane), change, request };
        let host = Arc::clone(self);
        let call = WriteCall {
            entity: "item".to_owned(),
            write: change.name().to_owned(),
            arguments: vec![Argument { name: param.to_owned(), value: Some(number.to_string()) }],
            statement: Arc::new(WriteStatement { sql: String::new(), params: vec![] }),
            values: vec![],
            needs: vec![],
            origin: Arc::new(writing),
            deadline: self.item.deadline,
            resolve: Arc::new(move |_| Some(host.read_of(change.subject(), false, false))),
        };
        self.cache.write(call).await
    }

    /// An operator invalidates a row by name; whether it waits for the store.
    pub(super) async fn invalidate(&self, subject: Subject) {
        let reads = vec![self.read_of(subject, false, false).request()];
        let invalidation = Invalidation { reads, ..Invalidation::default() };
        // It promises the writer of a row nothing: no write is waiting for it.
        let _ = self.cache.invalidate(invalidation).await;
    }
}

/// Whether a write's invalidation waits for the store.
pub(super) fn is_pending(wrote: &Wrote) -> bool {
    wrote.cache == CacheEffect::Pending
}

fn entity(name: &str, param: &str, climate: &Climate) -> Entity {
    Entity {
        name: name.to_owned(),
        params: vec![Param { name: param.to_owned(), ty: ParamType::Text }],
        read: None,
        rows: Rows::One,
        ttl: climate.ttl,
        stale_while_revalidate: climate.stale_while_revalidate,
        stale_if_error: climate.stale_if_error,
        negative_ttl: climate.ttl,
        tags: vec![],
        deadline: climate.deadline,
        near: climate.near,
        writes: BTreeMap::new(),
    }
}

/// The default policy under this naming.
#[expect(clippy::expect_used, reason = "a schedule whose settings are wrong proves nothing")]
fn policy(world: &Arc<World>, naming: u32) -> policy::NativePolicy {
    let settings = world.climate.settings(naming);
    let policy = Native::try_new(&settings).expect("settings that the policy accepts");
    if world.lacks(Protection::BothGenerationsNamed) {
        return named(Arc::new(Forgotten { policy, naming, world: Arc::clone(world) }), &settings);
    }
    named(Arc::new(policy), &settings)
}

/// A policy that is no longer asked what a write touches once another one is in force.
struct Forgotten {
    policy: Native,
    naming: u32,
    world: Arc<World>,
}

impl Policy for Forgotten {
    fn plan(&self, request: &Request) -> Result<Result<Plan, Refusal>, Trap> {
        self.policy.plan(request)
    }

    fn row_tags(
        &self,
        request: &Request,
        rows: &[Row],
    ) -> Result<Result<Vec<String>, Refusal>, Trap> {
        self.policy.row_tags(request, rows)
    }

    fn step(&self, memo: Memo, moment: Moment, event: Event) -> Result<Turn, Trap> {
        self.policy.step(memo, moment, event)
    }

    fn invalidate(&self, change: &policy::Change) -> Result<Vec<Target>, Trap> {
        if self.naming == self.world.naming() {
            return self.policy.invalidate(change);
        }
        Ok(Vec::new())
    }
}
