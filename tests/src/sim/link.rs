//! One host's link to the simulated store: messages take time, get lost or arrive late, and
//! connections end with the node at their other end. [`operations`] has the operations, and most of
//! the places where a protection is switched off.

mod clock;
mod grants;
mod node;
mod operation;
mod operations;
mod removal;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use corral_host::cache::Cache;
use corral_host::store::{
    Envelope, FloorScope, LeaseToken, LinkId, Name, Over, Store, StoreError, StoreTag,
};
use tokio::time::{sleep, timeout};

use super::chance::Chance;
use super::climate::{BUDGET, Climate};
use super::nodes::Node;
use super::protection::Protection;
use super::told::Told;
use super::weather::Way;
use super::wire::{Ears, Wire};
use super::world::World;
use clock::Estimate;
use operation::{Kind, Operation};

/// If hosts freeze, a host freezes at so many of a hundred moments between a check and an act.
const FREEZES: u32 = 1;

/// A host's link. It ends with its host.
pub(super) struct Link {
    world: Arc<World>,
    host: usize,
    dead: AtomicBool,
    /// How far the host's estimate of the store's clock lags behind.
    lag_ms: u64,
    estimate: Estimate,
    ears: Arc<Ears>,
    open: Mutex<Open>,
    /// The number of the link that is open.
    opened: Told<LinkId>,
    /// The cache that uses this link.
    cache: OnceLock<Weak<Cache>>,
    /// Fills that were sent.
    fills: AtomicU64,
    sabotage: Mutex<Sabotage>,
}

/// The open connections of one link.
struct Open {
    id: LinkId,
    end: End,
    wire: Wire,
}

/// The other end of a connection: a node in one of its lives.
#[derive(Debug, Clone, Copy)]
struct End {
    node: usize,
    life: u64,
}

/// What the code in place of a missing protection has to remember.
#[derive(Default)]
struct Sabotage {
    /// Index writes kept back until the fill.
    unindexed: BTreeMap<Name, Vec<(StoreTag, u64)>>,
    /// Tokens whose fills are accepted, whatever happened to their leases.
    privileged: HashSet<LeaseToken>,
    /// Intents that were announced already.
    announced: HashSet<String>,
    /// Namings that this host published.
    published: HashSet<FloorScope>,
    /// Claims that were answered.
    answered: HashSet<LeaseToken>,
    /// The result of each name's first look.
    seen: HashMap<Name, Envelope>,
}

impl Link {
    pub(super) fn new(world: &Arc<World>, host: usize) -> Self {
        let ears = Ears::new(world, host);
        let open = Open::new(world, &ears);
        Self {
            world: Arc::clone(world),
            host,
            dead: AtomicBool::new(false),
            lag_ms: world.chance.below(4) as u64,
            estimate: Estimate::default(),
            opened: Told::new(open.id),
            cache: OnceLock::new(),
            open: Mutex::new(open),
            ears,
            fills: AtomicU64::new(0),
            sabotage: Mutex::default(),
        }
    }

    /// Tells the link which cache uses it.
    pub(super) fn belongs_to(&self, cache: &Arc<Cache>) {
        let _is_known = self.cache.set(Arc::downgrade(cache)).is_err();
    }

    /// Whether the host owes an invalidation.
    fn owes(&self) -> bool {
        let cache = self.cache.get().and_then(Weak::upgrade);
        cache.is_some_and(|cache| cache.standing().owed > 0)
    }

    /// How many fills were sent.
    pub(super) fn fills(&self) -> u64 {
        self.fills.load(Ordering::Relaxed)
    }

    /// Breaks the connections. A moment later the host learns of it; by then it has new ones.
    pub(super) fn reconnect(&self) {
        let next = Open::new(&self.world, &self.ears);
        let id = next.id;
        let lost = std::mem::replace(&mut *self.open(), next);
        lost.wire.cut(&self.world);
        self.opened.change(|open| *open = id);
        self.world.remark(|| format!("host {} loses its connection", self.host));
        if self.lacks(Protection::NearDropsOnABreak) {
            return;
        }
        let (ears, noticed) = (Arc::clone(&self.ears), self.leg());
        tokio::spawn(async move {
            sleep(noticed).await;
            ears.thawed().await;
            ears.all_changed();
        });
    }

