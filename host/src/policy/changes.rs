//! Rows that a statement returned, as a policy is told of them.

use super::{Argument, RowChange};

/// What stands before the name of a column that a statement returns as the row had it before the
/// write: `RETURNING t.team_id, o.team_id AS "old.team_id"`.
pub const OLD: &str = "old.";

/// A row that a write returned: columns named `old.x` are the row as it was, the others as it is.
pub fn row_change(columns: impl IntoIterator<Item = Argument>) -> RowChange {
    let mut change = RowChange { before: Vec::new(), after: Vec::new() };
    for Argument { name, value } in columns {
        match name.strip_prefix(OLD).map(str::to_owned) {
            Some(name) => change.before.push(Argument { name, value }),
            None => change.after.push(Argument { name, value }),
        }
    }
    change
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
        assert_eq!(change.before, [column("team", None)]);
        assert_eq!(change.after, [column("id", Some("7")), column("older", None)]);
    }
}
