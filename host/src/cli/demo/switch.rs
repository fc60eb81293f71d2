//! A store that can be cut off: the demo can't kill a Redis that is not its own, so it cuts the
//! calls to it. While they are cut, every call uses up its time budget, as with a store that no
//! longer answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::sleep;

use crate::store::{
    Beat, Claim, Claimed, Confirmation, Envelope, Epoch, Filled, FloorScope, HostCard, Indexed,
    Intent, Layout, LeaseToken, LinkId, Listener, Listing, Marking, Name, Naming, NodeEntry, Over,
    Range, RangeId, Removed, Remover, SlotMap, Store, StoreError, StoreTag, Topology, Tracked,
};

pub(super) struct Switch {
    topology: Arc<dyn Topology>,
    budget: Duration,
    cut: Arc<AtomicBool>,
    /// The topology's map, and the same map with nodes that can be cut off.
    maps: Mutex<(Arc<SlotMap>, Arc<SlotMap>)>,
}

impl Switch {
    pub(super) fn new(topology: Arc<dyn Topology>, budget: Duration) -> Self {
        Self { topology, budget, cut: Arc::default(), maps: Mutex::default() }
    }

    pub(super) fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Release);
    }

    /// What is stored under a name.
    pub(super) async fn get(&self, name: &Name) -> StoreResult<Option<Envelope>> {
        let map = self.map();
        let node = map.owner(name.slot()).and_then(|at| map.nodes.get(at));
        let missing = || StoreError::Unavailable("no node has the name".to_owned());
        Ok(node.ok_or_else(missing)?.store.get(name).await?.answer)
    }

    /// A node of the topology's map, as it can be cut off; the same as before if it was there before.
    fn switched(&self, node: &NodeEntry, known: &(Arc<SlotMap>, Arc<SlotMap>)) -> NodeEntry {
        let is_it = |other: &NodeEntry| Arc::ptr_eq(&other.store, &node.store);
        if let Some(at) = known.0.nodes.iter().position(is_it) {
            return known.1.nodes[at].clone();
        }
        let (store, cut) = (Arc::clone(&node.store), Arc::clone(&self.cut));
        let store = Arc::new(SwitchedNode { store, budget: self.budget, cut });
        NodeEntry { id: Arc::clone(&node.id), store }
    }
}

#[async_trait]
impl Topology for Switch {
    fn layout(&self) -> Layout {
        self.topology.layout()
    }

    fn map(&self) -> Arc<SlotMap> {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        let map = self.topology.map();
        if !Arc::ptr_eq(&map, &maps.0) {
            let nodes = map.nodes.iter().map(|node| self.switched(node, &maps)).collect();
            let switched = SlotMap { nodes, owners: map.owners.clone() };
            *maps = (map, Arc::new(switched));
        }
        Arc::clone(&maps.1)
    }

    async fn changed(&self, since: &Arc<SlotMap>) {
        let inner = {
            let maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::ptr_eq(since, &maps.1).then(|| Arc::clone(&maps.0))
        };
        if let Some(inner) = inner {
            self.topology.changed(&inner).await;
        }
    }

    fn doubt(&self) {
        self.topology.doubt();
    }

    fn kind(&self) -> &'static str {
        self.topology.kind()
    }
}

/// A node that can be cut off.
struct SwitchedNode {
    store: Arc<dyn Store>,
    budget: Duration,
    cut: Arc<AtomicBool>,
}

type StoreResult<T> = Result<T, StoreError>;

impl SwitchedNode {
    async fn reach(&self) -> StoreResult<&dyn Store> {
        if self.cut.load(Ordering::Acquire) {
            sleep(self.budget).await;
            return Err(StoreError::Timeout(self.budget));
        }
        Ok(&*self.store)
    }
}

#[async_trait]
impl Store for SwitchedNode {
    async fn get(&self, name: &Name) -> StoreResult<Over<Option<Envelope>>> {
        self.reach().await?.get(name).await
    }

    async fn get_tracked(&self, name: &Name) -> StoreResult<Over<Tracked>> {
        self.reach().await?.get_tracked(name).await
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.store.listen(listener);
    }

    async fn claim(&self, claim: Claim<'_>) -> StoreResult<Over<Claimed>> {
        self.reach().await?.claim(claim).await
    }

