//! Whether the store is trusted: the breaker, and the invalidations that wait for its return.
//!
//! The two are one state, because of one rule: **a store that has missed an invalidation is not
//! trusted**, even when it answers again. So an invalidation that fails opens the breaker, and the
//! breaker closes only when a probe was answered *and* nothing is pending.
//!
//! One failure is enough to open, unless the store has answered somebody else while the call that
//! failed was waiting: so an outage costs one time budget, once, and a single slow call is none. A
//! false alarm costs little, since the first probe follows after [`PROBE_FIRST`].

mod calls;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::near::Near;
use crate::observe::Metrics;
use crate::store::{Doomed, Listener, Removed, Store, StoreError};

/// The first probe after opening: soon, for the case of a single slow answer.
const PROBE_FIRST: Duration = Duration::from_millis(25);

/// Probes back off to this: an operator who brings the store back sees it used half a second later.
const PROBE_LAST: Duration = Duration::from_millis(500);

/// Pending invalidations that are kept, about 100 bytes each. Beyond it a write is refused before
/// it runs: what can't be remembered must not be promised.
const PENDING_LIMIT: usize = 1_000_000;

/// How far an invalidation got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalidated {
    /// Carried out; so many keys had something to remove.
    Done(u64),
    /// The store can't be reached: kept, and carried out before the store is trusted again.
    Pending,
}

/// For readiness and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breaker {
    /// The store is used.
    Closed,
    /// A probe is under way.
    HalfOpen,
    /// The store is not used.
    Open,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    pending: VecDeque<Doomed>,
}

/// The store as the cache uses it: while it is not trusted, every call fails at once.
pub struct TrustedStore {
    store: Arc<dyn Store>,
    /// `State::breaker == Closed`, readable without the lock.
    trusted: AtomicBool,
    /// How often the store has answered.
    answers: AtomicU64,
    state: Mutex<State>,
    opened: Notify,
    /// How long a tag's mark lives: longer than any load.
    mark: Duration,
    near: Arc<Near>,
    metrics: Arc<Metrics>,
    unfinished: Unfinished,
}

/// Work on the store that an orderly end waits for: it lasts as long as a clone of this does.
#[derive(Debug, Clone, Default)]
pub(super) struct Unfinished(Arc<()>);

impl TrustedStore {
    /// Wraps `store`, of which `near` keeps answers. Someone has to run [`TrustedStore::probe`].
    pub(super) fn new(
        store: Arc<dyn Store>,
        near: Arc<Near>,
        mark: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        store.listen(Arc::downgrade(&near) as Weak<dyn Listener>);
        Self {
            store,
            trusted: AtomicBool::new(true),
            answers: AtomicU64::new(0),
            state: Mutex::new(State { breaker: Breaker::Closed, pending: VecDeque::new() }),
            opened: Notify::new(),
            mark,
            near,
            metrics,
            unfinished: Unfinished::default(),
        }
    }

    /// Begins work that an orderly end waits for.
    pub(super) fn begin(&self) -> Unfinished {
        self.unfinished.clone()
    }

    /// How much of it there is.
    pub(super) fn unfinished(&self) -> usize {
        Arc::strong_count(&self.unfinished.0) - 1
    }

    /// The breaker, and how many invalidations are pending.
    pub fn state(&self) -> (Breaker, usize) {
        let state = self.lock();
        (state.breaker, state.pending.len())
    }

    /// Whether one more write may be promised its invalidation.
    pub fn has_room(&self) -> bool {
        self.trusted.load(Ordering::Acquire) || self.lock().pending.len() < PENDING_LIMIT
    }

    /// Invalidates, or keeps what could not be invalidated. Never fails and never forgets; call it
    /// from a task that its caller can't cancel.
    pub async fn invalidate(&self, doomed: Vec<Doomed>) -> Invalidated {
        let mut removed = 0;
        let mut left = VecDeque::from(doomed);
        while let Some(next) = left.front() {
            if !self.trusted.load(Ordering::Acquire) {
                break;
            }
            match self.doom(next).await {
                Ok(Removed { keys }) => {
                    removed += keys;
                    left.pop_front();
                }
                Err(error) => {
                    self.open(&error);
                    break;
                }
            }
        }
        if left.is_empty() { Invalidated::Done(removed) } else { self.postpone(left) }
    }

