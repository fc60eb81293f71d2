//! A store that fails, hangs and forgets on command, over one that does not. Each host has its own.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use corral_host::store::{
    Claim, Claimed, Envelope, Filled, Indexed, Intent, Key, Listener, MemoryStore, Mode, Removed,
    Store, StoreError, Tag, Token, Tracked,
};
use tokio::sync::{oneshot, watch};

use super::truth::Held;
use super::world::soon;

/// An operation of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Get,
    /// The answer to a tracked get, on its way.
    Answer,
    Claim,
    Fill,
    Renew,
    Release,
    InvalidateKeys,
    InvalidateTag,
    Index,
    Announce,
    Withdraw,
    Due,
    Ping,
}

/// A protection of the store that is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Every fill is accepted.
    FillWithoutLease,
    /// Invalidations are acknowledged and not carried out.
    ForgetsInvalidations,
    /// No tag is ever marked.
    NoMark,
}

pub(super) struct Scripted {
    memory: Arc<MemoryStore>,
    fault: Option<Fault>,
    down: AtomicBool,
    held: Mutex<HashMap<Op, VecDeque<oneshot::Receiver<()>>>>,
    calls: watch::Sender<HashMap<Op, usize>>,
    granted: Mutex<HashSet<(Key, Token)>>,
    fills: Mutex<Fills>,
}

/// What a host filled, or tried to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fills {
    /// With a token that no claim was granted for.
    pub(super) unleased: usize,
    /// The longest time for which a value was to be kept.
    pub(super) longest_ms: u64,
}

impl Scripted {
    pub(super) fn new(memory: Arc<MemoryStore>, fault: Option<Fault>) -> Arc<Self> {
        Arc::new(Self {
            memory,
            fault,
            down: AtomicBool::new(false),
            held: Mutex::default(),
            calls: watch::Sender::default(),
            granted: Mutex::default(),
            fills: Mutex::default(),
        })
    }

    /// From now on no call is answered.
    pub(super) fn stop(&self) {
        self.down.store(true, Ordering::SeqCst);
    }

    /// From now on calls are answered again.
    pub(super) fn start(&self) {
        self.down.store(false, Ordering::SeqCst);
    }

    /// The next call of `op` that nobody holds yet waits, before it is carried out.
    pub(super) fn hold(&self, op: Op) -> Held {
        let (held, released) = Held::new();
        self.held.lock().unwrap().entry(op).or_default().push_back(released);
        held
    }

    /// How often `op` was called, calls that are held included.
    pub(super) fn calls(&self, op: Op) -> usize {
        self.calls.borrow().get(&op).copied().unwrap_or(0)
    }

    /// How often anything was called.
    pub(super) fn all_calls(&self) -> usize {
        self.calls.borrow().values().sum()
    }

    /// Waits until `op` was called so often.
    pub(super) async fn called(&self, op: Op, times: usize) {
        let mut calls = self.calls.subscribe();
        let enough = |calls: &HashMap<Op, usize>| calls.get(&op).copied().unwrap_or(0) >= times;
        soon(&format!("{op:?}"), calls.wait_for(enough)).await.unwrap();
    }

    pub(super) fn fills(&self) -> Fills {
        *self.fills.lock().unwrap()
    }

    async fn enter(&self, op: Op) -> Result<(), StoreError> {
        let held = self.held.lock().unwrap().get_mut(&op).and_then(VecDeque::pop_front);
        self.calls.send_modify(|calls| *calls.entry(op).or_default() += 1);
        if let Some(released) = held {
            // A dropped hold releases too.
            let _released = released.await;
        }
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("as the test wants it".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Scripted {
    async fn get(&self, key: &Key) -> Result<Option<Envelope>, StoreError> {
        self.enter(Op::Get).await?;
        self.memory.get(key).await
    }

    async fn get_tracked(&self, key: &Key) -> Result<Tracked, StoreError> {
        self.enter(Op::Get).await?;
        let tracked = self.memory.get_tracked(key).await?;
        self.enter(Op::Answer).await?;
        Ok(tracked)
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.memory.listen(listener);
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, StoreError> {
        self.enter(Op::Claim).await?;
        let claimed = self.memory.claim(claim).await?;
        if matches!(claimed, Claimed::Granted { .. }) {
            self.granted.lock().unwrap().insert((claim.key.clone(), claim.token));
        }
        Ok(claimed)
    }

    async fn fill(
        &self,
        key: &Key,
        token: Token,
        envelope: &Envelope,
    ) -> Result<Filled, StoreError> {
        {
            let leased = self.granted.lock().unwrap().contains(&(key.clone(), token));
            let mut fills = self.fills.lock().unwrap();
            fills.unleased += usize::from(!leased);
            let kept_ms = envelope.stale_until_ms.saturating_sub(self.now_ms());
            fills.longest_ms = fills.longest_ms.max(kept_ms);
        }
        self.enter(Op::Fill).await?;
        if self.fault == Some(Fault::FillWithoutLease) {
            seize(&self.memory, key, token, Duration::from_secs(60)).await;
        }
        self.memory.fill(key, token, envelope).await
    }

    async fn renew(&self, key: &Key, token: Token, lease: Duration) -> Result<bool, StoreError> {
        self.enter(Op::Renew).await?;
        self.memory.renew(key, token, lease).await
    }

    async fn release(&self, key: &Key, token: Token) -> Result<bool, StoreError> {
        self.enter(Op::Release).await?;
        self.memory.release(key, token).await
    }

    async fn lease_left(&self, key: &Key) -> Result<Option<Duration>, StoreError> {
        self.memory.lease_left(key).await
    }

    async fn invalidate_keys(&self, keys: &[Key]) -> Result<Removed, StoreError> {
        self.enter(Op::InvalidateKeys).await?;
        if self.fault == Some(Fault::ForgetsInvalidations) {
            return Ok(Removed::default());
        }
        self.memory.invalidate_keys(keys).await
    }

    async fn invalidate_tag(&self, tag: &Tag, mark: Duration) -> Result<Removed, StoreError> {
        self.enter(Op::InvalidateTag).await?;
        self.memory.invalidate_tag(tag, mark).await
    }

    async fn index(&self, tag: &Tag, key: &Key, expires_at_ms: u64) -> Result<Indexed, StoreError> {
        self.enter(Op::Index).await?;
        let indexed = self.memory.index(tag, key, expires_at_ms).await?;
        Ok(if self.fault == Some(Fault::NoMark) { Indexed::Clear } else { indexed })
    }

    async fn announce(&self, intent: &Intent, hold: Duration) -> Result<(), StoreError> {
        self.enter(Op::Announce).await?;
        self.memory.announce(intent, hold).await
    }

    async fn withdraw(&self, intent: &Intent) -> Result<(), StoreError> {
        self.enter(Op::Withdraw).await?;
        self.memory.withdraw(intent).await
    }

    async fn due(&self, hold: Duration) -> Result<Vec<Intent>, StoreError> {
        self.enter(Op::Due).await?;
        self.memory.due(hold).await
    }

    async fn settled(&self, key: &Key, at_most: Duration) {
        self.memory.settled(key, at_most).await;
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.enter(Op::Ping).await
    }

    fn now_ms(&self) -> u64 {
        self.memory.now_ms()
    }

    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn unreadable(&self) -> u64 {
        0
    }
}

/// Takes the lease, whoever has it.
pub(super) async fn seize(store: &MemoryStore, key: &Key, token: Token, lease: Duration) {
    let claim = Claim { key, token, lease, seen_ms: 0, mode: Mode::TakeOver };
    store.claim(claim).await.unwrap();
}
