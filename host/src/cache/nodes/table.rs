//! The table of nodes and slots in use: made anew with every map, and swapped whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Nodes;
use crate::cache::trust::Trust;
use crate::store::{Epoch, HashSlot, Layout, RangeId, SlotMap};

/// The number of a node, which this process never uses twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::cache) struct NodeNumber(u64);

#[cfg(test)]
impl NodeNumber {
    pub(in crate::cache) fn of(number: u64) -> Self {
        Self(number)
    }
}

/// A node, as far as this host trusts it.
pub(in crate::cache) struct Node {
    pub(in crate::cache) number: NodeNumber,
    pub(in crate::cache) id: Arc<str>,
    pub(in crate::cache) trust: Trust,
    /// When the host last began to learn what it must know of the node, and was done with it, by the host's
    /// clock in ms.
    caught_up_ms: AtomicU64,
}

impl Node {
    pub(super) fn new(id: Arc<str>, trust: Trust) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NodeNumber(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { number, id, trust, caught_up_ms: AtomicU64::new(0) }
    }

    /// The host knows what it must know of the node as of `since`.
    pub(in crate::cache) fn caught_up(&self, since: Duration) {
        self.caught_up_ms.store(millis(since), Ordering::Relaxed);
    }

    fn has_caught_up_since(&self, moment: Duration) -> bool {
        self.caught_up_ms.load(Ordering::Relaxed) > millis(moment)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Keeps slots that changed hands together from use, until every host has left the node before.
#[derive(Debug)]
pub(in crate::cache) struct Fence {
    began: Duration,
    lifted: AtomicBool,
}

impl Fence {
    fn is_lifted(&self) -> bool {
        self.lifted.load(Ordering::Acquire)
    }

    fn is_over(&self, now: Duration) -> bool {
        now >= self.began + Nodes::FENCE
    }
}

/// The nodes, the slots that each has, and the fences of slots that changed hands.
#[derive(Default)]
pub(in crate::cache) struct NodeTable {
    map: Arc<SlotMap>,
    nodes: Vec<Arc<Node>>,
    ranges: Vec<Vec<RangeId>>,
    /// What stands for the slots of each node; 0 for a node without slots.
    marks: Vec<Epoch>,
    /// For each slot the node that had it last, also while no node is confirmed as its owner.
    last: Vec<Option<NodeNumber>>,
    fences: HashMap<HashSlot, Arc<Fence>>,
    has_moved: bool,
}

impl NodeTable {
    pub(in crate::cache) fn map(&self) -> &Arc<SlotMap> {
        &self.map
    }

    pub(in crate::cache) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// The nodes that have slots at present; others are kept for a while, in case they come back.
    pub(in crate::cache) fn owners(&self) -> impl Iterator<Item = &Arc<Node>> {
        let with_marks = self.nodes.iter().zip(&self.marks);
        with_marks.filter(|(_, mark)| **mark != Epoch(0)).map(|(node, _)| node)
    }

    pub(in crate::cache) fn owner(&self, slot: HashSlot) -> Option<&Arc<Node>> {
        self.nodes.get(self.map.owner(slot)?)
    }

    /// The node that has a slot, or had it last; also if it is gone.
    pub(in crate::cache) fn last_owner(&self, slot: HashSlot) -> Option<NodeNumber> {
        let at = if self.last.len() == 1 { 0 } else { usize::from(slot.number()) };
        self.last.get(at).copied().flatten()
    }

    /// The ranges that a node keeps.
    pub(in crate::cache) fn ranges_of(&self, node: NodeNumber) -> &[RangeId] {
        let at = self.nodes.iter().position(|known| known.number == node);
        at.and_then(|at| self.ranges.get(at)).map_or(&[], Vec::as_slice)
    }

    /// Whether a slot changed hands with this table.
    pub(super) fn has_moved(&self) -> bool {
        self.has_moved
    }

    pub(in crate::cache) fn is_fenced(&self, slot: HashSlot) -> bool {
        // Most of the time nothing is fenced, and a hit passes here.
        !self.fences.is_empty() && self.fences.get(&slot).is_some_and(|fence| !fence.is_lifted())
    }

    /// Whether a removal from a fenced slot counts, because the fence is about to be lifted.
    pub(in crate::cache) fn is_fence_over(&self, slot: HashSlot, now: Duration) -> bool {
        self.fences.get(&slot).is_none_or(|fence| fence.is_over(now))
    }

    /// The fences that are over, where the host knows what it must know of the slots' nodes since.
    pub(in crate::cache) fn fences_to_lift(&self, now: Duration) -> Vec<FenceToLift> {
        let is_due = |(slot, fence): &(&HashSlot, &Arc<Fence>)| {
            let is_learned =
                self.owner(**slot).is_some_and(|node| node.has_caught_up_since(fence.began));
            !fence.is_lifted() && fence.is_over(now) && is_learned
        };
        // Slots that changed hands together share a fence; it is lifted when the last of them may be used.
        let (due, others): (Vec<_>, Vec<_>) = self.fences.iter().partition(is_due);
        let is_whole =
            |fence: &Arc<Fence>| !others.iter().any(|(_, other)| Arc::ptr_eq(other, fence));
        let mut whole: Vec<FenceToLift> = Vec::new();
        for (_, fence) in due {
            let is_new = !whole.iter().any(|known| Arc::ptr_eq(&known.0, fence));
            if is_new && is_whole(fence) {
                whole.push(FenceToLift(Arc::clone(fence)));
            }
        }
        whole
    }

    /// What stands for a node's epoch together with its slots; `None` while one of them is fenced.
    pub(in crate::cache) fn mark_of(
        &self,
        node: NodeNumber,
        epoch: Epoch,
        layout: Layout,
    ) -> Option<Epoch> {
        if layout == Layout::Single {
            return Some(epoch);
        }
        let is_its_own = |slot| self.owner(slot).is_some_and(|owner| owner.number == node);
        if self.fences.keys().any(|slot| is_its_own(*slot) && self.is_fenced(*slot)) {
            return None;
        }
        let at = self.nodes.iter().position(|known| known.number == node)?;
        Some(epoch.with(*self.marks.get(at)?))
    }

    /// The table of the next map. A slot whose node is not the one that had it last is fenced from now on,
    /// but for the first map: there each node's own fence stands for its slots.
    pub(super) fn next(
        &self,
        map: Arc<SlotMap>,
        nodes: Vec<Arc<Node>>,
        layout: Layout,
        now: Duration,
    ) -> Self {
        let fence = Arc::new(Fence { began: now, lifted: AtomicBool::new(false) });
        let mut last = vec![None; map.owners.len().max(self.last.len())];
        let mut fences: HashMap<HashSlot, Arc<Fence>> = HashMap::new();
        let (mut has_moved, is_first) = (false, self.last.is_empty());
        let mut marks = vec![Epoch(0); nodes.len()];
        for (at, last) in last.iter_mut().enumerate() {
            let owner = map.owners.get(at).copied().flatten();
            let number = owner.and_then(|owner| nodes.get(usize::from(owner))).map(|n| n.number);
            let before = self.last.get(at).copied().flatten();
            *last = number.or(before);
            let slot = u16::try_from(at).ok().and_then(HashSlot::try_new);
            let Some((number, slot)) = number.zip(slot) else { continue };
            if let Some(mark) = owner.and_then(|owner| marks.get_mut(usize::from(owner))) {
                *mark = mark.with(Epoch(slot.number().into()));
            }
            if !is_first && before != Some(number) {
                has_moved = true;
                fences.insert(slot, Arc::clone(&fence));
            } else if let Some(fence) = self.fences.get(&slot).filter(|fence| !fence.is_lifted()) {
                fences.insert(slot, Arc::clone(fence));
            }
        }
        let ranges = (0..nodes.len()).map(|node| map.ranges_of(layout, node)).collect();
        Self { map, nodes, ranges, marks, last, fences, has_moved }
    }
}

/// A fence whose time is over.
pub(in crate::cache) struct FenceToLift(Arc<Fence>);

impl FenceToLift {
    pub(in crate::cache) fn lift(&self) {
        self.0.lifted.store(true, Ordering::Release);
    }
}
