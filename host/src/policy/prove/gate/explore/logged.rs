//! Generated changes, such as the database's log could tell.

use std::collections::BTreeSet;

use super::super::Conditions;
use crate::policy::{Column, ColumnValue, Logged, Operation, RowChange};

/// A relation that no entity depends on.
const UNKNOWN: &str = "public.unknown";

/// The values that a column takes in turn.
const VALUES: [&str; 3] = ["42", "", "a b{c}"];

/// Every operation on each relation that an entity depends on and on one that no entity depends on,
/// with columns that are known, null and unknown.
pub(super) fn logged(conditions: &Conditions) -> Vec<Logged> {
    let named = conditions.entities().iter().flat_map(|entity| &entity.depends);
    let relations: BTreeSet<&str> = named.map(String::as_str).chain([UNKNOWN]).collect();
    relations.into_iter().flat_map(of_relation).collect()
}

fn of_relation(relation: &str) -> Vec<Logged> {
    let mut changes = Vec::new();
    let mut tell = |operation, rows| {
        changes.push(Logged { relation: relation.to_owned(), operation, rows });
    };
    for value in values() {
        let (old, new) = (row(ColumnValue::Unknown), row(value));
        let change = |before: &[Column], after: &[Column]| {
            vec![RowChange { before: before.to_vec(), after: after.to_vec() }]
        };
        tell(Operation::Inserted, change(&[], &new));
        tell(Operation::Updated, change(&old, &new));
        tell(Operation::Deleted, change(&new, &[]));
    }
    tell(Operation::Truncated, Vec::new());
    changes
}

fn values() -> impl Iterator<Item = ColumnValue> {
    let texts = VALUES.iter().map(|value| ColumnValue::Text((*value).to_owned()));
    texts.chain([ColumnValue::Null, ColumnValue::Unknown])
}

fn row(value: ColumnValue) -> Vec<Column> {
    let id = Column { name: "id".to_owned(), value: ColumnValue::Text("7".to_owned()) };
    vec![id, Column { name: "name".to_owned(), value }]
}
