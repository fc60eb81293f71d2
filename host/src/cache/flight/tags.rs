//! The tags of a flight's value, and the indexes in which its name stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::task::yield_now;

use super::super::answer::Why;
use super::super::load::Loaded;
use super::super::nodes::{Grants, Node, NodeNumber};
use super::super::trust::Grant;
use super::Flight;
use super::state::TagEpochs;
use crate::policy::run::guard;
use crate::policy::{Decider as _, ROW_LIMIT, Row, batches};
use crate::store::{Epoch, Indexed, Mark, StoreError, StoreTag};

impl Flight {
    /// The tags that depend on the loaded rows, or why they can't be known and the value must not
    /// be stored.
    pub(super) async fn row_tags(&self, loaded: &Loaded) -> Result<Vec<StoreTag>, Why> {
        if self.plan.row_columns.is_empty() || loaded.body.is_none() {
            return Ok(Vec::new());
        }
        let entity = &self.read.entity().name;
        let rows = loaded.rows.as_ref().map_err(|column| {
            self.cache.failings.untaggable(entity, column);
            Why::Untaggable
        })?;
        if rows.iter().any(|row| size(row) > ROW_LIMIT) {
            self.cache.failings.untaggable(entity, &self.plan.row_columns.join(", "));
            return Err(Why::Untaggable);
        }
        let mut tags = BTreeSet::new();
        for (nth, batch) in batches(rows, size).enumerate() {
            if nth > 0 {
                // Other tasks have their turn between two calls.
                yield_now().await;
            }
            tags.extend(self.tags_of(batch).ok_or(Why::FillRejected)?);
            if tags.len() > guard::TAGS_LIMIT {
                self.cache.failings.too_many_tags(entity);
                return Err(Why::TooManyTags);
            }
        }
        Ok(tags.into_iter().collect())
    }

    /// The tags of some rows; `None` if the policy trapped, refused or gave illegal tags.
    fn tags_of(&self, rows: &[Row]) -> Option<Vec<StoreTag>> {
        let tags = self.generation.row_tags(&self.read.request(), rows).ok()?.ok()?;
        let tags = guard::row_tags(tags.len(), rows.len())
            .and_then(|()| tags.iter().map(|tag| guard::tag(tag)).collect());
        tags.inspect_err(|illegal| self.generation.refused(illegal)).ok()
    }

    /// Writes the name into the index of each tag, on the tags' nodes at once, with an expiry later than that
    /// of any value filled from here.
    pub(super) async fn index(&self, tags: &[StoreTag]) -> Result<TagsIndexed, StoreError> {
        let nodes = &self.cache.nodes;
        let kept = self.bounds.kept_at_most + self.read.entity().load_limit;
        let kept_ms = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX >> 1);
        let name = &self.place().name;
        let table = nodes.table();
        let mut by_node: BTreeMap<NodeNumber, (&Arc<Node>, Vec<StoreTag>)> = BTreeMap::new();
        for tag in tags {
            let node = table.owner(tag.slot()).ok_or(StoreError::Distrusted)?;
            by_node.entry(node.number).or_insert((node, Vec::new())).1.push(tag.clone());
        }
        let indexing = by_node.into_values().map(|(node, tags)| async move {
            let until_ms = node.trust.store().now_ms() + kept_ms;
            let asked = node.trust.ask(|store| store.index(name, &tags, until_ms)).await;
            let (indexed, epoch) = asked.inspect_err(|error| nodes.note(error))?;
            // Looked at after the answer: a slot may have changed hands meanwhile.
            let slots = nodes.tag_slots(tags.iter().map(StoreTag::slot));
            let at = |slot| nodes.slot_epoch(slot, node, epoch).map(|epoch| (slot, epoch));
            let epochs = slots.into_iter().map(at).collect::<Option<_>>();
            let epochs = epochs.ok_or(StoreError::Distrusted)?;
            Ok(NodeIndexed { node: node.number, epoch, indexed, epochs })
        });
        Ok(TagsIndexed(try_join_all(indexing).await?))
    }
}

/// Index writes, node by node.
pub(super) struct TagsIndexed(Vec<NodeIndexed>);

struct NodeIndexed {
    node: NodeNumber,
    /// The node's own epoch.
    epoch: Epoch,
    indexed: Indexed,
    epochs: TagEpochs,
}

/// What the marks of tags tell of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MarkAge {
    /// The load began after every invalidation that set a mark.
    Old,
    /// A tag may have been invalidated during the load.
    New,
    /// Nothing: a node's marks may be lost, or its clock went back since the load began.
    Unknown,
}

impl TagsIndexed {
    /// The epochs of the tags' slots.
    pub(super) fn epochs(&self) -> TagEpochs {
        self.0.iter().flat_map(|of_node| of_node.epochs.clone()).collect()
    }

    /// What the marks tell of a load that began when this was granted; `since` is a time that a node's clock
    /// showed before the load.
    pub(super) fn age(
        &self,
        granted: &Grants,
        since: impl Fn(NodeNumber, Grant) -> u64,
    ) -> MarkAge {
        let age = |of_node: &NodeIndexed| {
            let grant = granted.of(of_node.node).filter(|grant| grant.epoch == of_node.epoch);
            let Some(grant) = grant else { return MarkAge::Unknown };
            let since_ms = since(of_node.node, grant);
            let is_old = |mark: &Mark| mark.epoch == grant.epoch && mark.at_ms < since_ms;
            match &of_node.indexed {
                // The times of marks can't be compared.
                indexed if indexed.now_ms < since_ms => MarkAge::Unknown,
                indexed if indexed.marks.iter().all(is_old) => MarkAge::Old,
                _newer_marks => MarkAge::New,
            }
        };
        self.0.iter().map(age).max().unwrap_or(MarkAge::Old)
    }
}

/// The bytes of a row as a policy is told of it.
fn size(row: &Row) -> usize {
    row.iter().map(|text| text.as_ref().map_or(0, String::len)).sum()
}
