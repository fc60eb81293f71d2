//! A store that fails, hangs and forgets on command, over a store that does not. Each host has its
//! own.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use corral_host::store::{
    Beat, Claim, Claimed, Confirmation, Envelope, Epoch, Filled, FloorScope, HostCard, Indexed,
    Intent, LeaseToken, LinkId, Listener, Listing, Marking, MemoryStore, Mode, Name, Naming, Over,
    Range, RangeId, Removed, Remover, Store, StoreError, StoreTag, Tracked,
};
use tokio::sync::{oneshot, watch};

use super::truth::Held;
use super::world::soon;

/// An operation of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Get,
    /// The answer to a tracked get, while it is on its way.
    Answer,
    Claim,
    Fill,
    Renew,
    Release,
    Remove,
    Walk,
    Index,
    Announce,
    Withdraw,
    Due,
    Beat,
    Publish,
    Raise,
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
    /// Whether fills are answered over another link than everything else.
    fills_elsewhere: AtomicBool,
    /// How far this host's estimate of the store's clock was set back.
    behind_ms: AtomicU64,
    held: Mutex<HashMap<Op, VecDeque<oneshot::Receiver<()>>>>,
    calls: watch::Sender<HashMap<Op, usize>>,
    granted: Mutex<HashSet<(Name, LeaseToken)>>,
    fills: Mutex<Fills>,
    invalidated: Mutex<HashSet<StoreTag>>,
}

