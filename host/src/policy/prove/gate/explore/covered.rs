//! The reads that a touch means, for the arguments and the rows of a write.

use super::super::Conditions;
use crate::policy::{
    Argument, Column, ColumnValue, Entity, Piece, Query, Request, Source, Subject, Touch, Written,
};

/// A read that has to be covered.
#[derive(PartialEq)]
pub(super) struct CoveredRead {
    pub(super) request: Request,
    /// The row's columns, if the read's tags depend on the row; otherwise `None`.
    pub(super) row: Option<Vec<(String, Option<String>)>>,
}

/// Where a touch takes its values from.
struct Values<'c> {
    arguments: &'c [Argument],
    /// The row as it was or as it is.
    columns: &'c [Column],
    /// The row as it was.
    before: &'c [Column],
}

/// The reads that a touch of this change means: for each row, those of the row as it was and of the
/// row as it is.
pub(super) fn touched(
    conditions: &Conditions,
    touch: &Touch,
    written: &Written,
) -> Vec<CoveredRead> {
    let arguments = written.arguments.as_slice();
    let sides =
        written.rows.iter().flat_map(|row| [&row.before, &row.after].map(|side| (row, side)));
    let sides = sides.filter(|(_, columns)| !columns.is_empty()).map(|(row, columns)| Values {
        arguments,
        columns,
        before: &row.before,
    });
    let no_row = Values { arguments, columns: &[], before: &[] };
    let mut touched: Vec<CoveredRead> = Vec::new();
    for values in std::iter::once(no_row).chain(sides) {
        let reads = match touch {
            Touch::Read(read) => touched_read(conditions, &read.entity, &read.arguments, &values)
                .into_iter()
                .collect(),
            Touch::Tag(tag) => carriers(conditions, tag, &values),
        };
        for read in reads {
            if !touched.contains(&read) {
                touched.push(read);
            }
        }
    }
    touched
}

fn touched_read(
    conditions: &Conditions,
    entity: &str,
    arguments: &[Source],
    values: &Values<'_>,
) -> Option<CoveredRead> {
    let entity = conditions.entities().iter().find(|known| known.name == entity)?;
    let values: Option<Vec<Option<&str>>> =
        arguments.iter().map(|source| values.of(source)).collect();
    Some(CoveredRead { request: entity.request(&values?), row: None })
}

/// Reads that carry a tag: one of each entity that declares a tag of the same form and, for a tag
/// without values, an ad-hoc query that brings it.
fn carriers(conditions: &Conditions, tag: &[Piece], values: &Values<'_>) -> Vec<CoveredRead> {
    let entities = conditions.entities().iter();
    let mut carriers: Vec<CoveredRead> = entities
        .flat_map(|entity| entity.tags.iter().filter_map(|own| carrier(entity, own, tag, values)))
        .collect();
    if let ([Piece::Text(text)], Some(query)) = (tag, conditions.query) {
        let tags = vec![text.clone()];
        let query = Query { sql: "SELECT 1".into(), ttl_ms: query.ttl_ms, tags };
        let request = Request { subject: Subject::Query(query), arguments: Vec::new() };
        carriers.push(CoveredRead { request, row: None });
    }
    carriers
}

/// The read of `entity` whose tag `own` has the text of `tag`; `None` if their forms differ.
fn carrier(
    entity: &Entity,
    own: &[Piece],
    tag: &[Piece],
    values: &Values<'_>,
) -> Option<CoveredRead> {
    /// The value of a parameter that the tag does not name.
    const USUAL: Option<&str> = Some("5");
    if own.len() != tag.len() {
        return None;
    }
    let mut arguments: Vec<Option<Option<&str>>> = vec![None; entity.parameters.len()];
    let mut row: Vec<(String, Option<String>)> = Vec::new();
    for pair in own.iter().zip(tag) {
        match pair {
            (Piece::Text(own), Piece::Text(text)) if own == text => {}
            (Piece::Value(Source::Argument(name)), Piece::Value(source)) => {
                let at = entity.parameters.iter().position(|one| one.name == *name)?;
                let value = values.of(source)?;
                if arguments[at].is_some_and(|other| other != value) {
                    return None;
                }
                arguments[at] = Some(value);
            }
            (Piece::Value(Source::Column(name)), Piece::Value(source)) => {
                row.push((name.clone(), values.of(source)?.map(str::to_owned)));
            }
            // A tag of a read has no old column.
            (Piece::Value(Source::OldColumn(_)), _) => return None,
            (Piece::Text(_), _) | (Piece::Value(_), Piece::Text(_)) => return None,
        }
    }
    let arguments: Vec<Option<&str>> = arguments.iter().map(|a| a.unwrap_or(USUAL)).collect();
    let row = (!row.is_empty()).then_some(row);
    Some(CoveredRead { request: entity.request(&arguments), row })
}

impl<'c> Values<'c> {
    /// The value: `Some(None)` is null, `None` if it is not known.
    fn of(&self, source: &Source) -> Option<Option<&'c str>> {
        let column = |columns: &'c [Column], name: &String| match &columns
            .iter()
            .find(|column| column.name == *name)?
            .value
        {
            ColumnValue::Unknown => None,
            ColumnValue::Null => Some(None),
            ColumnValue::Text(text) => Some(Some(text.as_str())),
        };
        match source {
            Source::Argument(name) => {
                let found = self.arguments.iter().find(|argument| argument.name == *name)?;
                Some(found.value.as_deref())
            }
            Source::Column(name) => column(self.columns, name),
            Source::OldColumn(name) => column(self.before, name),
        }
    }
}
