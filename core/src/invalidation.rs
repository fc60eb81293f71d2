//! From a change to what it makes untrue.
//!
//! A write declares what it touches: reads, with the values of its own arguments or of the rows
//! that it returned, and tags. A touch that depends on a row is made twice for each row, once for
//! the row as it was and once for the row as it is: a row that moves from one team to another
//! changes both. An old column always takes its value from the row as it was.
//!
//! A change that the database's log tells of adds no target here: a host with a feed, which reads
//! that log, works out from the statements themselves what such a change makes untrue. A host
//! without a feed sends no such change.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use crate::distinct::distinct;
use crate::naming::{Lookup, render};
use crate::rules::value_of;
use crate::{
    Argument, Column, ColumnValue, Entity, Piece, Request, Scope, Source, Subject, Target, Touch,
    TouchedRead, Way, Write, Written,
};

/// One side of a changed row: `columns` is the row as it was or as it is, `before` is always the
/// row as it was.
struct RowSide<'c> {
    columns: &'c [Column],
    before: &'c [Column],
}

impl RowSide<'_> {
    /// The side for touches that depend on no row.
    const NONE: Self = Self { columns: &[], before: &[] };
}

/// What a write makes untrue, sorted, none twice. A touch gives no target if the change does not
/// know one of its values (a column's, for a write without `RETURNING`). `entity` finds an entity
/// by its name.
pub(crate) fn targets<'e>(
    write: &Write,
    written: &Written,
    entity: impl Fn(&str) -> Option<&'e Entity>,
) -> Vec<Target> {
    let rows = written.rows.iter();
    let sides = rows.flat_map(|row| [&row.before, &row.after].map(|side| (row, side)));
    let sides: Vec<RowSide<'_>> = sides
        .filter(|(_, side)| !side.is_empty())
        .map(|(row, columns)| RowSide { columns, before: &row.before })
        .collect();
    let mut targets = Vec::new();
    for touch in &write.touches {
        let sides = if depends_on_row(touch) { sides.as_slice() } else { &[RowSide::NONE] };
        for side in sides {
            let lookup = |source: &Source| match source {
                Source::Argument(name) => value_of(&written.arguments, name),
                Source::Column(name) => known(side.columns, name),
                Source::OldColumn(name) => known(side.before, name),
            };
            targets.extend(match touch {
                Touch::Tag(template) => tag(template, &lookup),
                Touch::Read(read) => entity(&read.entity)
                    .and_then(|entity| self::read(entity, read, write.way, &lookup)),
            });
        }
    }
    distinct(targets)
}

fn depends_on_row(touch: &Touch) -> bool {
    let of_row = |source: &Source| match source {
        Source::Argument(_) => false,
        Source::Column(_) | Source::OldColumn(_) => true,
    };
    match touch {
        Touch::Read(read) => read.arguments.iter().any(of_row),
        Touch::Tag(template) => template.iter().any(|piece| match piece {
            Piece::Text(_) => false,
            Piece::Value(source) => of_row(source),
        }),
    }
}

fn tag(template: &[Piece], lookup: Lookup<'_, '_>) -> Option<Target> {
    Some(Target { scope: Scope::Tag(render(template, lookup)?), way: Way::Removed })
}

fn read(entity: &Entity, read: &TouchedRead, way: Way, lookup: Lookup<'_, '_>) -> Option<Target> {
    let mut arguments = Vec::with_capacity(read.arguments.len());
    for (parameter, source) in entity.parameters.iter().zip(&read.arguments) {
        let value = lookup(source)?.map(ToOwned::to_owned);
        arguments.push(Argument { name: parameter.name.clone(), value });
    }
    let subject = Subject::Entity(entity.name.clone());
    Some(Target { scope: Scope::Read(Request { subject, arguments }), way })
}

/// The column's value: `Some(None)` is null, `None` if the value is not known.
fn known<'c>(columns: &'c [Column], name: &str) -> Option<Option<&'c str>> {
    match &columns.iter().find(|column| column.name == name)?.value {
        ColumnValue::Unknown => None,
        ColumnValue::Null => Some(None),
        ColumnValue::Text(text) => Some(Some(text)),
    }
}

#[cfg(test)]
mod tests;
