//! One host's link to the simulated store: messages take time, get lost, arrive late; and the place
//! where a protection of the store is switched off.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use corral_host::store::{
    Claim, Claimed, Envelope, Filled, Indexed, Intent, Key, Mode, Removed, Store, StoreError, Tag,
    Token,
};
use tokio::time::{sleep, timeout};

use super::chance::Chance;
use super::climate::{BUDGET, Climate};
use super::history::Event;
use super::protection::Protection;
use super::shelf::{Member, Shelf};
use super::weather::Way;
use super::world::World;

/// How many members of an index one exchange removes: few, so that a walk has several.
const CHUNK: usize = 1;

/// An hour: what the clock of a host without the store's is wrong by.
const WRONG_MS: u64 = 3_600_000;

/// A host's link. It ends with its host.
pub(super) struct Link {
    world: Arc<World>,
    host: usize,
    dead: AtomicBool,
    /// How far the host's estimate of the store's clock lags behind.
    lag_ms: u64,
    latest_ms: AtomicU64,
    sabotage: Mutex<Sabotage>,
}

/// An operation on its way: its name, and of what.
#[derive(Clone)]
struct Operation {
    verb: &'static str,
    of: Subject,
}

#[derive(Clone)]
enum Subject {
    Key(Key),
    Tag(Tag),
    Store,
}

fn on_store(verb: &'static str) -> Operation {
    Operation { verb, of: Subject::Store }
}

fn on_key(verb: &'static str, key: &Key) -> Operation {
    Operation { verb, of: Subject::Key(key.clone()) }
}

fn on_tag(verb: &'static str, tag: &Tag) -> Operation {
    Operation { verb, of: Subject::Tag(tag.clone()) }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Subject::Key(key) => write!(f, "{} {key}", self.verb),
            Subject::Tag(tag) => write!(f, "{} the tag {tag}", self.verb),
            Subject::Store => f.write_str(self.verb),
        }
    }
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
        Self {
            world: Arc::clone(world),
            host,
            dead: AtomicBool::new(false),
            lag_ms: world.chance.below(4) as u64,
            latest_ms: AtomicU64::new(0),
            sabotage: Mutex::default(),
        }
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
        let slow = u64::try_from(self.world.climate.slow_link.as_millis()).unwrap_or(0);
        self.world.chance.millis(0, slow)
    }

    /// One exchange: the request travels, is carried out in one piece, and the answer travels back.
    async fn exchange<R: Send + 'static>(
        &self,
        what: Operation,
        apply: impl FnOnce(&mut Shelf, u64) -> R + Send + 'static,
    ) -> Result<R, StoreError> {
        let world = &self.world;
        let way = if self.is_cut() { Way::Frozen } else { world.weather().link(self.host) };
        let (mut there, mut back) = (self.leg(), self.leg());
        match way {
            Way::Open => {}
            Way::Refuses => {
                self.pass(there).await;
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
        let answer = self.carry_out(&what, apply);
        self.pass(back).await;
        Ok(answer)
    }

    fn carry_out<R>(&self, what: &Operation, apply: impl FnOnce(&mut Shelf, u64) -> R) -> R {
        self.world.count_operation();
        let now_ms = self.world.now_ms();
        let answer = apply(&mut self.world.shelf(), now_ms);
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
            world.remark(|| format!("store: {what}, by host {host}, arrives late"));
            world.settled.notify_waiters();
        });
    }

    /// Whether the drain of the pending invalidations is to be answered before it is carried out.
    fn answers_too_early(&self, owed: impl FnOnce(&mut Sabotage) -> bool) -> bool {
        self.lacks(Protection::PendingComesFirst) && owed(&mut self.sabotage())
    }

    fn owe(&self, owe: impl FnOnce(&mut Sabotage)) {
        if self.lacks(Protection::PendingComesFirst) {
            owe(&mut self.sabotage());
        }
    }

    async fn remove(&self, keys: Vec<Key>) -> Result<u64, StoreError> {
        let spares_leases = self.lacks(Protection::InvalidationTakesLease);
        let first = keys.first().map_or(Subject::Store, |key| Subject::Key(key.clone()));
        self.exchange(Operation { verb: "invalidate", of: first }, move |shelf, now_ms| {
            let remove = |key: &Key| {
                if spares_leases {
                    shelf.remove_value(key);
                    return false;
                }
                shelf.remove(key, now_ms)
            };
            keys.iter().map(remove).filter(|gone| *gone).count() as u64
        })
        .await
    }

    async fn remove_tagged(&self, tag: &Tag, mark: Duration) -> Result<Removed, StoreError> {
        let (of, mut removed) = (tag.clone(), Removed::default());
        let members =
            self.exchange(on_tag("mark", tag), move |shelf, now_ms| shelf.mark(&of, mark, now_ms));
        for chunk in members.await?.chunks(CHUNK) {
            let keys = chunk.iter().map(|(key, _)| key.clone()).collect();
            removed.keys += self.remove(keys).await?;
            let (of, chunk): (Tag, Vec<Member>) = (tag.clone(), chunk.to_vec());
            self.exchange(on_tag("forget a member of", tag), move |shelf, _| {
                chunk.iter().for_each(|member| shelf.forget(&of, member));
            })
            .await?;
        }
        Ok(removed)
    }

    /// A lease for a refresh that the store never hears of.
    fn grant_unheard(&self, claim: Claim<'_>) -> Option<Claimed> {
        let now_ms = self.world.now_ms();
        let refreshes = claim.mode == Mode::IfFree
            && claim.seen_ms > 0
            && self.world.shelf().get(claim.key, now_ms).is_some();
        if !self.lacks(Protection::RefreshTakesLease) || !refreshes {
            return None;
        }
        self.sabotage().privileged.insert(claim.token);
        Some(Claimed::Granted { now_ms })
    }

    fn note_claimed_in_vain(&self, key: &Key, seen_ms: u64, newer: Option<u64>) {
        if newer.is_some_and(|loaded_ms| loaded_ms > seen_ms) {
            let (host, key) = (self.host, key.to_string());
            self.world.note(Event::ClaimedInVain { host, key });
        }
    }
}

