//! The limit of concurrent loads, and the order of those that wait. An outage of the store must not become
//! one of the origin, and one entity's slow loads must not hold up those of others.
//!
//! Entities share the places: an entity may begin another load only while more places are free than it has.
//! So one entity alone has half of the places, two have a third each, and a place is left for the next. Each
//! entity has a queue of its own, which knows how long its loads usually take: a load that would get its turn
//! too late is refused at once, instead of waiting in vain and making others wait.
//!
//! A load that has outlasted its readers goes on for the next ones only in a quarter of the places: loads
//! over connections that died silently must not take every place for so long.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::load::{LoadError, Loaded, Loader};
use crate::origin::{Fetched, OriginError, Value};

/// The limit of concurrent loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadLimit {
    /// The largest number of loads that run at once.
    pub at_once: usize,
    /// Whether more than one entity loads, so that each has a share.
    pub is_shared: bool,
}

/// One place in so many, rounded up, is for a load that may outlast its readers.
const LASTING_PART: u32 = 4;

/// The newest load counts for one part in so many of the average.
const NEWEST: u32 = 8;

/// The places for loads, and the loads that wait for one.
#[derive(Debug)]
pub(super) struct Loads {
    is_shared: AtomicBool,
    state: Mutex<LoadsState>,
}

#[derive(Debug)]
struct LoadsState {
    free: u32,
    /// How many further loads may be allowed to outlast their readers.
    lasting: u32,
    entities: BTreeMap<Arc<str>, EntityShare>,
    /// How many loads have queued so far; a load's number is its place in the order of arrival.
    queued: u64,
}

/// What one entity has.
#[derive(Debug, Default)]
struct EntityShare {
    running: u32,
    queue: VecDeque<Queued>,
    /// How long a load takes: a moving average.
    usual: Duration,
}

#[derive(Debug)]
struct Queued {
    number: u64,
    turn: oneshot::Sender<LoadPlace>,
}

/// A place for a load, given up on drop.
#[derive(Debug)]
struct LoadPlace {
    loads: Arc<Loads>,
    entity: Arc<str>,
    may_last: bool,
    is_over: bool,
}

/// A load that waits for its turn.
pub(super) struct WaitingLoad<'a> {
    pub(super) entity: &'a str,
    pub(super) loader: &'a dyn Loader,
    pub(super) values: &'a [Value],
    pub(super) columns: &'a [String],
    /// By when the load's readers need its value.
    pub(super) limit: Limit,
    /// By when the load ends if it may outlast its readers.
    pub(super) last: Option<Limit>,
}

/// By when a load ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// The deadline that the loader is given.
    pub(super) deadline: Instant,
    /// When a loader that does not keep the deadline is dropped.
    pub(super) end: Instant,
}

/// An observer of a load's progress.
pub(super) trait LoadObserver {
    /// The load's turn has come.
    fn begun(&mut self);
    /// The load goes on past its readers' limit.
    fn overdue(&mut self);
}

impl Loads {
    pub(super) fn new(limit: LoadLimit) -> Arc<Self> {
        let free = u32::try_from(limit.at_once).unwrap_or(u32::MAX).max(1);
        let lasting = free.div_ceil(LASTING_PART);
        let state = LoadsState { free, lasting, entities: BTreeMap::new(), queued: 0 };
        Arc::new(Self { is_shared: AtomicBool::new(limit.is_shared), state: Mutex::new(state) })
    }

    /// Whether each entity has a share from now on, or one alone has every place.
    pub(super) fn share(&self, is_shared: bool) {
        self.is_shared.store(is_shared, Ordering::Relaxed);
    }

    /// Waits for its turn and loads.
    pub(super) async fn run(
        self: &Arc<Self>,
        load: WaitingLoad<'_>,
        progress: &mut impl LoadObserver,
    ) -> Result<Loaded, LoadError> {
        let WaitingLoad { entity, loader, values, columns, limit, last } = load;
        let turn = self.turn(entity, limit.deadline).await?;
        progress.begun();
        let began = Instant::now();
        let last = last.filter(|_| turn.may_last);
        let left = last.unwrap_or(limit).deadline.saturating_duration_since(began);
        let loaded = {
            let mut loading = pin!(loader.load(values, columns, left));
            let in_time = timeout_at(limit.end, &mut loading).await;
            match (in_time, last) {
                (Err(_), Some(last)) => {
                    progress.overdue();
                    timeout_at(last.end, loading).await
                }
                (in_time, _) => in_time,
            }
        };
        let cost = began.elapsed();
        self.learn(&turn.entity, cost);
        let Fetched { body, rows, missing } = loaded.unwrap_or(Err(OriginError::Timeout(left)))?;
        Ok(Loaded { body, rows: missing.into_iter().next().map_or(Ok(rows), Err), cost })
    }

