//! What a read uses and what a write changes, as the database itself sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A table. A partition, or a table that inherits, counts as the table at the top of its tree: a
/// change of one may be a change of what is read through the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
pub struct Table {
    /// The schema; `main` in SQLite.
    pub schema: String,
    /// Its name there.
    pub name: String,
}

/// The columns of a table that a statement touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// Every column, or it can't be told which.
    All,
    /// These; empty where only the rows themselves count (`SELECT count(*)`).
    Some(BTreeSet<String>),
}

/// How a read uses a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableUsage {
    /// The columns that its answer may depend on.
    pub columns: Columns,
    /// Whether row-level security decides which rows this role sees: another role may be answered
    /// otherwise.
    pub row_security: bool,
}

/// What a read uses, through views down to tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Each table that it uses.
    pub tables: BTreeMap<Table, TableUsage>,
    /// What else it may use.
    pub unseen: Vec<Unseen>,
}

/// How the rows of a table change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableChange {
    /// Rows may appear.
    pub inserts: bool,
    /// Rows may disappear.
    pub deletes: bool,
    /// The columns that may get other values. Those that a trigger changes are not among them.
    pub updates: Columns,
    /// What changes the table.
    pub cause: ChangedBy,
}

/// What changes a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangedBy {
    /// The statement itself.
    Statement,
    /// A foreign key, which deletes or updates the rows that refer to a changed one. Holds its
    /// name; `None` if the database does not tell it.
    ForeignKey(Option<String>),
    /// A trigger whose program the database shows. Holds its name.
    Trigger(String),
}

/// What a write changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Each table that it changes.
    pub tables: BTreeMap<Table, TableChange>,
    /// What else it may change.
    pub unseen: Vec<Unseen>,
}

/// What the database does not tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unseen {
    /// A trigger on a changed table may change anything.
    Trigger {
        /// The table that it is on.
        table: Table,
        /// Its name.
        name: String,
    },
    /// A rule on a table that is changed by a foreign key may change anything.
    Rule {
        /// The table that it is on.
        table: Table,
        /// Its name.
        name: String,
    },
    /// A function may read anything and, in a write, change anything. The name has the types of its
    /// arguments.
    Function(String),
    /// The statement as a whole can't be analysed, for this reason.
    Statement(String),
}

impl Table {
    /// Whether a configuration means this table by `name`: its own name, alone or after its schema
    /// and a dot. Upper and lower case are the same here, as in most statements; at worst, a second
    /// table is meant as well.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        match name.split_once('.') {
            Some((schema, name)) => {
                self.schema.eq_ignore_ascii_case(schema) && self.name.eq_ignore_ascii_case(name)
            }
            None => self.name.eq_ignore_ascii_case(name),
        }
    }
}

impl Columns {
    #[cfg(feature = "sqlite")]
    pub(super) fn some(names: impl IntoIterator<Item = String>) -> Self {
        Self::Some(names.into_iter().collect())
    }

    pub(super) fn none() -> Self {
        Self::Some(BTreeSet::new())
    }

    /// Whether no column is among them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::All => false,
            Self::Some(columns) => columns.is_empty(),
        }
    }

    /// Whether at least one column is in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, other) | (other, Self::All) => !other.is_empty(),
            (Self::Some(these), Self::Some(those)) => !these.is_disjoint(those),
        }
    }

    /// Adds the columns of another set. True if at least one of them is new.
    pub(super) fn add(&mut self, other: &Self) -> bool {
        match (&mut *self, other) {
            (Self::All, Self::All | Self::Some(_)) => false,
            (Self::Some(_), Self::All) => {
                *self = Self::All;
                true
            }
            (Self::Some(these), Self::Some(those)) => {
                let before = these.len();
                these.extend(those.iter().cloned());
                these.len() > before
            }
        }
    }
}

impl TableChange {
    /// A change that does nothing yet.
    pub(super) fn nothing(cause: ChangedBy) -> Self {
        Self { inserts: false, deletes: false, updates: Columns::none(), cause }
    }