#[async_trait]
impl Store for Link {
    async fn get(&self, key: &Key) -> Result<Option<Envelope>, StoreError> {
        let of = key.clone();
        self.exchange(on_key("get", key), move |shelf, now_ms| shelf.get(&of, now_ms).cloned())
            .await
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, StoreError> {
        if let Some(granted) = self.grant_unheard(claim) {
            return Ok(granted);
        }
        let Claim { key, token, lease, seen_ms, mode } = claim;
        let of = key.clone();
        let blind = self.lacks(Protection::ClaimLooksAgain);
        let claimed = self.exchange(on_key("claim", key), move |shelf, now_ms| {
            let newer = shelf.get(&of, now_ms).map(|value| value.loaded_at_ms);
            let tenant = shelf.has_tenant(&of, now_ms);
            let seen_ms = if blind { u64::MAX } else { seen_ms };
            (shelf.claim(Claim { key: &of, token, lease, seen_ms, mode }, now_ms), newer, tenant)
        });
        let (claimed, newer, tenant) = claimed.await?;
        if matches!(claimed, Claimed::Granted { .. }) {
            match mode {
                Mode::IfFree => {
                    self.note_claimed_in_vain(key, seen_ms, newer);
                    if tenant {
                        let (host, key) = (self.host, key.to_string());
                        self.world.note(Event::LeasedTwice { host, key });
                    }
                }
                Mode::TakeOver if self.lacks(Protection::TakeOverRevokes) => {
                    self.sabotage().privileged.insert(token);
                }
                Mode::TakeOver => {}
            }
        }
        Ok(claimed)
    }

    async fn fill(
        &self,
        key: &Key,
        token: Token,
        envelope: &Envelope,
    ) -> Result<Filled, StoreError> {
        let (of, envelope) = (key.clone(), envelope.clone());
        let unindexed = self.sabotage().unindexed.remove(key).unwrap_or_default();
        let privileged = self.sabotage().privileged.remove(&token);
        let missing = self.world.missing;
        self.exchange(on_key("fill", key), move |shelf, now_ms| {
            for (tag, until_ms) in unindexed {
                shelf.index(&tag, &of, until_ms, now_ms);
            }
            let holder = shelf.holder(&of, now_ms);
            let accepts = match missing {
                Some(Protection::FillNeedsLease) => true,
                Some(Protection::MissingLeaseRejects) => holder.is_none(),
                Some(Protection::FillComparesToken) => holder.is_some(),
                _ => privileged,
            };
            if accepts && holder != Some(token) {
                shelf.put(&of, &envelope);
                return Filled::Stored;
            }
            shelf.fill(&of, token, &envelope, now_ms)
        })
        .await
    }

    async fn renew(&self, key: &Key, token: Token, lease: Duration) -> Result<bool, StoreError> {
        if self.lacks(Protection::RefreshTakesLease) && self.sabotage().privileged.contains(&token)
        {
            return Ok(true);
        }
        let of = key.clone();
        self.exchange(on_key("renew", key), move |shelf, now_ms| {
            shelf.renew(&of, token, lease, now_ms)
        })
        .await
    }

    async fn release(&self, key: &Key, token: Token) -> Result<bool, StoreError> {
        let of = key.clone();
        let anybodys = self.lacks(Protection::ReleaseComparesToken);
        self.exchange(on_key("release", key), move |shelf, now_ms| {
            shelf.release(&of, token, now_ms) || (anybodys && shelf.release_anybodys(&of))
        })
        .await
    }

    async fn invalidate_keys(&self, keys: &[Key]) -> Result<Removed, StoreError> {
        let owed = |sabotage: &mut Sabotage| keys.iter().any(|key| sabotage.owed_keys.remove(key));
        if self.answers_too_early(owed) {
            let keys = keys.to_vec();
            self.arrive_late(
                on_store("invalidate"),
                self.world.chance.millis(100, 500),
                move |shelf, now_ms| {
                    keys.iter().for_each(|key| {
                        shelf.remove(key, now_ms);
                    });
                },
            );
            return Ok(Removed::default());
        }
        match self.remove(keys.to_vec()).await {
            Ok(keys) => Ok(Removed { keys }),
            Err(error) => {
                self.owe(|sabotage| sabotage.owed_keys.extend(keys.iter().cloned()));
                Err(error)
            }
        }
    }

    async fn invalidate_tag(&self, tag: &Tag, mark: Duration) -> Result<Removed, StoreError> {
        if self.answers_too_early(|sabotage| sabotage.owed_tags.remove(tag)) {
            let of = tag.clone();
            self.arrive_late(
                on_tag("invalidate", tag),
                self.world.chance.millis(100, 500),
                move |shelf, now_ms| {
                    for member in shelf.mark(&of, mark, now_ms) {
                        shelf.remove(&member.0, now_ms);
                        shelf.forget(&of, &member);
                    }
                },
            );
            return Ok(Removed::default());
        }
        let removed = self.remove_tagged(tag, mark).await;
        if removed.is_err() {
            self.owe(|sabotage| {
                sabotage.owed_tags.insert(tag.clone());
            });
        }
        removed
    }

    async fn index(&self, tag: &Tag, key: &Key, expires_at_ms: u64) -> Result<Indexed, StoreError> {
        if self.lacks(Protection::IndexBeforeLoad) {
            let mut sabotage = self.sabotage();
            let kept_back = sabotage.unindexed.entry(key.clone()).or_default();
            kept_back.push((tag.clone(), expires_at_ms));
            return Ok(Indexed::Clear);
        }
        let (of, key) = (tag.clone(), key.clone());
        let indexed = self.exchange(on_tag("index under", tag), move |shelf, now_ms| {
            shelf.index(&of, &key, expires_at_ms, now_ms)
        });
        let indexed = indexed.await?;
        Ok(if self.lacks(Protection::MarkLoadsAgain) { Indexed::Clear } else { indexed })
    }

    async fn announce(&self, intent: &Intent, hold: Duration) -> Result<(), StoreError> {
        let intent = intent.clone();
        self.exchange(on_store("announce"), move |shelf, now_ms| {
            shelf.announce(&intent, hold, now_ms);
        })
        .await
    }

    async fn withdraw(&self, intent: &Intent) -> Result<(), StoreError> {
        let intent = intent.clone();
        self.exchange(on_store("withdraw"), move |shelf, _| shelf.withdraw(&intent)).await
    }

    async fn due(&self, hold: Duration) -> Result<Vec<Intent>, StoreError> {
        if self.lacks(Protection::IntentsAreCarriedOut) {
            return Ok(Vec::new());
        }
        self.exchange(on_store("due"), move |shelf, now_ms| shelf.due(hold, now_ms)).await
    }

    async fn settled(&self, key: &Key, at_most: Duration) {
        let deaf = self.world.weather().link(self.host) != Way::Open
            || self.world.chance.below(1000) < self.world.climate.lost as usize;
        let ended = async {
            if deaf {
                return std::future::pending().await;
            }
            loop {
                let changed = self.world.settled.notified();
                let left = self.world.shelf().lease_left(key, self.world.now_ms());
                let Some(left) = left else { return };
                // Changed or over: look again.
                let _ = timeout(left, changed).await;
            }
        };
        // A hint only: told or not, the caller looks again.
        let _ = timeout(at_most, ended).await;
        self.pass(self.leg()).await;
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.exchange(on_store("ping"), |_, _| ()).await
    }

    fn now_ms(&self) -> u64 {
        let now_ms = self.world.now_ms();
        if self.lacks(Protection::StoreClock) {
            // Every other host is an hour ahead.
            return now_ms + (self.host as u64 % 2) * WRONG_MS;
        }
        let estimate_ms = now_ms.saturating_sub(self.lag_ms);
        self.latest_ms.fetch_max(estimate_ms, Ordering::Relaxed).max(estimate_ms)
    }

    fn kind(&self) -> &'static str {
        "simulated"
    }

    fn unreadable(&self) -> u64 {
        0
    }
}

/// A store without disturbances, for the suite that every store passes. It needs a runtime.
#[must_use]
pub fn calm_store(seed: u64) -> Arc<dyn Store> {
    let chance = Chance::new(seed);
    let climate = Climate {
        hosts: 1,
        lost: 0,
        slow_link: Duration::from_millis(2),
        ..Climate::draw(&chance)
    };
    let world = Arc::new(World::new(climate, chance, None, false));
    Arc::new(Link::new(&world, 0))
}
