//! What the hosts of one schedule share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use corral_host::store::Epoch;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::chance::Chance;
use super::climate::Climate;
use super::history::{Event, History};
use super::nodes::{Node, Nodes, Shown};
use super::pauses::Pauses;
use super::protection::Protection;
use super::shelf::Shelf;
use super::tokens::Tokens;
use super::truth::Truth;
use super::weather::Weather;
use super::wire::Tracking;

/// The origin's clock when a schedule begins, and the store's.
pub(crate) const EPOCH_MS: u64 = 1_000_000_000;

/// The world of one schedule. Its locks are never contended: everything runs on one thread, and
/// none is held across an await.
pub(super) struct World {
    pub(super) climate: Climate,
    pub(super) chance: Chance,
    /// The protection that is switched off.
    pub(super) missing: Option<Protection>,
    operations: AtomicU64,
    /// Notified when a lease may have ended.
    pub(super) settled: Notify,
    began: Instant,
    pub(super) pauses: Pauses,
    pub(super) tokens: Mutex<Tokens>,
    /// Hosts with a load that has just failed.
    failures: Mutex<BTreeSet<usize>>,
    /// Hosts that are to die at this moment.
    doomed: Mutex<Vec<usize>>,
    dying: Notify,
    links: AtomicU64,
    nodes: Mutex<Nodes>,
    tracking: Mutex<Tracking>,
    truth: Mutex<Truth>,
    weather: Mutex<Weather>,
    history: Mutex<History>,
}

impl World {
    pub(super) fn new(
        climate: Climate,
        chance: Chance,
        missing: Option<Protection>,
        detailed: bool,
    ) -> Self {
        let shown = if climate.failovers { Shown::Something } else { Shown::Nothing };
        let first = Node::new(Shelf::default(), Epoch(chance.number()), shown);
        let nodes = Nodes::new(first, climate.hosts);
        Self {
            climate,
            chance,
            missing,
            operations: AtomicU64::new(0),
            settled: Notify::new(),
            began: Instant::now(),
            pauses: Pauses::new(climate.hosts),
            tokens: Mutex::default(),
            failures: Mutex::default(),
            doomed: Mutex::default(),
            dying: Notify::new(),
            links: AtomicU64::new(0),
            nodes: Mutex::new(nodes),
            tracking: Mutex::default(),
            truth: Mutex::new(Truth::new()),
            weather: Mutex::new(Weather::clear(climate.hosts)),
            history: Mutex::new(History::new(detailed)),
        }
    }

    pub(super) fn lacks(&self, protection: Protection) -> bool {
        self.missing == Some(protection)
    }

    /// Time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The schedule's clock, which is the origin's, and that of a node whose clock was never set.
    pub(super) fn now_ms(&self) -> u64 {
        EPOCH_MS + u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX >> 1)
    }

    pub(super) fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what a node holds, by the node's clock, and reports the changes. `None` if the node
    /// is not in that life any more.
    pub(super) fn at_node<R>(
        &self,
        node: usize,
        life: Option<u64>,
        apply: impl FnOnce(&mut Node, u64) -> R,
    ) -> Option<R> {
        let now_ms = self.now_ms();
        let mut nodes = self.nodes();
        let at = &mut nodes.all[node];
        if !at.up || life.is_some_and(|life| life != at.life) {
            return None;
        }
        let now_ms = now_ms.saturating_add_signed(at.offset_ms);
        let answer = apply(at, now_ms);
        let changes = at.shelf.take_changes();
        drop(nodes);
        for change in &changes {
            self.tracking().tell(node, change, || self.leg());
        }
        self.settled.notify_waiters();
        Some(answer)
    }

    /// Looks at what a node holds, by the node's clock, whether the node is up or not.
    pub(super) fn peek<R>(&self, node: usize, look: impl FnOnce(&mut Node, u64) -> R) -> R {
        let now_ms = self.now_ms();
        let at = &mut self.nodes().all[node];
        let now_ms = now_ms.saturating_add_signed(at.offset_ms);
        look(at, now_ms)
    }

    /// Makes a host die at this moment.
    pub(super) fn doom(&self, host: usize) {
        self.doomed.lock().unwrap_or_else(PoisonError::into_inner).push(host);
        self.dying.notify_one();
    }

    /// Freezes a host for so long.
    pub(super) fn freeze(&self, host: usize, lasts: Duration) {
        self.remark(|| format!("host {host} freezes for {lasts:?}"));
        self.pauses.freeze(host, lasts);
    }

    /// Returns a host once it is doomed.
    pub(super) async fn next_doomed(&self) -> usize {
        loop {
            let doomed = self.doomed.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match doomed {
                Some(host) => return host,
                None => self.dying.notified().await,
            }
        }
    }

    /// Notes that a load of a host failed.
    pub(super) fn note_failure(&self, host: usize) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).insert(host);
    }

    /// Whether a load of a host failed since the last call.
    pub(super) fn take_failure(&self, host: usize) -> bool {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&host)
    }

    /// A number that no other link of this schedule has.
    pub(super) fn next_link(&self) -> u64 {
        self.links.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn tracking(&self) -> MutexGuard<'_, Tracking> {
        self.tracking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a message takes over an undisturbed link.
    pub(super) fn leg(&self) -> Duration {
        let slow = u64::try_from(self.climate.slow_link.as_millis()).unwrap_or(0);
        self.chance.millis(0, slow)
    }

    pub(super) fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations that reached the store.
    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    pub(super) fn count_operation(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds an event to the history.
    pub(super) fn note(&self, event: Event) {
        let at_ms = self.now_ms() - EPOCH_MS;
        self.history.lock().unwrap_or_else(PoisonError::into_inner).note(at_ms, event);
    }

    /// Adds a remark for readers to the history.
    pub(super) fn remark(&self, remark: impl FnOnce() -> String) {
        let at_ms = self.now_ms() - EPOCH_MS;
        self.history.lock().unwrap_or_else(PoisonError::into_inner).remark(at_ms, remark);
    }

    pub(super) fn take_history(&self) -> History {
        std::mem::replace(
            &mut *self.history.lock().unwrap_or_else(PoisonError::into_inner),
            History::new(false),
        )
    }
}
