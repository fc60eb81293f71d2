//! The tags of a flight's value, and the indexes in which its name stands.

use std::collections::BTreeSet;

use tokio::task::yield_now;

use super::super::answer::Why;
use super::super::load::Loaded;
use super::Flight;
use crate::policy::run::guard;
use crate::policy::{Decider as _, ROW_LIMIT, Row, batches};
use crate::store::{Indexed, StoreError, StoreTag};

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

    /// Writes the name into the index of each tag, with an expiry later than that of any value
    /// filled from here.
    pub(super) async fn index(&self, tags: &[StoreTag]) -> Result<Indexed, StoreError> {
        if tags.is_empty() {
            return Ok(Indexed { now_ms: 0, marks: Vec::new() });
        }
        let kept = self.bounds.kept_at_most + self.read.entity().load_limit;
        let kept_ms = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX >> 1);
        let until_ms = self.cache.now_ms() + kept_ms;
        let name = &self.place().name;
        self.cache.trust.ask(|store| store.index(name, tags, until_ms)).await
    }
}

/// The bytes of a row as a policy is told of it.
fn size(row: &Row) -> usize {
    row.iter().map(|text| text.as_ref().map_or(0, String::len)).sum()
}
