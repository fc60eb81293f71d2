//! Trust: whether a node of the store may be believed, decided by breaker, beat and fence.
//!
//! ```text
//! Distrusted ──good beat, debts paid──► Fenced (another host may still trust the node before this one)
//!      ▲                │                  │ the fence is over
//!      │                └──no fence──► Trusted ──good beats: for one second from each──┐
//!      └── a failure, a bad beat, a debt, a second without a good beat ◄───────────────┘
//! ```
//!
//! An answer counts if it came over the trusted link before trust ran out, by a clock that counts suspension:
//! a host that was frozen believes no answer to what it asked before. One failure ends trust, unless the
//! store has answered another call while the failed one was waiting: so an outage costs one time budget,
//! once, and a single slow call is not taken for an outage.

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
use crate::store::{Confirmation, Epoch, LinkId, Over, Replicas, Store, StoreError};
pub(super) use beat::GoodBeat;
pub(super) use granted::Grant;
use granted::Granted;

/// How often a trusted node is asked for a beat.
const BEAT: Duration = Duration::from_millis(250);

/// The pause before the first beat after trust was lost: short, in case only one answer was slow.
const PROBE_FIRST: Duration = Duration::from_millis(25);

/// How long a good beat gives trust, from when it was sent.
const TRUST: Duration = Duration::from_secs(1);

/// How long a node with replicas is watched under a new epoch before it is used. Until then another host may
/// still trust the node before it: a replica that was promoted may be silent for 3 s before it is missed, and
/// trust lasts 1 s from the last good beat. (An address that was moved is noticed sooner: a confirmation
/// counts for 1 s.)
const FENCE: Duration = Duration::from_secs(4);

/// The same for a node whose place others judge: another host's confirmation of the node before it counts for
/// 1 s, and trust lasts 1 s from the last good beat.
pub(super) const SUPERVISED_FENCE: Duration = Duration::from_secs(2);

/// The state of a node's breaker, for readiness and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breaker {
    /// The store is used.
    Closed,
    /// The store answers and is not used yet, because a new epoch is watched.
    HalfOpen,
    /// The store is not used.
    Open,
}

/// What is known of the node.
#[derive(Debug)]
struct TrustState {
    breaker: Breaker,
    /// The link over which the last beat was answered.
    link: LinkId,
    /// The epoch that is used or watched, and when its fence is over.
    watched: Option<(Epoch, Duration)>,
    /// The last word that the node has its place, and when it was asked for.
    confirmed: Option<(Confirmation, Duration)>,
    /// The link over which debts can be paid, under which epoch, and until when.
    payable: Option<(LinkId, Epoch, Duration)>,
    /// Why the node is not trusted.
    why: Option<String>,
    /// The reasons that were logged since the node was trusted last.
    said: BTreeSet<String>,
    pause: Duration,
}

/// One node of the store, as far as it is trusted.
pub(super) struct Trust {
    store: Arc<dyn Store>,
    node: Option<Arc<str>>,
    clock: Arc<dyn Clock>,
    near: Arc<Near>,
    granted: Granted,
    /// Whether the breaker is closed. This gives no trust: it only spares calls that could not count.
    closed: AtomicBool,
    /// How often the store has answered.
    answers: AtomicU64,
    /// Whether the store let a whole time budget pass and has answered no beat since.
    silent: AtomicBool,
    state: Mutex<TrustState>,
    lost: Notify,
    /// Set once the first beat was judged.
    judged: SetOnce<()>,
}

impl Trust {
    /// A node that is not yet trusted.
    pub(super) fn new(
        store: Arc<dyn Store>,
        node: Option<Arc<str>>,
        clock: Arc<dyn Clock>,
        near: Arc<Near>,
    ) -> Self {
        let state = TrustState {
            breaker: Breaker::Open,
            link: LinkId(0),
            watched: None,
            confirmed: None,
            payable: None,
            why: None,
            said: BTreeSet::new(),
            pause: Duration::ZERO,
        };
        Self {
            store,
            node,
            clock,
            near,
            granted: Granted::default(),
            closed: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            silent: AtomicBool::new(false),
            state: Mutex::new(state),
            lost: Notify::new(),
            judged: SetOnce::new(),
        }
    }

    /// What the log calls the node; `None` where it is the only one.
    fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// The store, for calls that need no trust.
    pub(super) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The breaker, and why the node is not trusted.
    pub(super) fn state(&self) -> (Breaker, Option<String>) {
        let state = self.lock();
        (state.breaker, state.why.clone())
    }

    /// Returns once the first beat was judged: until then nothing is trusted, because nothing was asked.
    pub(super) async fn judged(&self) {
        self.judged.wait().await;
    }

    /// What is trusted at this moment; `None` if nothing is.
    pub(super) fn grant(&self) -> Option<Grant> {
        self.granted.get(self.clock.now())
    }

    /// The epoch under which an answer over this link counts at this moment.
    pub(super) fn counts(&self, link: LinkId) -> Option<Epoch> {
        self.granted.counts(link, self.clock.now())
    }

    /// Whether anything is trusted at this moment.
    pub(super) fn holds(&self) -> bool {
        self.granted.holds(self.clock.now())
    }

    /// Runs a call; its answer counts only if it came over the trusted link while trust lasts, and under the
    /// epoch that is returned with it. Repeats the body of [`Trust::watch`] instead of calling it: every hit
    /// passes here, and one future less is moved.
    pub(super) async fn ask<'a, T, F>(
        &'a self,
        call: impl FnOnce(&'a dyn Store) -> F,
    ) -> Result<(T, Epoch), StoreError>
    where
        F: Future<Output = Result<Over<T>, StoreError>>,
    {
        let before = self.begin_call()?;
        let asked = call(&*self.store).await;
        self.end_call(before, &asked);
        let Over { link, answer } = asked?;
        Ok((answer, self.counts(link).ok_or(StoreError::Distrusted)?))
    }

