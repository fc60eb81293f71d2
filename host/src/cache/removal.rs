//! Removals: what an invalidation removes, each part from the node that has it, all at once.
//!
//! Parts fail apart: a node that is gone takes no part of a removal from the others, and only it is not
//! trusted before the removal is repeated.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::time::sleep;

use super::Cache;
use super::debt::Creditors;
use super::namings::InvalidationNames;
use super::nodes::{Node, NodeNumber};
use super::stamps::LEARNED_WITHIN;
use crate::store::{
    Epoch, FloorScope, HashSlot, IntentTarget, Marking, Name, Over, Removed, Remover, StoreError,
    StoreTag,
};

/// The shortest life of a mark. It lives for twice the longest deadline that a host has published, if that is
/// longer.
const MARK_AT_LEAST: Duration = Duration::from_secs(10);

/// Whose answers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    /// Those of trusted nodes.
    Trusted,
    /// Those of nodes that nothing but debts keeps from being trusted.
    Paying,
}

/// A removal that did not count everywhere.
#[derive(Debug)]
pub(super) struct Incomplete {
    pub(super) concern: Creditors,
    pub(super) error: StoreError,
}

/// One removal under way, and how far it has come.
struct Removal<'c> {
    cache: &'c Cache,
    counting: Counting,
    removed: AtomicU64,
    incomplete: Mutex<Option<Incomplete>>,
}

impl Cache {
    /// Removes what became untrue, under trust; returns how many names had something to remove. It is repeated
    /// while the ranges change: a naming that this host learns of meanwhile may already be filled by others.
    pub(super) async fn remove_all(&self, targets: &[IntentTarget]) -> Result<u64, Incomplete> {
        let (mut removed, mut sent) = (0, InvalidationNames::default());
        loop {
            let namings = self.stamps.namings();
            let names = self.namer().names(targets);
            removed += self.remove(&names.beyond(&sent), Counting::Trusted).await?;
            if Arc::ptr_eq(&namings, &self.stamps.namings()) {
                return Ok(removed);
            }
            sent = names;
        }
    }

    /// Removes names, walks tags and raises floors; returns once every host has learned what it has to.
    pub(super) async fn remove(
        &self,
        names: &InvalidationNames,
        counting: Counting,
    ) -> Result<u64, Incomplete> {
        let removal = Removal::new(self, counting);
        removal.run(names).await;
        let Removal { removed, incomplete, .. } = removal;
        if let Some(incomplete) = incomplete.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(incomplete);
        }
        // A payment waits once for all of its parts.
        let learning = self.learning(names);
        if counting == Counting::Trusted && !learning.is_zero() {
            sleep(learning).await;
        }
        Ok(removed.into_inner())
    }

    /// How long to wait until every host has learned what these names rest on: a raised floor, or a range
    /// that was emptied. A host that has not read it by then does not trust the node any more.
    pub(super) fn learning(&self, names: &InvalidationNames) -> Duration {
        match names.scopes.is_empty() {
            true => self.stamps.incomplete_for(self.clock.now()),
            false => LEARNED_WITHIN,
        }
    }

    fn marking(&self, epoch: Epoch) -> Marking {
        let lasts = (self.stamps.longest_deadline() * 2).max(MARK_AT_LEAST);
        Marking { lasts, epoch }
    }

    fn count_removals(&self, kind: &'static str, count: usize, is_done: bool) {
        if count > 0 {
            let label = if is_done { "done" } else { "failed" };
            self.metrics.invalidations(kind, label, count as u64);
        }
    }
}

impl<'c> Removal<'c> {
    fn new(cache: &'c Cache, counting: Counting) -> Self {
        Self { cache, counting, removed: AtomicU64::new(0), incomplete: Mutex::default() }
    }

    async fn run(&self, names: &InvalidationNames) {
        let tags = self.by_node(&names.tags, StoreTag::slot);
        let walks = tags.values().map(|(node, tags)| self.walk_at(node, tags));
        let removing = async {
            if !names.names.is_empty() {
                let removed = self.remove_names(&names.names).await;
                let done = removed.iter().filter(|removed| **removed).count();
                self.cache.count_removals("key", done, true);
                self.cache.count_removals("key", removed.len() - done, false);
            }
        };
        tokio::join!(removing, join_all(walks), self.raise(&names.scopes));
    }

    /// Divides what is removed by the nodes that have its slots. What lies in a slot that no node has is not
    /// removed.
    fn by_node<T: Clone>(
        &self,
        all: &[T],
        slot: impl Fn(&T) -> HashSlot,
    ) -> BTreeMap<NodeNumber, (Arc<Node>, Vec<T>)> {
        let table = self.cache.nodes.table();
        let mut by_node = BTreeMap::new();
        for one in all {
            match table.owner(slot(one)) {
                Some(node) => {
                    let of_node = by_node.entry(node.number);
                    let (_, of_node) = of_node.or_insert_with(|| (Arc::clone(node), Vec::new()));
                    of_node.push(one.clone());
                }
                None => self.note_ownerless(slot(one)),
            }
        }
        by_node
    }

