//! Tags of a value that is about to be stored.

use std::time::Duration;

use serde_json::Value;

use crate::policy::{Generation, Named, Policy, Row, guard};
use crate::store::{Indexed, Key, StoreError, Tag};

use super::Read;
use super::load::Loaded;
use super::trust::TrustedStore;

/// Writes `key` into the index of each tag, until long after it is gone. True: one of the tags was
/// invalidated a short while ago.
pub(super) async fn index(
    store: &TrustedStore,
    key: &Key,
    tags: &[Tag],
    kept: Duration,
) -> Result<bool, StoreError> {
    let until_ms = store.now_ms() + u64::try_from(kept.as_millis()).unwrap_or(u64::MAX >> 1);
    let mut marked = false;
    for tag in tags {
        marked |= store.index(tag, key, until_ms).await? == Indexed::Marked;
    }
    Ok(marked)
}

/// The tags that depend on the loaded rows. None: they can't be known, so the value must not be
/// stored.
pub(super) fn of_rows(
    generation: &Generation,
    read: &Read,
    plan: &Named,
    loaded: &Loaded,
) -> Option<Vec<Tag>> {
    if plan.row_columns.is_empty() {
        return Some(Vec::new());
    }
    let Some(body) = &loaded.body else {
        return Some(Vec::new());
    };
    let rows = match serde_json::from_slice(body).ok()? {
        Value::Array(rows) => rows,
        row @ (Value::Object(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)) => vec![row],
    };
    let rows: Vec<Row> = rows.iter().map(|row| columns(row, &plan.row_columns)).collect();
    let tags = generation.row_tags(&read.request(), &rows).ok()?.ok()?;
    guard::tags(&tags).inspect_err(|illegal| generation.refused(illegal)).ok()
}

fn columns(row: &Value, names: &[String]) -> Row {
    names.iter().map(|name| row.get(name).and_then(as_text)).collect()
}

/// A column as the policy sees it: texts as they are, null as none, the rest as JSON text.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Some(value.to_string())
        }
    }
}