/// What a host filled or tried to fill.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fills {
    /// Fills with a token for which no claim was granted.
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
            fills_elsewhere: AtomicBool::new(false),
            behind_ms: AtomicU64::new(0),
            held: Mutex::default(),
            calls: watch::Sender::default(),
            granted: Mutex::default(),
            fills: Mutex::default(),
            invalidated: Mutex::default(),
        })
    }

    /// From now on this host's estimate of the store's clock is so far behind.
    pub(super) fn set_clock_back(&self, by: Duration) {
        self.behind_ms.store(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// From now on fills are answered over another link than everything else.
    pub(super) fn fill_elsewhere(&self) {
        self.fills_elsewhere.store(true, Ordering::SeqCst);
    }

    /// From now on no call is answered.
    pub(super) fn stop(&self) {
        self.down.store(true, Ordering::SeqCst);
    }

    /// From now on calls are answered again.
    pub(super) fn start(&self) {
        self.down.store(false, Ordering::SeqCst);
    }

    /// Holds the next call of `op` that is not held yet, before it is carried out.
    pub(super) fn hold(&self, op: Op) -> Held {
        let (held, released) = Held::new();
        self.held.lock().unwrap().entry(op).or_default().push_back(released);
        held
    }

    /// How often `op` was called, including calls that are held.
    pub(super) fn calls(&self, op: Op) -> usize {
        self.calls.borrow().get(&op).copied().unwrap_or(0)
    }

    /// How many calls were made for reads and writes; beats, which come by themselves, are not
    /// counted.
    pub(super) fn all_calls(&self) -> usize {
        let calls = self.calls.borrow();
        let asked = calls.iter().filter(|(op, _)| !matches!(op, Op::Beat | Op::Publish));
        asked.map(|(_op, times)| times).sum()
    }

    /// Waits until `op` was called `times` times.
    pub(super) async fn called(&self, op: Op, times: usize) {
        let mut calls = self.calls.subscribe();
        let enough = |calls: &HashMap<Op, usize>| calls.get(&op).copied().unwrap_or(0) >= times;
        soon(&format!("{op:?}"), calls.wait_for(enough)).await.unwrap();
    }

    pub(super) fn fills(&self) -> Fills {
        *self.fills.lock().unwrap()
    }

    /// How many tags it was asked to invalidate while it answered calls.
    pub(super) fn invalidated_tags(&self) -> usize {
        self.invalidated.lock().unwrap().len()
    }

    async fn enter(&self, op: Op) -> Result<(), StoreError> {
        let held = self.held.lock().unwrap().get_mut(&op).and_then(VecDeque::pop_front);
        self.calls.send_modify(|calls| *calls.entry(op).or_default() += 1);
        if let Some(released) = held {
            // Dropping the hold releases the call too.
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
    async fn get(&self, name: &Name) -> Result<Over<Option<Envelope>>, StoreError> {
        self.enter(Op::Get).await?;
        self.memory.get(name).await
    }

    async fn get_tracked(&self, name: &Name) -> Result<Over<Tracked>, StoreError> {
        self.enter(Op::Get).await?;
        let tracked = self.memory.get_tracked(name).await?;
        self.enter(Op::Answer).await?;
        Ok(tracked)
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.memory.listen(listener);
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Over<Claimed>, StoreError> {
        self.enter(Op::Claim).await?;
        let claimed = self.memory.claim(claim).await?;
        if matches!(claimed.answer, Claimed::Granted { .. }) {
            self.granted.lock().unwrap().insert((claim.name.clone(), claim.token));
        }
        Ok(claimed)
    }

    async fn fill(
        &self,
        name: &Name,
        token: LeaseToken,
        envelope: &Envelope,
    ) -> Result<Over<Filled>, StoreError> {
        {
            let leased = self.granted.lock().unwrap().contains(&(name.clone(), token));
            let mut fills = self.fills.lock().unwrap();
            fills.unleased += usize::from(!leased);
            let kept_ms = envelope.stale_until_ms.saturating_sub(self.now_ms());
            fills.longest_ms = fills.longest_ms.max(kept_ms);
        }
        self.enter(Op::Fill).await?;
        if self.fault == Some(Fault::FillWithoutLease) {
            seize(&self.memory, name, token, Duration::from_secs(60)).await;
        }
        let filled = self.memory.fill(name, token, envelope).await?;
        let elsewhere = self.fills_elsewhere.load(Ordering::SeqCst);
        let link = if elsewhere { LinkId(u64::MAX) } else { filled.link };
        Ok(Over { link, ..filled })
    }

    async fn renew(
        &self,
        name: &Name,
        token: LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        self.enter(Op::Renew).await?;
        self.memory.renew(name, token, lease).await
    }

    async fn release(&self, name: &Name, token: LeaseToken) -> Result<bool, StoreError> {
        self.enter(Op::Release).await?;
        self.memory.release(name, token).await
    }

    async fn lease_left(&self, name: &Name) -> Result<Option<Duration>, StoreError> {
        self.memory.lease_left(name).await
    }

    async fn remove(&self, names: &[Name]) -> Result<Over<Removed>, StoreError> {
        self.enter(Op::Remove).await?;
        let forgets = self.fault == Some(Fault::ForgetsInvalidations);
        self.memory.remove(if forgets { &[] } else { names }).await
    }

    async fn walk(
        &self,
        tags: &[StoreTag],
        marking: Marking,
        remover: &dyn Remover,
    ) -> Result<Over<()>, StoreError> {
        self.enter(Op::Walk).await?;
        self.invalidated.lock().unwrap().extend(tags.iter().cloned());
        let forgets = self.fault == Some(Fault::ForgetsInvalidations);
        self.memory.walk(if forgets { &[] } else { tags }, marking, remover).await
    }

    async fn index(
        &self,
        name: &Name,
        tags: &[StoreTag],
        expires_at_ms: u64,
    ) -> Result<Over<Indexed>, StoreError> {
        self.enter(Op::Index).await?;
        let mut indexed = self.memory.index(name, tags, expires_at_ms).await?;
        if self.fault == Some(Fault::NoMark) {
            indexed.answer.marks.clear();
        }
        Ok(indexed)
    }

    async fn announce(
        &self,
        range: RangeId,
        intent: &Intent,
        hold: Duration,
    ) -> Result<Over<()>, StoreError> {
        self.enter(Op::Announce).await?;
        self.memory.announce(range, intent, hold).await
    }

    async fn withdraw(&self, range: RangeId, intent: &Intent) -> Result<(), StoreError> {
        self.enter(Op::Withdraw).await?;
        self.memory.withdraw(range, intent).await
    }

    async fn due(
        &self,
        ranges: &[RangeId],
        hold: Duration,
    ) -> Result<Vec<(RangeId, Intent)>, StoreError> {
        self.enter(Op::Due).await?;
        self.memory.due(ranges, hold).await
    }

    async fn settled(&self, name: &Name, at_most: Duration) {
        self.memory.settled(name, at_most).await;
    }

    async fn beat(&self, ranges: &[RangeId]) -> Result<Over<Beat>, StoreError> {
        self.enter(Op::Beat).await?;
        self.memory.beat(ranges).await
    }

    async fn confirm(&self) -> Result<Confirmation, StoreError> {
        self.memory.confirm().await
    }

    async fn relinked(&self, since: LinkId) {
        self.memory.relinked(since).await;
    }

    fn relink(&self, why: &str) {
        self.memory.relink(why);
    }

    async fn read_ranges(&self, ranges: &[RangeId]) -> Result<Over<Vec<Range>>, StoreError> {
        self.memory.read_ranges(ranges).await
    }

    async fn publish(
        &self,
        ranges: &[RangeId],
        namings: &[Naming],
    ) -> Result<Over<Vec<Range>>, StoreError> {
        self.enter(Op::Publish).await?;
        self.memory.publish(ranges, namings).await
    }

    async fn raise(
        &self,
        ranges: &[RangeId],
        scopes: &[FloorScope],
    ) -> Result<Over<()>, StoreError> {
        self.enter(Op::Raise).await?;
        self.memory.raise(ranges, scopes).await
    }

    async fn note_watched(&self, ranges: &[RangeId], epoch: Epoch) -> Result<(), StoreError> {
        self.memory.note_watched(ranges, epoch).await
    }

    async fn note_known(
        &self,
        range: RangeId,
        namings: &[(FloorScope, u64)],
    ) -> Result<(), StoreError> {
        self.memory.note_known(range, namings).await
    }

    async fn enlist(&self, card: &HostCard) -> Result<Listing, StoreError> {
        self.memory.enlist(card).await
    }

    async fn delist(&self, id: &str) -> Result<(), StoreError> {
        self.memory.delist(id).await
    }

    async fn note(&self, of: &str) -> Result<Option<Bytes>, StoreError> {
        self.memory.note(of).await
    }

    async fn write_note(&self, of: &str, note: &[u8], lasts: Duration) -> Result<(), StoreError> {
        self.memory.write_note(of, note, lasts).await
    }

    fn now_ms(&self) -> u64 {
        self.memory.now_ms() - self.behind_ms.load(Ordering::SeqCst)
    }

    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn unreadable(&self) -> u64 {
        0
    }
}

/// Takes the lease, even from a holder.
pub(super) async fn seize(store: &MemoryStore, name: &Name, token: LeaseToken, lease: Duration) {
    let claim = Claim { name, token, lease, seen_ms: 0, mode: Mode::TakeOver };
    store.claim(claim).await.unwrap();
}
