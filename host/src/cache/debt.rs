//! What must still be removed from nodes before they are trusted: one set.
//!
//! Writes, doubts, outages and the intents of lost hosts fill the set; a node is trusted once nothing that
//! concerns it is owed (race H). The set holds targets: a hot row that is written ten thousand times during an
//! outage is one entry.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::nodes::NodeNumber;
use crate::observe::Metrics;
use crate::store::IntentTarget;

/// The largest number of targets, about 200 bytes each. A write that would pass the limit is refused before
/// it runs: an invalidation that can't be remembered must not be promised.
const LIMIT: usize = 500_000;

/// Where a removal did not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Creditors {
    /// Any node may have what has to be removed.
    pub(super) everyone: bool,
    /// These nodes have it.
    pub(super) nodes: BTreeSet<NodeNumber>,
    /// It lies in slots that are fenced.
    pub(super) fenced: bool,
}

impl Creditors {
    pub(super) fn add(&mut self, other: Self) {
        self.everyone |= other.everyone;
        self.fenced |= other.fenced;
        self.nodes.extend(other.nodes);
    }

    fn is_of(&self, payer: Payer) -> bool {
        match payer {
            Payer::Node(node) => self.everyone || self.nodes.contains(&node),
            Payer::Fences => self.everyone || self.fenced,
        }
    }
}

/// What can't be used before its debts are paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payer {
    /// A node.
    Node(NodeNumber),
    /// The slots whose fences are over.
    Fences,
}

/// The targets that are owed.
pub(super) struct Debt {
    owed: Mutex<Owed>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Owed {
    targets: BTreeMap<IntentTarget, OwedEntry>,
    additions: u64,
    /// Every value of the deployment is owed.
    everything: Option<OwedEntry>,
}

#[derive(Clone)]
struct OwedEntry {
    /// The number of the last addition: what is added again while it is paid is still owed.
    addition: u64,
    concern: Creditors,
}

impl Owed {
    fn is_clear(&self, payer: Payer) -> bool {
        let mut owed = self.targets.values().chain(&self.everything);
        !owed.any(|owed| owed.concern.is_of(payer))
    }

    fn entry(&mut self, concern: &Creditors) -> OwedEntry {
        self.additions += 1;
        OwedEntry { addition: self.additions, concern: concern.clone() }
    }
}

/// A part of a debt that is being paid.
#[derive(Clone)]
pub(super) struct Part {
    targets: Vec<(IntentTarget, u64)>,
    everything: Option<u64>,
}

impl Part {
    /// Whether every value of the deployment has to be removed.
    pub(super) fn is_everything(&self) -> bool {
        self.everything.is_some()
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = &IntentTarget> {
        self.targets.iter().map(|(target, _)| target)
    }
}

impl Debt {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { owed: Mutex::default(), metrics }
    }

    /// How many targets are owed.
    pub(super) fn len(&self) -> usize {
        let owed = self.lock();
        owed.targets.len() + usize::from(owed.everything.is_some())
    }

    /// Whether `more` targets may still be promised.
    pub(super) fn has_room_for(&self, more: usize) -> bool {
        self.lock().targets.len() + more <= LIMIT
    }

    /// Adds targets to the debt.
    pub(super) fn add(&self, targets: impl IntoIterator<Item = IntentTarget>, concern: &Creditors) {
        let mut owed = self.lock();
        for target in targets {
            let mut entry = owed.entry(concern);
            let kind = match &target {
                IntentTarget::Read { .. } | IntentTarget::Key(_) => "key",
                IntentTarget::Tag(_) => "tag",
            };
            self.metrics.invalidations(kind, "pending", 1);
            if let Some(known) = owed.targets.get(&target) {
                entry.concern.add(known.concern.clone());
            }
            owed.targets.insert(target, entry);
        }
        self.count(&owed);
    }

    /// Adds every value of the deployment to the debt.
    pub(super) fn add_everything(&self, concern: &Creditors) {
        let mut owed = self.lock();
        let mut entry = owed.entry(concern);
        if let Some(known) = &owed.everything {
            entry.concern.add(known.concern.clone());
        }
        owed.everything = Some(entry);
    }

    /// A node is gone. What concerns it is paid before a slot that it had is used on another node.
    pub(super) fn is_gone(&self, node: NodeNumber) {
        let mut owed = self.lock();
        let Owed { targets, everything, .. } = &mut *owed;
        for OwedEntry { concern, .. } in targets.values_mut().chain(everything) {
            concern.fenced |= concern.nodes.remove(&node);
        }
    }

    /// The next part for a payer, at most so many targets after those of `last`; `None` if there is none.
    pub(super) fn part(&self, payer: Payer, at_most: usize, last: Option<&Part>) -> Option<Part> {
        let owed = self.lock();
        let from = last.and_then(|part| part.targets.last());
        let from = from.map_or(Bound::Unbounded, |(target, _)| Bound::Excluded(target));
        let is_its_own = |(_, owed): &(&IntentTarget, &OwedEntry)| owed.concern.is_of(payer);
        let targets = owed.targets.range((from, Bound::Unbounded)).filter(is_its_own);
        let targets = targets.take(at_most).map(|(target, owed)| (target.clone(), owed.addition));
        let targets: Vec<_> = targets.collect();
        let everything = owed.everything.as_ref().filter(|all| all.concern.is_of(payer));
        let everything = everything.filter(|_| last.is_none()).map(|all| all.addition);
        (!targets.is_empty() || everything.is_some()).then_some(Part { targets, everything })
    }

    /// Removes a part that was paid. A target that was added again meanwhile is still owed.
    pub(super) fn paid(&self, part: &Part) {
        let mut owed = self.lock();
        for (target, addition) in &part.targets {
            if owed.targets.get(target).is_some_and(|owed| owed.addition == *addition) {
                owed.targets.remove(target);
            }
        }
        if owed.everything.as_ref().map(|all| all.addition) == part.everything {
            owed.everything = None;
        }
        self.count(&owed);
    }

    /// Notes where a part could not be paid. A target that was added again meanwhile concerns these nodes too.
    pub(super) fn unpaid(&self, part: &Part, concern: &Creditors) {
        let mut owed = self.lock();
        let note = |owed: &mut OwedEntry, addition: u64| {
            if owed.addition == addition {
                owed.concern = concern.clone();
            } else {
                owed.concern.add(concern.clone());
            }
        };
        for (target, addition) in &part.targets {
            if let Some(owed) = owed.targets.get_mut(target) {
                note(owed, *addition);
            }
        }
        if let Some((all, addition)) = owed.everything.as_mut().zip(part.everything) {
            note(all, addition);
        }
    }

    /// Runs `when_clear` if nothing is owed that concerns the payer, and says whether it did. Nothing can be
    /// added while it runs.
    pub(super) fn if_clear(&self, payer: Payer, when_clear: impl FnOnce()) -> bool {
        let owed = self.lock();
        let is_clear = owed.is_clear(payer);
        if is_clear {
            when_clear();
        }
        is_clear
    }

    fn count(&self, owed: &Owed) {
        self.metrics.pending_invalidations.set(owed.targets.len() as u64);
    }

    fn lock(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
