//! Whether a node of the store may be believed: breaker, beat and fence.
//!
//! ```text
//! Distrusted ──good beat, debts paid──► Fenced (a new epoch that somebody else may still serve)
//!      ▲                │                  │ the fence is over
//!      │                └──no fence──► Trusted ──good beats: for one second from each──┐
//!      └── a failure, a bad beat, a debt, a second without a good beat ◄───────────────┘
//! ```
//!
//! An answer counts if it came over the trusted link before trust ran out, by a clock that counts
//! suspension: a host that was frozen believes nothing that it asked before. One failure ends trust, unless
//! the store has answered somebody else while the call that failed was waiting: so an outage costs one
//! time budget, once, and a single slow call is none.

mod beat;
mod granted;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, SetOnce};
use tokio::time::sleep;

use super::Clock;
use super::near::Near;
use crate::observe::Metrics;
use crate::store::{Epoch, LinkId, Over, Replicas, Store, StoreError};
pub(super) use beat::GoodBeat;
pub(super) use granted::Grant;
use granted::Granted;

/// How often a node that is trusted is asked for a beat.
const BEAT: Duration = Duration::from_millis(250);

/// The first beat after trust was lost: soon, for the case of a single slow answer.
const PROBE_FIRST: Duration = Duration::from_millis(25);

/// How long a good beat is worth something, from when it was sent.
const TRUST: Duration = Duration::from_secs(1);

/// How long a node with replicas is watched under a new epoch before it is used. Another host may believe
/// the node before it for as long as trust lasts (1 s), a confirmation counts (1 s more), and a replica may
/// be silent before it is missed (3 s), less the beat that begins it.
const FENCE: Duration = Duration::from_secs(4);

/// For readiness and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breaker {
    /// The store is used.
    Closed,
    /// It answers and is not used yet: debts are paid, or a new epoch is watched.
    HalfOpen,
    /// The store is not used.
    Open,
}

/// What is known of the node.
#[derive(Debug)]
struct State {
    breaker: Breaker,
    /// Of the last link that a beat was answered over.
    link: LinkId,
    /// The epoch that is used or watched, and until when it is watched.
    watched: Option<(Epoch, Duration)>,
    /// Where a connection led that was opened anew, and when it was asked for.
    confirmed: Option<(Option<Epoch>, Duration)>,
    /// Why the node is not trusted.
    why: Option<String>,
    /// What was said of it in the log since it was trusted last.
    said: BTreeSet<String>,
    pause: Duration,
}

/// One node of the store, as far as it is trusted.
pub struct Trust {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    near: Arc<Near>,
    metrics: Arc<Metrics>,
    granted: Granted,
    /// The breaker is closed. No ground for belief: it spares calls whose answers could not count.
    closed: AtomicBool,
    /// How often the store has answered.
    answers: AtomicU64,
    /// It let a whole time budget pass, and has answered no beat since.
    silent: AtomicBool,
    state: Mutex<State>,
    lost: Notify,
    /// The first beat was judged.
    judged: SetOnce<()>,
}