    /// Closes the breaker when the store is back; runs for as long as the host does.
    pub async fn probe(&self) {
        loop {
            self.opened.notified().await;
            let mut pause = PROBE_FIRST;
            while !self.trusted.load(Ordering::Acquire) {
                sleep(pause).await;
                pause = (pause * 2).min(PROBE_LAST);
                self.enter(Breaker::HalfOpen);
                if let Err(error) = self.try_close().await {
                    tracing::debug!(%error, "the store does not answer yet");
                    self.enter(Breaker::Open);
                }
            }
        }
    }

    async fn try_close(&self) -> Result<(), StoreError> {
        self.store.ping().await?;
        loop {
            let next = {
                let mut state = self.lock();
                let Some(next) = state.pending.front().cloned() else {
                    // ## HalfOpen => Closed, under the lock that `postpone` takes
                    self.set(&mut state, Breaker::Closed);
                    tracing::info!("the store is trusted again");
                    return Ok(());
                };
                next
            };
            self.doom(&next).await?;
            let mut state = self.lock();
            state.pending.pop_front();
            self.count_pending(&state);
        }
    }

    async fn doom(&self, doomed: &Doomed) -> Result<Removed, StoreError> {
        let (kind, result) = match doomed {
            Doomed::Key(key) => {
                ("key", self.store.invalidate_keys(std::slice::from_ref(key)).await)
            }
            Doomed::Tag(tag) => ("tag", self.store.invalidate_tag(tag, self.mark).await),
        };
        let label = if result.is_ok() { "done" } else { "failed" };
        self.metrics.invalidations(kind, label, 1);
        result
    }

    fn postpone(&self, left: VecDeque<Doomed>) -> Invalidated {
        let mut state = self.lock();
        for doomed in left {
            let kind = match &doomed {
                Doomed::Key(_) => "key",
                Doomed::Tag(_) => "tag",
            };
            self.metrics.invalidations(kind, "pending", 1);
            state.pending.push_back(doomed);
        }
        self.count_pending(&state);
        // The probe may have closed the breaker since the failure: the store is behind again.
        if state.breaker == Breaker::Closed {
            self.set(&mut state, Breaker::Open);
        }
        Invalidated::Pending
    }

    /// Runs a call and opens the breaker when the store did not answer it.
    async fn watched<'a, T, F>(
        &'a self,
        call: impl FnOnce(&'a dyn Store) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        if !self.trusted.load(Ordering::Acquire) {
            return Err(StoreError::Distrusted);
        }
        let before = self.answers.load(Ordering::Relaxed);
        let result = call(&*self.store).await;
        match &result {
            Ok(_) | Err(StoreError::Refused(_)) => {
                self.answers.fetch_add(1, Ordering::Relaxed);
            }
            // The store has answered somebody meanwhile: one slow call is no outage.
            Err(StoreError::Timeout(_)) if self.answers.load(Ordering::Relaxed) != before => {}
            Err(error @ (StoreError::Unavailable(_) | StoreError::Timeout(_))) => self.open(error),
            Err(StoreError::Distrusted) => {}
        }
        result
    }

    fn open(&self, error: &StoreError) {
        let mut state = self.lock();
        if state.breaker == Breaker::Closed {
            tracing::warn!(%error, "the store is not trusted; reads go to the origin");
            self.set(&mut state, Breaker::Open);
        }
    }

    /// ## Open => HalfOpen, HalfOpen => Open
    fn enter(&self, breaker: Breaker) {
        let mut state = self.lock();
        if state.breaker != Breaker::Closed {
            self.set(&mut state, breaker);
        }
    }

    fn set(&self, state: &mut State, breaker: Breaker) {
        state.breaker = breaker;
        self.trusted.store(breaker == Breaker::Closed, Ordering::Release);
        self.metrics.breaker_state.set(match breaker {
            Breaker::Closed => 0.0,
            Breaker::HalfOpen => 1.0,
            Breaker::Open => 2.0,
        });
        if breaker != Breaker::Closed {
            // What a pending invalidation is to remove shall not be found here either.
            self.near.all_changed();
            self.opened.notify_one();
        }
    }

    fn count_pending(&self, state: &State) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is an f64; the limit is a million"
        )]
        self.metrics.pending_invalidations.set(state.pending.len() as f64);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
