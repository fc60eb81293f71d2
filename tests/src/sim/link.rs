//! One host's link to the simulated store: messages take time, get lost, arrive late. What they ask
//! for, and where a protection is switched off, stands in [`operations`].

mod operation;
mod operations;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use corral_host::store::{Key, Store, StoreError, Tag, Token};
use tokio::time::{sleep, timeout};

use super::chance::Chance;
use super::climate::{BUDGET, Climate};
use super::protection::Protection;
use super::shelf::Shelf;
use super::weather::Way;
use super::wire::{Ears, Wire};
use super::world::World;
use operation::Operation;

/// A host's link. It ends with its host.
pub(super) struct Link {
    world: Arc<World>,
    host: usize,
    dead: AtomicBool,
    /// How far the host's estimate of the store's clock lags behind.
    lag_ms: u64,
    latest_ms: AtomicU64,
    ears: Arc<Ears>,
    wire: Mutex<Wire>,
    sabotage: Mutex<Sabotage>,
}

/// What a missing protection has to remember.
#[derive(Default)]
struct Sabotage {
    /// Index writes kept back until the fill.
    unindexed: BTreeMap<Key, Vec<(Tag, u64)>>,
    /// Tokens whose fills are accepted, whatever became of their leases.
    privileged: HashSet<Token>,
    /// Keys and tags whose invalidation failed here.
    owed_keys: BTreeSet<Key>,
    owed_tags: BTreeSet<Tag>,
}

impl Link {
    pub(super) fn new(world: &Arc<World>, host: usize) -> Self {
        let ears = Ears::new(world, host);
        Self {
            world: Arc::clone(world),
            host,
            dead: AtomicBool::new(false),
            lag_ms: world.chance.below(4) as u64,
            latest_ms: AtomicU64::new(0),
            wire: Mutex::new(Wire::open(world, &ears)),
            ears,
            sabotage: Mutex::default(),
        }
    }

    /// The connection breaks, and a moment later the host knows; by then it has the next one.
    pub(super) fn reconnect(&self) {
        let next = Wire::open(&self.world, &self.ears);
        let lost = std::mem::replace(&mut *self.wire(), next);
        lost.cut(&self.world);
        self.world.remark(|| format!("host {} loses its connection", self.host));
        if self.lacks(Protection::NearDropsOnABreak) {
            return;
        }
        let (ears, noticed) = (Arc::clone(&self.ears), self.leg());
        tokio::spawn(async move {
            sleep(noticed).await;
            ears.all_changed();
        });
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// One exchange: the request travels, is carried out in one piece, and the answer travels back.
    async fn exchange<R: Send + 'static>(
        &self,
        what: Operation,
        apply: impl FnOnce(&mut Shelf, u64) -> R + Send + 'static,
    ) -> Result<R, StoreError> {
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
                return Err(StoreError::Unavailable("refused".into()));
            }
            Way::Frozen => {
                if world.chance.percent(50) {
                    there += world.chance.millis(60, 600);
                } else {
                    return self.time_out(&what, "is lost").await;
                }
            }
            Way::Slow(more) => (there, back) = (there + more, back + more),
        }
        if world.chance.below(1000) < world.climate.lost as usize {
            match world.chance.below(3) {
                0 => return self.time_out(&what, "is lost").await,
                1 => back = BUDGET,
                _ => there += world.chance.millis(60, 400),
            }
        }
        if there + back >= BUDGET {
            self.arrive_late(what.clone(), there, apply);
            return self.time_out(&what, "takes too long").await;
        }
        sleep(there).await;
        if self.is_cut() && world.chance.percent(50) {
            return std::future::pending().await;
        }
        let sent_before = self.wire().sent_before();
        let answer = self.carry_out(&what, apply);
        self.pass(back).await;
        if let Some(sent_before) = sent_before
            && timeout(BUDGET, sent_before).await.is_err()
        {
            self.reconnect();
            return Err(StoreError::Timeout(BUDGET));
        }
        Ok(answer)
    }

    fn carry_out<R>(&self, what: &Operation, apply: impl FnOnce(&mut Shelf, u64) -> R) -> R {
        self.world.count_operation();
        let now_ms = self.world.now_ms();
        let answer = apply(&mut self.world.shelf(), now_ms);
        self.world.publish();
        self.world.remark(|| format!("store: {what}, by host {}", self.host));
        self.world.settled.notify_waiters();
        answer
    }

    /// Time passes; for a dead host it never ends.
    async fn pass(&self, time: Duration) {
        if !time.is_zero() {
            sleep(time).await;
        }
        if self.is_cut() {
            std::future::pending::<()>().await;
        }
    }

    async fn time_out<R>(&self, what: &Operation, how: &str) -> Result<R, StoreError> {
        self.world.remark(|| format!("store: {what}, by host {}, {how}", self.host));
        self.pass(BUDGET).await;
        self.reconnect();
        Err(StoreError::Timeout(BUDGET))
    }

    /// Nobody waits for it any more, but it arrives.
    fn arrive_late<R: 'static>(
        &self,
        what: Operation,
        there: Duration,
        apply: impl FnOnce(&mut Shelf, u64) -> R + Send + 'static,
    ) {
        let (world, host) = (Arc::clone(&self.world), self.host);
        tokio::spawn(async move {
            sleep(there).await;
            world.count_operation();
            let now_ms = world.now_ms();
            apply(&mut world.shelf(), now_ms);
            world.publish();
            world.remark(|| format!("store: {what}, by host {host}, arrives late"));
            world.settled.notify_waiters();
        });
    }
}

/// A store without disturbances, for the suite that every store passes. It needs a runtime.
#[must_use]
pub fn calm_store(seed: u64) -> Arc<dyn Store> {
    calm_pair(seed).0
}

/// The same for two hosts.
#[must_use]
pub fn calm_pair(seed: u64) -> (Arc<dyn Store>, Arc<dyn Store>) {
    let chance = Chance::new(seed);
    let climate = Climate {
        hosts: 2,
        lost: 0,
        slow_link: Duration::from_millis(2),
        ..Climate::draw(&chance)
    };
    let world = Arc::new(World::new(climate, chance, None, false));
    (Arc::new(Link::new(&world, 0)), Arc::new(Link::new(&world, 1)))
}
