//! What changed, and what that makes untrue.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Argument, Request, Way};
use crate::{Key, Tag};

/// A column's value, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnValue {
    /// The value is not known: a statement did not return it, or the log does not carry it.
    Unknown,
    /// SQL's null.
    Null,
    /// The value's canonical text.
    Text(String),
}

/// A column of a row that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// Its value.
    pub value: ColumnValue,
}

/// A row before and after a change. A column that a list lacks is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// The row as it was. Empty if nothing of it is known, or if the row is new.
    pub before: Vec<Column>,
    /// The row as it is. Empty if nothing of it is known, or if the row is gone.
    pub after: Vec<Column>,
}

/// A write of the configuration that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The entity whose write it is.
    pub entity: String,
    /// The write's name.
    pub write: String,
    /// The write's arguments, in any order.
    pub arguments: Vec<Argument>,
    /// Rows that the statement returned; at most 64, since a write that returned many is told in
    /// parts.
    pub rows: Vec<RowChange>,
}

/// What happened to rows of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// They are new.
    Inserted,
    /// They have other values.
    Updated,
    /// They are gone.
    Deleted,
    /// All of them are gone at once; the change has no rows.
    Truncated,
}

/// A change that the database's log tells of. Only a host with a feed, which reads that log, sends
/// such changes while it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The relation, with its schema: `public.users`.
    pub relation: String,
    /// What happened.
    pub operation: Operation,
    /// The rows that it happened to.
    pub rows: Vec<RowChange>,
}

/// What happened. A host without a feed sends [`Change::Written`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A write of the configuration.
    Written(Written),
    /// Rows changed, as the database's log tells.
    Logged(Logged),
}

/// What a change makes untrue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One key. Other policies may answer with one; this policy names reads instead.
    Key(Key),
    /// Every key that carries this tag.
    Tag(Tag),
    /// The key of this read.
    Read(Request),
}

/// What shall go, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// What.
    pub scope: Scope,
    /// How.
    pub way: Way,
}
