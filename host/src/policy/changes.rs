//! The rows that a statement returned, in the form in which a policy gets them.

use super::{Argument, Change, Column, ColumnValue, RowChange};

impl Column {
    /// The bytes of its name and of its text.
    pub(crate) fn bytes(&self) -> usize {
        let value = match &self.value {
            ColumnValue::Unknown | ColumnValue::Null => 0,
            ColumnValue::Text(text) => text.len(),
        };
        self.name.len() + value
    }
}

/// The prefix of a column's name that says that the statement returns the column as the row had it
/// before the write: `RETURNING t.team_id, o.team_id AS "old.team_id"`.
pub const OLD: &str = "old.";

/// A row that a write returned: columns named `old.x` belong to the row as it was, the others to
/// the row as it is.
pub fn row_change(columns: impl IntoIterator<Item = Argument>) -> RowChange {
    let mut change = RowChange { before: Vec::new(), after: Vec::new() };
    for Argument { name, value } in columns {
        let value = value.map_or(ColumnValue::Null, ColumnValue::Text);
        match name.strip_prefix(OLD).map(str::to_owned) {
            Some(name) => change.before.push(Column { name, value }),
            None => change.after.push(Column { name, value }),
        }
    }
    change
}

impl Change {
    /// What changed: the entity whose write it is, or the relation.
    #[must_use]
    pub fn about(&self) -> &str {
        match self {
            Self::Written(written) => &written.entity,
            Self::Logged(logged) => &logged.relation,
        }
    }

    /// The rows that are known.
    #[must_use]
    pub fn rows(&self) -> &[RowChange] {
        match self {
            Self::Written(written) => &written.rows,
            Self::Logged(logged) => &logged.rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_columns_are_the_row_as_it_was_and_the_others_as_it_is() {
        let column = |name: &str, value: Option<&str>| Argument {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        };
        let columns = [column("id", Some("7")), column("old.team", None), column("older", None)];
        let change = row_change(columns);
        let known = |name: &str, value| Column { name: name.to_owned(), value };
        let seven = ColumnValue::Text("7".to_owned());
        assert_eq!(change.before, [known("team", ColumnValue::Null)]);
        assert_eq!(change.after, [known("id", seven), known("older", ColumnValue::Null)]);
    }
}