    async fn turn(self: &Arc<Self>, entity: &str, by: Instant) -> Result<LoadPlace, LoadError> {
        let comes = {
            let mut state = self.lock();
            let entity = state.known(entity);
            let free = state.free;
            let share = state.share(&entity);
            share.queue.retain(|queued| !queued.turn.is_closed());
            if share.queue.is_empty() && self.may_run(share.running, free) {
                return Ok(self.begin(&mut state, entity));
            }
            if Instant::now() + share.wait_of_the_next() > by {
                return Err(LoadError::Overloaded);
            }
            state.enqueue(&entity)
        };
        timeout_at(by, comes).await.ok().and_then(Result::ok).ok_or(LoadError::Overloaded)
    }

    /// Whether an entity with so many loads may begin another one while so many places are free.
    fn may_run(&self, running: u32, free: u32) -> bool {
        free > 0 && (!self.is_shared.load(Ordering::Relaxed) || running < free)
    }

    fn begin(self: &Arc<Self>, state: &mut LoadsState, entity: Arc<str>) -> LoadPlace {
        let may_last = state.lasting > 0;
        state.lasting -= u32::from(may_last);
        state.free -= 1;
        state.share(&entity).running += 1;
        LoadPlace { loads: Arc::clone(self), entity, may_last, is_over: false }
    }

    /// A load has ended: the waiting loads that may run now begin, those of the entity with the fewest
    /// running loads first.
    fn end(self: &Arc<Self>, turn: &LoadPlace) {
        let mut state = self.lock();
        state.give_back(turn);
        while let Some((entity, queued)) = self.next(&mut state) {
            let turn = self.begin(&mut state, entity);
            if let Err(mut turn) = queued.turn.send(turn) {
                // The reader that waited for this place has gone.
                turn.is_over = true;
                state.give_back(&turn);
            }
        }
    }

    fn next(&self, state: &mut LoadsState) -> Option<(Arc<str>, Queued)> {
        let free = state.free;
        let may = |share: &EntityShare| self.may_run(share.running, free);
        let waiting = state.entities.iter().filter(|(_, share)| may(share));
        let first = waiting.filter_map(|(entity, share)| {
            let number = share.queue.front()?.number;
            Some(((share.running, number), Arc::clone(entity)))
        });
        let (_, entity) = first.min_by_key(|(order, _)| *order)?;
        let queued = state.share(&entity).queue.pop_front()?;
        Some((entity, queued))
    }

    fn learn(&self, entity: &Arc<str>, cost: Duration) {
        let mut state = self.lock();
        let usual = &mut state.share(entity).usual;
        *usual = if usual.is_zero() { cost } else { *usual - *usual / NEWEST + cost / NEWEST };
    }

    fn lock(&self) -> MutexGuard<'_, LoadsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoadsState {
    /// The entity's name as `entities` holds it, to share its memory.
    fn known(&self, entity: &str) -> Arc<str> {
        self.entities.get_key_value(entity).map_or_else(|| entity.into(), |(name, _)| name.clone())
    }

    fn share(&mut self, entity: &Arc<str>) -> &mut EntityShare {
        self.entities.entry(Arc::clone(entity)).or_default()
    }

    fn give_back(&mut self, turn: &LoadPlace) {
        self.free += 1;
        self.lasting += u32::from(turn.may_last);
        self.share(&turn.entity).running -= 1;
    }

    fn enqueue(&mut self, entity: &Arc<str>) -> oneshot::Receiver<LoadPlace> {
        let (turn, comes) = oneshot::channel();
        self.queued += 1;
        let number = self.queued;
        self.share(entity).queue.push_back(Queued { number, turn });
        comes
    }
}

impl EntityShare {
    /// How long the next load would wait for its turn, if the running loads end evenly spread over the usual
    /// time.
    fn wait_of_the_next(&self) -> Duration {
        let place = u32::try_from(self.queue.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.usual.saturating_mul(place) / self.running.max(1)
    }
}

impl Drop for LoadPlace {
    fn drop(&mut self) {
        if !self.is_over {
            self.loads.end(self);
        }
    }
}

#[cfg(test)]
mod tests;