    /// Runs a call and takes its answer without trust. Fails at once while nothing is trusted.
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

    /// Runs a call that other hosts need, even if this host does not trust the node: a node that fails at
    /// once costs no more than a message. The call is tried twice, since a connection that broke has a
    /// successor. A node that is silent is not asked before it has answered a beat.
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

    /// Refuses a call while nothing is trusted: an outage costs no more than its first time budgets.
    fn begin_call(&self) -> Result<u64, StoreError> {
        if !self.closed.load(Ordering::Relaxed) {
            return Err(StoreError::Distrusted);
        }
        Ok(self.answers.load(Ordering::Relaxed))
    }

    /// Judges how a call ended; `before` is how often the store had answered when the call began.
    fn end_call<T>(&self, before: u64, asked: &Result<T, StoreError>) {
        match asked {
            Ok(_) | Err(StoreError::Refused(_) | StoreError::Moved) => {
                self.answers.fetch_add(1, Ordering::Relaxed);
            }
            // The store has answered another call meanwhile: one slow call is no outage.
            Err(StoreError::Timeout(_)) if self.answers.load(Ordering::Relaxed) != before => {}
            Err(
                error @ (StoreError::Unavailable(_)
                | StoreError::Timeout(_)
                | StoreError::Unusable(_)),
            ) => {
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

    /// The node may be paid from now on, until this beat's trust would end: nothing but debts keeps it from
    /// being trusted.
    pub(super) fn probe(&self, good: &GoodBeat) {
        self.lock().payable = Some((good.link, good.epoch, good.until()));
    }

    /// Whether a payment that was answered over this link counts.
    pub(super) fn counts_as_paid(&self, link: LinkId) -> bool {
        let payable = self.lock().payable;
        payable.is_some_and(|(over, _, until)| over == link && self.clock.now() < until)
    }

    /// The epoch of the node if it may be paid at this moment.
    pub(super) fn payable(&self) -> Option<Epoch> {
        let (_, epoch, until) = self.lock().payable?;
        (self.clock.now() < until).then_some(epoch)
    }

    /// ## Trusted, Fenced => Distrusted
    pub(super) fn distrust(&self, why: &str) {
        let mut state = self.lock();
        if state.breaker == Breaker::Closed {
            state.pause = PROBE_FIRST;
        }
        // Each reason is logged once: an outage has few, and some say what the operator has to do.
        if state.said.insert(why.to_owned()) {
            let node = self.node();
            tracing::warn!(node, why, "the store is not trusted; reads go to the origin");
        }
        state.why = Some(why.to_owned());
        state.payable = None;
        self.enter(&mut state, Breaker::Open);
        // Before the lock is released, so that no task sees the new state and still holds the old trust.
        if self.granted.set(None) {
            self.near.forget_all();
        }
        self.lost.notify_one();
    }

    /// Makes the next beat due now.
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

    /// Whether an epoch may be used; a new one is watched from now on. `is_known` says that another host has
    /// watched it for as long as the fence lasts.
    pub(super) fn watch_epoch(&self, good: &GoodBeat, is_known: bool) -> EpochWatch {
        let mut state = self.lock();
        let now = self.clock.now();
        let fence = match good.beat.replicas {
            _ if is_known => Duration::ZERO,
            Replicas::None => Duration::ZERO,
            Replicas::Answering | Replicas::Silent => FENCE,
            Replicas::Supervised => SUPERVISED_FENCE,
        };
        let until = match state.watched {
            Some((epoch, until)) if epoch == good.epoch => until.min(now + fence),
            Some(_) | None => {
                // What was kept under the epoch before is not in force any more.
                self.near.forget_all();
                if !fence.is_zero() {
                    tracing::info!(
                        node = self.node(),
                        fence = ?fence,
                        "the store's node is new: it is watched before it is used"
                    );
                }
                now + fence
            }
        };
        state.watched = Some((good.epoch, until));
        if until <= now {
            return EpochWatch::Over;
        }
        state.why = Some("the store's node is new and is watched before it is used".to_owned());
        self.enter(&mut state, Breaker::HalfOpen);
        EpochWatch::UntilLater
    }

    /// ## Distrusted, Fenced, Trusted => Trusted
    ///
    /// To be called while nothing can be added to the debt (race H).
    pub(super) fn trust(&self, good: &GoodBeat) {
        let mut state = self.lock();
        let until = good.until();
        if state.breaker != Breaker::Closed {
            tracing::info!(node = self.node(), "the store is trusted");
            state.said.clear();
        }
        (state.why, state.pause) = (None, PROBE_FIRST);
        self.enter(&mut state, Breaker::Closed);
        let GoodBeat { link, epoch, ref beat, .. } = *good;
        self.granted.set(Some(Grant { link, epoch, beat_ms: beat.now_ms, until }));
    }

    fn enter(&self, state: &mut TrustState, breaker: Breaker) {
        state.breaker = breaker;
        self.closed.store(breaker == Breaker::Closed, Ordering::Relaxed);
        // Later beats are judged too.
        let _was_judged = self.judged.set(()).is_err();
    }

    fn lock(&self) -> MutexGuard<'_, TrustState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a new epoch is still watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EpochWatch {
    /// The epoch may be used.
    Over,
    /// The epoch may not be used yet.
    UntilLater,
}

#[cfg(test)]
mod tests;
