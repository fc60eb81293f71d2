//! The store's nodes as this host knows them: which of them has a slot, and how far each is trusted.
//!
//! A value is believed under the **slot's epoch**: that of the node which has the slot, mixed with that of
//! the node which keeps the slot's range where that is another one. So a node that forgets floors, namings or
//! intents forgets the values that these concern as well.
//!
//! A slot that changed hands is **fenced**: until every host has left the node before, nothing is read from
//! the new one, nothing is filled, and no removal counts.

mod table;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;

use super::near::Near;
use super::trust::{Grant, Trust};
use super::{Clock, NodeStanding};
use crate::store::{
    Epoch, HashSlot, Layout, LinkId, Over, RangeId, SlotMap, Store, StoreError, Topology,
};
pub(super) use table::{Node, NodeNumber, NodeTable};

/// The nodes of a host's store.
pub(super) struct Nodes {
    topology: Arc<dyn Topology>,
    layout: Layout,
    table: ArcSwap<NodeTable>,
    adopting: Mutex<()>,
    clock: Arc<dyn Clock>,
    near: Arc<Near>,
}

/// What was trusted at one moment, node by node.
pub(super) struct Grants(Vec<(NodeNumber, Grant)>);

impl Grants {
    /// What was trusted of a node.
    pub(super) fn of(&self, node: NodeNumber) -> Option<Grant> {
        self.0.iter().find(|(number, _)| *number == node).map(|(_, grant)| *grant)
    }
}

impl Nodes {
    pub(super) fn new(topology: Arc<dyn Topology>, clock: Arc<dyn Clock>, near: Arc<Near>) -> Self {
        let (layout, table) = (topology.layout(), ArcSwap::from_pointee(NodeTable::default()));
        let nodes = Self { topology, layout, table, adopting: Mutex::default(), clock, near };
        nodes.adopt();
        nodes
    }

    /// `memory`, `redis` or `redis cluster`, for logs and answers.
    pub(super) fn kind(&self) -> &'static str {
        self.topology.kind()
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// The nodes and slots in use.
    pub(super) fn table(&self) -> Arc<NodeTable> {
        self.table.load_full()
    }

    /// Takes the topology's map into use, if it is a new one; returns the table in use.
    pub(super) fn adopt(&self) -> Arc<NodeTable> {
        let _one_at_a_time = self.adopting.lock().unwrap_or_else(PoisonError::into_inner);
        let (map, table) = (self.topology.map(), self.table.load_full());
        if Arc::ptr_eq(&map, table.map()) {
            return table;
        }
        let known = |entry: &crate::store::NodeEntry| {
            let is_it = |node: &&Arc<Node>| Arc::ptr_eq(node.trust.store(), &entry.store);
            table.nodes().iter().find(is_it).cloned()
        };
        let made = |entry: &crate::store::NodeEntry| {
            let name = (self.layout == Layout::Slots).then(|| Arc::clone(&entry.id));
            entry.store.listen(Arc::downgrade(&self.near) as _);
            let (clock, near) = (Arc::clone(&self.clock), Arc::clone(&self.near));
            let trust = Trust::new(Arc::clone(&entry.store), name, clock, near);
            Arc::new(Node::new(Arc::clone(&entry.id), trust))
        };
        let nodes = map.nodes.iter().map(|entry| known(entry).unwrap_or_else(|| made(entry)));
        let next = table.next(map.clone(), nodes.collect(), self.layout, self.clock.now());
        if next.has_moved() {
            // The node before tells of no more changes (race K).
            self.near.forget_all();
        }
        let next = Arc::new(next);
        self.table.store(Arc::clone(&next));
        next
    }

    /// Returns when the topology's map is another one than that of `since`.
    pub(super) async fn changed(&self, since: &Arc<SlotMap>) {
        self.topology.changed(since).await;
    }

    /// Returns once every node's first beat was judged: until then nothing is trusted, because nothing was
    /// asked.
    pub(super) async fn judged(&self) {
        loop {
            let table = self.adopt();
            if !table.nodes().is_empty() {
                join_all(table.nodes().iter().map(|node| node.trust.judged())).await;
                return;
            }
            self.changed(table.map()).await;
        }
    }

    /// The node that has a slot.
    pub(super) fn node_of(&self, slot: HashSlot) -> Result<Arc<Node>, StoreError> {
        self.table.load().owner(slot).cloned().ok_or(StoreError::Distrusted)
    }

    /// The node that keeps a range.
    pub(super) fn keeper_of(&self, range: RangeId) -> Result<Arc<Node>, StoreError> {
        self.node_of(self.layout.anchor_slot(range))
    }

    /// The range of a slot.
    pub(super) fn range_of(&self, slot: HashSlot) -> RangeId {
        self.layout.range_of(slot)
    }

    /// Asks the node that has a slot; the answer counts only under trust, and under the slot's epoch that is
    /// returned with it.
    pub(super) async fn ask<T, F>(
        &self,
        slot: HashSlot,
        call: impl FnOnce(Arc<dyn Store>) -> F,
    ) -> Result<(T, Epoch), StoreError>
    where
        F: Future<Output = Result<Over<T>, StoreError>>,
    {
        let node = self.node_of(slot)?;
        let asked = node.trust.ask(|_| call(Arc::clone(node.trust.store()))).await;
        let (answer, epoch) = asked.inspect_err(|error| self.note(error))?;
        // Looked at after the answer: the slot may have changed hands meanwhile.
        let epoch = self.slot_epoch(slot, &node, epoch).ok_or(StoreError::Distrusted)?;
        Ok((answer, epoch))
    }