impl Trust {
    /// Trusts nothing yet.
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        near: Arc<Near>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let state = State {
            breaker: Breaker::Open,
            link: LinkId(0),
            watched: None,
            confirmed: None,
            why: None,
            said: BTreeSet::new(),
            pause: Duration::ZERO,
        };
        Self {
            store,
            clock,
            near,
            metrics,
            granted: Granted::default(),
            closed: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            silent: AtomicBool::new(false),
            state: Mutex::new(state),
            lost: Notify::new(),
            judged: SetOnce::new(),
        }
    }

    /// The store, for what needs no trust.
    pub(super) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// `memory` or `redis`, for people.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.store.kind()
    }

    /// [`Store::unreadable`]
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.store.unreadable()
    }

    /// The breaker, and why the node is not trusted.
    #[must_use]
    pub fn state(&self) -> (Breaker, Option<String>) {
        let state = self.lock();
        (state.breaker, state.why.clone())
    }

    /// Returns once the first beat was judged: until then nothing is trusted for want of a question.
    pub async fn judged(&self) {
        self.judged.wait().await;
    }

    /// What is trusted at this moment.
    pub(super) fn grant(&self) -> Option<Grant> {
        self.granted.get(self.clock.now())
    }

    /// Whether what came over this link counts at this moment, as an answer of the node in this epoch.
    pub(super) fn counts(&self, link: LinkId, epoch: Epoch) -> bool {
        self.grant().is_some_and(|grant| grant.link == link && grant.epoch == epoch)
    }

    /// Whether anything is trusted at this moment.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.granted.holds(self.clock.now())
    }

    /// Runs a call; its answer counts only if it came over the trusted link while trust lasts. Every hit
    /// passes here, so it does without [`Trust::watch`]: a future less to move.
    pub(super) async fn ask<'a, T, F>(
        &'a self,
        call: impl FnOnce(&'a dyn Store) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<Over<T>, StoreError>>,
    {
        let before = self.begin_call()?;
        let asked = call(&*self.store).await;
        self.end_call(before, &asked);
        let Over { link, answer } = asked?;
        let counts = self.granted.counts(link, self.clock.now());
        if counts { Ok(answer) } else { Err(StoreError::Distrusted) }
    }

    /// The same, with the grant by which the answer counts.
    pub(super) async fn ask_under<'a, T, F>(
        &'a self,
        call: impl FnOnce(&'a dyn Store) -> F,
    ) -> Result<(T, Grant), StoreError>
    where
        F: Future<Output = Result<Over<T>, StoreError>>,
    {
        let Over { link, answer } = self.watch(call).await?;
        match self.grant() {
            Some(grant) if grant.link == link => Ok((answer, grant)),
            Some(_) | None => Err(StoreError::Distrusted),
        }
    }

    /// Runs a call whose answer is no ground for belief. Fails at once while nothing is trusted.
    pub(super) async fn watch<'a, T, F>(
        &'a self,
        call: impl FnOnce(&'a dyn Store) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let before = self.begin_call()?;
        let asked = call(&*self.store).await;
        self.end_call(before, &asked);
        asked
    }

    /// Runs a call that others need, whatever this host believes: nothing of a node that fails at once costs
    /// more than a message, and a connection that broke has a successor, so it is tried twice. A node that is
    /// silent is not asked before it answers a beat.
    pub(super) async fn tell<'a, T, F>(
        &'a self,
        call: impl Fn(&'a dyn Store) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        if self.silent.load(Ordering::Relaxed) {
            return Err(StoreError::Distrusted);
        }
        let tell = async || {
            let before = self.answers.load(Ordering::Relaxed);
            let told = call(&*self.store).await;
            self.end_call(before, &told);
            told
        };
        match tell().await {
            Err(StoreError::Unavailable(_)) => tell().await,
            told => told,
        }
    }

    /// Where nothing is trusted, nothing is asked: an outage costs no more than its first time budgets.
    fn begin_call(&self) -> Result<u64, StoreError> {
        if !self.closed.load(Ordering::Relaxed) {
            return Err(StoreError::Distrusted);
        }
        Ok(self.answers.load(Ordering::Relaxed))
    }

    /// `before`: how often the store had answered when the call began.
    fn end_call<T>(&self, before: u64, asked: &Result<T, StoreError>) {
        match asked {
            Ok(_) | Err(StoreError::Refused(_)) => {
                self.answers.fetch_add(1, Ordering::Relaxed);
            }
            // The store has answered somebody meanwhile: one slow call is no outage.
            Err(StoreError::Timeout(_)) if self.answers.load(Ordering::Relaxed) != before => {}
            Err(error @ (StoreError::Unavailable(_) | StoreError::Timeout(_))) => {
                self.note_silence(error);
                self.distrust(&error.to_string());
            }
            Err(StoreError::Distrusted) => {}
        }
    }

    fn note_silence(&self, error: &StoreError) {
        if matches!(error, StoreError::Timeout(_)) {
            self.silent.store(true, Ordering::Relaxed);
        }
    }

    /// ## Trusted, Fenced => Distrusted
    pub(super) fn distrust(&self, why: &str) {
        let mut state = self.lock();
        if state.breaker == Breaker::Closed {
            state.pause = PROBE_FIRST;
        }
        // Each reason once: an outage has few, and some say what an operator has to do.
        if state.said.insert(why.to_owned()) {
            tracing::warn!(why, "the store is not trusted; reads go to the origin");
        }
        state.why = Some(why.to_owned());
        self.enter(&mut state, Breaker::Open);
        // Before the lock is left: nobody is told what he may not believe any more.
        self.granted.set(None);
        self.near.forget_all();
        self.lost.notify_one();
    }

    /// The next beat is due now.
    pub(super) fn hurry(&self) {
        self.lost.notify_one();
    }

    /// Returns when the next beat is due.
    pub(super) async fn due(&self) {
        let (trusted, link, pause) = {
            let mut state = self.lock();
            let pause = if state.breaker == Breaker::Closed { BEAT } else { state.pause };
            state.pause = (state.pause * 2).clamp(PROBE_FIRST, BEAT);
            (state.breaker == Breaker::Closed, state.link, pause)
        };
        tokio::select! {
            biased;
            () = self.lost.notified(), if trusted => {}
            () = self.store.relinked(link) => {}
            () = sleep(pause) => {}
        }
    }

    /// Whether an epoch is used or watched already; if not, it is watched from now on.
    /// `is_known`: somebody else has watched it for as long as the fence lasts.
    pub(super) fn watch_epoch(&self, good: &GoodBeat, is_known: bool) -> Watching {
        let mut state = self.lock();
        let now = self.clock.now();
        let fence = match good.beat.replicas {
            _ if is_known => Duration::ZERO,
            Replicas::None => Duration::ZERO,
            Replicas::Answering | Replicas::Silent => FENCE,
        };
        let until = match state.watched {
            Some((epoch, until)) if epoch == good.epoch => until.min(now + fence),
            Some(_) | None => {
                if !fence.is_zero() {
                    tracing::info!(
                        fence = ?fence,
                        "the store's node is new: it is watched before it is used"
                    );
                }
                now + fence
            }
        };
        state.watched = Some((good.epoch, until));
        if until <= now {
            return Watching::Over;
        }
        state.why = Some("the store's node is new and is watched before it is used".to_owned());
        self.enter(&mut state, Breaker::HalfOpen);
        Watching::UntilLater
    }

    /// ## Distrusted, Fenced, Trusted => Trusted
    ///
    /// To be called while nothing new can be owed.
    pub(super) fn trust(&self, good: &GoodBeat) {
        let mut state = self.lock();
        let until = good.until();
        if state.breaker != Breaker::Closed {
            tracing::info!("the store is trusted");
            state.said.clear();
        }
        (state.why, state.pause) = (None, PROBE_FIRST);
        self.enter(&mut state, Breaker::Closed);
        let GoodBeat { link, epoch, ref beat, .. } = *good;
        self.granted.set(Some(Grant { link, epoch, beat_ms: beat.now_ms, until }));
    }

    fn enter(&self, state: &mut State, breaker: Breaker) {
        state.breaker = breaker;
        self.closed.store(breaker == Breaker::Closed, Ordering::Relaxed);
        // Later beats are judged too.
        let _was_judged = self.judged.set(()).is_err();
        self.metrics.breaker_state.set(match breaker {
            Breaker::Closed => 0,
            Breaker::HalfOpen => 1,
            Breaker::Open => 2,
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a new epoch is watched still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watching {
    /// It may be used.
    Over,
    /// Not yet.
    UntilLater,
}

#[cfg(test)]
mod tests;