    /// Adds another change of the same table; the cause stays the first one's. True if something of
    /// it is new.
    pub(super) fn add(&mut self, other: &Self) -> bool {
        let is_new = (other.inserts && !self.inserts) || (other.deletes && !self.deletes);
        self.inserts |= other.inserts;
        self.deletes |= other.deletes;
        self.updates.add(&other.updates) | is_new
    }

    /// Whether a read that uses the table in this way may be answered otherwise after the change.
    /// Rows that appear or disappear concern every read of the table.
    #[must_use]
    pub fn concerns(&self, usage: &TableUsage) -> bool {
        self.inserts || self.deletes || self.updates.overlaps(&usage.columns)
    }
}

impl Footprint {
    /// Notes the use of some columns of a table.
    pub(super) fn add(&mut self, table: Table, columns: &Columns, row_security: bool) {
        let nothing = || TableUsage { columns: Columns::none(), row_security: false };
        let usage = self.tables.entry(table).or_insert_with(nothing);
        usage.columns.add(columns);
        usage.row_security |= row_security;
    }
}

impl Changes {
    /// Notes a change. True if something of it is new.
    pub(super) fn add(&mut self, table: Table, change: &TableChange) -> bool {
        let nothing = || TableChange::nothing(change.cause.clone());
        let is_new = !self.tables.contains_key(&table);
        self.tables.entry(table).or_insert_with(nothing).add(change) | is_new
    }
}

/// Leaves out the schema if it is the default one.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if ["public", "main"].contains(&self.schema.as_str()) {
            return f.write_str(&self.name);
        }
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trigger { table, name } => write!(f, "the trigger {name} on {table}"),
            Self::Rule { table, name } => write!(f, "the rule {name} on {table}"),
            Self::Function(name) => write!(f, "the function {name}"),
            Self::Statement(reason) => write!(f, "the statement ({reason})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_concerns_who_uses_one_of_its_columns() {
        let update =
            TableChange { updates: some(&["name"]), ..TableChange::nothing(ChangedBy::Statement) };
        assert!(update.concerns(&using(some(&["id", "name"]))));
        assert!(update.concerns(&using(Columns::All)));
        assert!(!update.concerns(&using(some(&["id", "email"]))));
        assert!(!update.concerns(&using(Columns::none())), "it counts rows");
        let unknown =
            TableChange { updates: Columns::All, ..TableChange::nothing(ChangedBy::Statement) };
        assert!(unknown.concerns(&using(some(&["id"]))));
        assert!(!unknown.concerns(&using(Columns::none())));
    }

    #[test]
    fn rows_that_come_or_go_concern_everybody() {
        let insert = TableChange { inserts: true, ..TableChange::nothing(ChangedBy::Statement) };
        let delete = TableChange { deletes: true, ..TableChange::nothing(ChangedBy::Statement) };
        for change in [insert, delete] {
            assert!(change.concerns(&using(Columns::none())));
        }
        assert!(!TableChange::nothing(ChangedBy::Statement).concerns(&using(Columns::All)));
    }

    #[test]
    fn what_was_known_already_is_not_new() {
        let table = Table { schema: "public".into(), name: "t".into() };
        let mut changes = Changes::default();
        let update =
            TableChange { updates: some(&["a"]), ..TableChange::nothing(ChangedBy::Statement) };
        assert!(changes.add(table.clone(), &update));
        assert!(!changes.add(table.clone(), &update));
        let wider = TableChange { updates: some(&["b"]), ..update };
        assert!(changes.add(table.clone(), &wider));
        assert!(
            changes.add(table.clone(), &TableChange { updates: Columns::All, ..wider.clone() })
        );
        assert!(!changes.add(table.clone(), &wider));
        assert!(changes.add(table, &TableChange { deletes: true, ..wider }));
    }

    fn some(columns: &[&str]) -> Columns {
        Columns::Some(columns.iter().map(ToString::to_string).collect())
    }

    fn using(columns: Columns) -> TableUsage {
        TableUsage { columns, row_security: false }
    }
}