    /// Removes names; says of each whether that counts.
    async fn remove_names(&self, names: &[Name]) -> Vec<bool> {
        let by_node = self.by_node(names, Name::slot);
        let removing = by_node
            .values()
            .map(|(node, names)| async move { (self.remove_at(node, names).await, names) });
        let mut gone: Vec<&Name> = Vec::with_capacity(names.len());
        let removed = join_all(removing).await;
        for (is_removed, names) in &removed {
            gone.extend(names.iter().filter(|name| *is_removed && !self.is_fenced(name.slot())));
        }
        if gone.len() == names.len() {
            return vec![true; names.len()];
        }
        gone.sort_unstable();
        names.iter().map(|name| gone.binary_search(&name).is_ok()).collect()
    }

    async fn remove_at(&self, node: &Arc<Node>, names: &[Name]) -> bool {
        let asked = self.ask(node, async |_epoch| node.trust.store().remove(names).await).await;
        if let Some(Removed { names }) = asked {
            self.removed.fetch_add(names, Ordering::Relaxed);
        }
        asked.is_some()
    }

    async fn walk_at(&self, node: &Arc<Node>, tags: &[StoreTag]) {
        let walk = async |epoch| {
            let marking = self.cache.marking(epoch);
            node.trust.store().walk(tags, marking, self).await
        };
        let walked = self.ask(node, walk).await;
        let counts = tags.iter().filter(|tag| !self.is_fenced(tag.slot())).count();
        let done = if walked.is_some() { counts } else { 0 };
        self.cache.count_removals("tag", done, true);
        self.cache.count_removals("tag", tags.len() - done, false);
    }

    /// Raises floors in every range.
    async fn raise(&self, scopes: &[FloorScope]) {
        if scopes.is_empty() {
            return;
        }
        let layout = self.cache.nodes.layout();
        let ranges: Vec<_> = layout.ranges().collect();
        let by_node = self.by_node(&ranges, |range| layout.anchor_slot(*range));
        let raising = by_node.values().map(|(node, ranges)| async move {
            self.ask(node, async |_epoch| node.trust.store().raise(ranges, scopes).await).await;
            // A floor in a fenced slot is raised once more when the fence is lifted.
            ranges.iter().for_each(|range| _ = self.is_fenced(layout.anchor_slot(*range)));
        });
        join_all(raising).await;
    }

    /// Whether a removal from this slot does not count because the slot is fenced; then it is noted as such.
    fn is_fenced(&self, slot: HashSlot) -> bool {
        let table = self.cache.nodes.table();
        let may_pay = || {
            let is_over = table.is_fence_over(slot, self.cache.clock.now());
            self.counting == Counting::Paying && is_over
        };
        let is_fenced = table.is_fenced(slot) && !may_pay();
        if is_fenced {
            self.note(Creditors { fenced: true, ..Creditors::default() }, StoreError::Moved);
        }
        is_fenced
    }

    /// The answer of a node, if it counts.
    async fn ask<T>(
        &self,
        node: &Arc<Node>,
        call: impl AsyncFnOnce(Epoch) -> Result<Over<T>, StoreError>,
    ) -> Option<T> {
        let asked = match self.counting {
            Counting::Trusted => match node.trust.grant() {
                Some(grant) => {
                    let asked = node.trust.ask(|_store| call(grant.epoch)).await;
                    asked.map(|(answer, _epoch)| answer)
                }
                None => Err(StoreError::Distrusted),
            },
            Counting::Paying => self.ask_in_payment(node, call).await,
        };
        asked
            .inspect_err(|error| {
                self.cache.nodes.note(error);
                let nodes = [node.number].into();
                self.note(Creditors { nodes, ..Creditors::default() }, error.clone());
            })
            .ok()
    }

    async fn ask_in_payment<T>(
        &self,
        node: &Arc<Node>,
        call: impl AsyncFnOnce(Epoch) -> Result<Over<T>, StoreError>,
    ) -> Result<T, StoreError> {
        let epoch = node.trust.payable().ok_or(StoreError::Distrusted)?;
        let Over { link, answer } = call(epoch).await?;
        if node.trust.counts_as_paid(link) {
            return Ok(answer);
        }
        // A host that was frozen in between may have paid a node that another one has replaced (race O).
        Err(StoreError::Unavailable("it answered too late after its beat".to_owned()))
    }

    fn note_ownerless(&self, slot: HashSlot) {
        let last = self.cache.nodes.table().last_owner(slot);
        let concern =
            Creditors { everyone: last.is_none(), nodes: last.into_iter().collect(), fenced: true };
        self.note(concern, StoreError::Unavailable("no node is known to have the slot".to_owned()));
    }

    fn note(&self, concern: Creditors, error: StoreError) {
        let mut incomplete = self.incomplete.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *incomplete {
            Some(known) => known.concern.add(concern),
            None => *incomplete = Some(Incomplete { concern, error }),
        }
    }
}

#[async_trait]
impl Remover for Removal<'_> {
    async fn remove_members(&self, names: &[Name]) -> Vec<bool> {
        self.remove_names(names).await
    }
}