    /// Asks the node that has a slot and takes the answer without trust.
    pub(super) async fn watch<T, F>(
        &self,
        slot: HashSlot,
        call: impl FnOnce(Arc<dyn Store>) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let node = self.node_of(slot)?;
        let watched = node.trust.watch(|_| call(Arc::clone(node.trust.store()))).await;
        watched.inspect_err(|error| self.note(error))
    }

    /// A slot that is not where the map has it makes the map doubtful.
    pub(super) fn note(&self, error: &StoreError) {
        if matches!(error, StoreError::Moved) {
            self.topology.doubt();
        }
    }

    /// The epoch of a slot at this moment; `None` while its values are not believed.
    pub(super) fn epoch(&self, slot: HashSlot) -> Option<Epoch> {
        let node = self.table.load().owner(slot).cloned()?;
        let epoch = node.trust.grant()?.epoch;
        self.slot_epoch(slot, &node, epoch)
    }

    /// Whether values of a slot are believed at this moment.
    pub(super) fn holds(&self, slot: HashSlot) -> bool {
        let table = self.table.load();
        let holds = |slot| {
            let is_trusted = table.owner(slot).is_some_and(|node| node.trust.holds());
            is_trusted && !table.is_fenced(slot)
        };
        holds(slot) && (self.layout == Layout::Single || holds(self.anchor(slot)))
    }

    /// The epoch under which an answer over this link counts as one of the slot.
    pub(super) fn counts(&self, slot: HashSlot, link: LinkId) -> Option<Epoch> {
        let node = self.table.load().owner(slot).cloned()?;
        let epoch = node.trust.counts(link)?;
        self.slot_epoch(slot, &node, epoch)
    }

    /// Whether every node that has slots is trusted at this moment.
    pub(super) fn hold(&self) -> bool {
        let table = self.table.load();
        table.owners().next().is_some() && table.owners().all(|node| node.trust.holds())
    }

    /// The slot's epoch, if `node` has the slot at this moment, under an epoch of its own.
    pub(super) fn slot_epoch(
        &self,
        slot: HashSlot,
        node: &Arc<Node>,
        epoch: Epoch,
    ) -> Option<Epoch> {
        let table = self.table.load();
        let has = |slot| table.owner(slot).filter(|_| !table.is_fenced(slot));
        has(slot).filter(|owner| Arc::ptr_eq(owner, node))?;
        if self.layout == Layout::Single {
            return Some(epoch);
        }
        let keeper = has(self.anchor(slot))?;
        if Arc::ptr_eq(keeper, node) {
            return Some(epoch);
        }
        Some(epoch.with(keeper.trust.grant()?.epoch))
    }

    fn anchor(&self, slot: HashSlot) -> HashSlot {
        self.layout.anchor_slot(self.layout.range_of(slot))
    }

    /// The slots of a value's tags as its envelope names them: none where one node has them all.
    pub(super) fn tag_slots(&self, tags: impl IntoIterator<Item = HashSlot>) -> BTreeSet<HashSlot> {
        match self.layout {
            Layout::Single => BTreeSet::new(),
            Layout::Slots => tags.into_iter().collect(),
        }
    }

    /// The epoch of a value: that of its slot, mixed with those of the slots of its tags. `None` while one of
    /// the tags' nodes is not trusted: its index may be lost, and then others no longer find the value.
    pub(super) fn with_tags(&self, epoch: Epoch, tag_slots: &[HashSlot]) -> Option<Epoch> {
        tag_slots.iter().try_fold(epoch, |epoch, slot| Some(epoch.with(self.epoch(*slot)?)))
    }

    /// What is trusted at this moment.
    pub(super) fn grants(&self) -> Grants {
        let table = self.table.load();
        let granted = |node: &Arc<Node>| Some((node.number, node.trust.grant()?));
        Grants(table.nodes().iter().filter_map(granted).collect())
    }

    /// Makes the next beat of each node due now.
    pub(super) fn hurry(&self) {
        self.table.load().nodes().iter().for_each(|node| node.trust.hurry());
    }

    /// A host's estimate of the clock of the node that has a slot, in ms since the Unix epoch.
    pub(super) fn now_ms(&self, slot: HashSlot) -> u64 {
        let table = self.table.load();
        let node = table.owner(slot).or_else(|| table.nodes().first());
        node.map_or_else(crate::store::wall_clock_ms, |node| node.trust.store().now_ms())
    }

    /// How far each node that has slots is trusted.
    pub(super) fn standings(&self) -> Vec<NodeStanding> {
        let standing = |node: &Arc<Node>| {
            let (breaker, why) = node.trust.state();
            NodeStanding { node: node.id.to_string(), breaker, why }
        };
        self.table.load().owners().map(standing).collect()
    }

    /// How many envelopes and intents since the start could not be read.
    pub(super) fn unreadable(&self) -> u64 {
        self.table.load().nodes().iter().map(|node| node.trust.store().unreadable()).sum()
    }

    /// How long a slot's fence lasts from when its node was first confirmed.
    pub(super) const FENCE: Duration = super::trust::SUPERVISED_FENCE;
}