    async fn fill(
        &self,
        name: &Name,
        token: LeaseToken,
        envelope: &Envelope,
    ) -> StoreResult<Over<Filled>> {
        self.reach().await?.fill(name, token, envelope).await
    }

    async fn renew(&self, name: &Name, token: LeaseToken, lease: Duration) -> StoreResult<bool> {
        self.reach().await?.renew(name, token, lease).await
    }

    async fn release(&self, name: &Name, token: LeaseToken) -> StoreResult<bool> {
        self.reach().await?.release(name, token).await
    }

    async fn lease_left(&self, name: &Name) -> StoreResult<Option<Duration>> {
        self.reach().await?.lease_left(name).await
    }

    async fn index(
        &self,
        name: &Name,
        tags: &[StoreTag],
        until_ms: u64,
    ) -> StoreResult<Over<Indexed>> {
        self.reach().await?.index(name, tags, until_ms).await
    }

    async fn remove(&self, names: &[Name]) -> StoreResult<Over<Removed>> {
        self.reach().await?.remove(names).await
    }

    async fn walk(
        &self,
        tags: &[StoreTag],
        marking: Marking,
        remover: &dyn Remover,
    ) -> StoreResult<Over<()>> {
        self.reach().await?.walk(tags, marking, remover).await
    }

    async fn announce(
        &self,
        range: RangeId,
        intent: &Intent,
        hold: Duration,
    ) -> StoreResult<Over<()>> {
        self.reach().await?.announce(range, intent, hold).await
    }

    async fn withdraw(&self, range: RangeId, intent: &Intent) -> StoreResult<()> {
        self.reach().await?.withdraw(range, intent).await
    }

    async fn due(&self, ranges: &[RangeId], hold: Duration) -> StoreResult<Vec<(RangeId, Intent)>> {
        self.reach().await?.due(ranges, hold).await
    }

    async fn settled(&self, name: &Name, at_most: Duration) {
        self.store.settled(name, at_most).await;
    }

    async fn beat(&self, ranges: &[RangeId]) -> StoreResult<Over<Beat>> {
        self.reach().await?.beat(ranges).await
    }

    async fn confirm(&self) -> StoreResult<Confirmation> {
        self.reach().await?.confirm().await
    }

    async fn relinked(&self, since: LinkId) {
        self.store.relinked(since).await;
    }

    fn relink(&self, why: &str) {
        self.store.relink(why);
    }

    async fn read_ranges(&self, ranges: &[RangeId]) -> StoreResult<Over<Vec<Range>>> {
        self.reach().await?.read_ranges(ranges).await
    }

    async fn publish(
        &self,
        ranges: &[RangeId],
        namings: &[Naming],
    ) -> StoreResult<Over<Vec<Range>>> {
        self.reach().await?.publish(ranges, namings).await
    }

    async fn raise(&self, ranges: &[RangeId], scopes: &[FloorScope]) -> StoreResult<Over<()>> {
        self.reach().await?.raise(ranges, scopes).await
    }

    async fn note_watched(&self, ranges: &[RangeId], epoch: Epoch) -> StoreResult<()> {
        self.reach().await?.note_watched(ranges, epoch).await
    }

    async fn note_known(&self, range: RangeId, namings: &[(FloorScope, u64)]) -> StoreResult<()> {
        self.reach().await?.note_known(range, namings).await
    }

    async fn enlist(&self, card: &HostCard) -> StoreResult<Listing> {
        self.reach().await?.enlist(card).await
    }

    async fn delist(&self, id: &str) -> StoreResult<()> {
        self.reach().await?.delist(id).await
    }

    async fn note(&self, of: &str) -> StoreResult<Option<Bytes>> {
        self.reach().await?.note(of).await
    }

    async fn write_note(&self, of: &str, note: &[u8], lasts: Duration) -> StoreResult<()> {
        self.reach().await?.write_note(of, note, lasts).await
    }

    async fn replace_note(
        &self,
        of: &str,
        read: Option<&[u8]>,
        note: &[u8],
        lasts: Duration,
    ) -> StoreResult<bool> {
        self.reach().await?.replace_note(of, read, note, lasts).await
    }

    fn now_ms(&self) -> u64 {
        self.store.now_ms()
    }

    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    fn unreadable(&self) -> u64 {
        self.store.unreadable()
    }
}