    /// A near cache that compares no stamps is emptied when trust ends.
    fn forget_near(&self) {
        if self.lacks(Protection::NearComparesStamps) {
            self.ears.all_changed();
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on no message leaves or arrives.
    pub(super) fn cut(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    fn is_cut(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    fn lacks(&self, protection: Protection) -> bool {
        self.world.lacks(protection)
    }

    fn sabotage(&self) -> MutexGuard<'_, Sabotage> {
        self.sabotage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leg(&self) -> Duration {
        self.world.leg()
    }

    /// One exchange: the request travels, is carried out as a whole, and the answer travels back. A
    /// host may freeze before the request is sent and before the answer is read.
    async fn exchange<R: Send + 'static>(
        &self,
        what: Operation,
        apply: impl FnOnce(&mut Node, u64) -> R + Send + 'static,
    ) -> Result<Over<R>, StoreError> {
        self.may_freeze();
        self.thawed().await;
        let over = self.talk(what, apply).await;
        if over.is_err() {
            self.forget_near();
        }
        self.may_freeze();
        self.thawed().await;
        over
    }

    async fn talk<R: Send + 'static>(
        &self,
        what: Operation,
        apply: impl FnOnce(&mut Node, u64) -> R + Send + 'static,
    ) -> Result<Over<R>, StoreError> {
        let (link, end) = {
            let open = self.open();
            (open.id, open.end)
        };
        let Some((there, back)) = self.legs(&what).await? else {
            return self.time_out(&what, "is lost").await;
        };
        if there + back >= BUDGET {
            self.arrive_late(what.clone(), end, there, apply);
            return self.time_out(&what, "takes too long").await;
        }
        sleep(there).await;
        if self.is_cut() && self.world.chance.percent(50) {
            return std::future::pending().await;
        }
        let sent_before = self.open().wire.sent_before();
        let answer = carry_out(&self.world, self.host, &what, end, apply);
        self.pass(back).await;
        self.thawed().await;
        if let Some(sent_before) = sent_before
            && timeout(BUDGET, sent_before).await.is_err()
        {
            self.reconnect_from(link);
            return Err(StoreError::Timeout(BUDGET));
        }
        match answer {
            Ok((answer, offset_ms)) => {
                self.estimate.observe(offset_ms);
                Ok(Over { link, answer })
            }
            Err(Failed::Refused) => Err(StoreError::Refused(
                "OOM command not allowed when used memory > 'maxmemory'".into(),
            )),
            Err(Failed::Closed) => {
                self.reconnect_from(link);
                Err(StoreError::Unavailable("the connection was closed".into()))
            }
            Err(Failed::Follows) => {
                self.reconnect_from(link);
                Err(StoreError::Unavailable("READONLY".into()))
            }
        }
    }

    /// How long the ways there and back take; `None` if the message is lost.
    async fn legs(&self, what: &Operation) -> Result<Option<(Duration, Duration)>, StoreError> {
        if self.is_cut() {
            return std::future::pending().await;
        }
        let world = &self.world;
        let way = world.weather().link(self.host);
        let (mut there, mut back) = (self.leg(), self.leg());
        match way {
            Way::Open => {}
            Way::Refuses => {
                self.pass(there).await;
                self.reconnect();
                world.remark(|| format!("store: {what}, by host {}, is refused", self.host));
                return Err(StoreError::Unavailable("refused".into()));
            }
            Way::Frozen if world.chance.percent(50) => there += world.chance.millis(60, 600),
            Way::Frozen => return Ok(None),
            Way::Slow(more) => (there, back) = (there + more, back + more),
        }
        if world.chance.below(1000) < world.climate.lost as usize {
            match world.chance.below(3) {
                0 => return Ok(None),
                1 => back = BUDGET,
                _ => there += world.chance.millis(60, 400),
            }
        }
        Ok(Some((there, back)))
    }

    /// Replaces the link of this number, unless it is replaced already.
    fn reconnect_from(&self, link: LinkId) {
        if self.open().id == link {
            self.reconnect();
        }
    }

    /// Lets time pass. For a dead host this never ends.
    async fn pass(&self, time: Duration) {
        if !time.is_zero() {
            sleep(time).await;
        }
        if self.is_cut() {
            std::future::pending::<()>().await;
        }
    }

    /// A host may freeze between any check and the act that it allows.
    fn may_freeze(&self) {
        let world = &self.world;
        if world.climate.pauses && world.chance.percent(FREEZES) {
            let longest_ms = world.chance.one_of(&[50, 300, 2_000]);
            world.freeze(self.host, world.chance.millis(1, longest_ms));
        }
    }

    /// Waits until the host is not frozen, since a frozen host sends and reads nothing.
    async fn thawed(&self) {
        if self.world.climate.pauses {
            self.world.pauses.over(self.host).await;
            self.pass(Duration::ZERO).await;
        }
    }

    /// A time-out. Some connections break after it, and others are kept.
    async fn time_out<R>(&self, what: &Operation, how: &str) -> Result<R, StoreError> {
        self.world.remark(|| format!("store: {what}, by host {}, {how}", self.host));
        self.pass(BUDGET).await;
        if self.world.chance.percent(50) {
            self.reconnect();
        }
        Err(StoreError::Timeout(BUDGET))
    }

    /// Lets an operation arrive late, if the node lives; its sender waits for it no longer.
    fn arrive_late<R: 'static>(
        &self,
        what: Operation,
        end: End,
        there: Duration,
        apply: impl FnOnce(&mut Node, u64) -> R + Send + 'static,
    ) {
        let (world, host) = (Arc::clone(&self.world), self.host);
        tokio::spawn(async move {
            sleep(there).await;
            world.remark(|| format!("store: {what}, by host {host}, arrives late"));
            let _nobody = carry_out(&world, host, &what, end, apply);
        });
    }
}

impl Open {
    fn new(world: &Arc<World>, ears: &Arc<Ears>) -> Self {
        let (node, life) = {
            let nodes = world.nodes();
            let (node, at) = nodes.of(ears.host);
            (node, at.life)
        };
        let wire = Wire::open(world, ears, node);
        Self { id: LinkId(world.next_link()), end: End { node, life }, wire }
    }
}

/// Why a node did not carry out an operation.
enum Failed {
    Closed,
    Follows,
    Refused,
}

/// Carries out an operation; returns the answer, and by how much the node's clock differs.
fn carry_out<R>(
    world: &World,
    host: usize,
    what: &Operation,
    end: End,
    apply: impl FnOnce(&mut Node, u64) -> R,
) -> Result<(R, i64), Failed> {
    world.count_operation();
    let kind = what.kind();
    let answer = world.at_node(end.node, Some(end.life), |node, now_ms| match kind {
        Kind::Removes | Kind::Adds if node.follows => Err(Failed::Follows),
        Kind::Adds if node.full => Err(Failed::Refused),
        Kind::Reads | Kind::Removes | Kind::Adds => Ok((apply(node, now_ms), node.offset_ms)),
    });
    world.remark(|| format!("store: {what}, by host {host}, at node {}", end.node));
    answer.unwrap_or(Err(Failed::Closed))
}

/// A store without disturbances, for the suite of all stores. It needs a runtime.
#[must_use]
pub fn calm_store(seed: u64) -> Arc<dyn Store> {
    calm_pair(seed).0
}

/// The same for two hosts.
#[must_use]
pub fn calm_pair(seed: u64) -> (Arc<dyn Store>, Arc<dyn Store>) {
    let chance = Chance::new(seed);
    let climate =
        Climate { hosts: 2, slow_link: Duration::from_millis(2), ..Climate::calm(&chance) };
    let world = Arc::new(World::new(climate, chance, None, false));
    (Arc::new(Link::new(&world, 0)), Arc::new(Link::new(&world, 1)))
}
