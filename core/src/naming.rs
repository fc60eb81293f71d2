//! From a request to its names: key, tags, columns that tags need.

use alloc::string::String;
use alloc::vec::Vec;

use crate::distinct::distinct;
use crate::rules::value_of;
use crate::{Argument, Entity, Key, Piece, Query, Refusal, Row, Source, Tag, Template, escape};

/// An entity, with what its tags need of its rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TaggedEntity {
    pub(crate) entity: Entity,
    /// The columns that tags name, none twice.
    pub(crate) row_columns: Vec<String>,
}

impl TaggedEntity {
    pub(crate) fn new(entity: Entity) -> Self {
        let mut row_columns: Vec<String> = Vec::new();
        for column in entity.tags.iter().flatten().filter_map(column_of) {
            if !row_columns.iter().any(|known| known == column) {
                row_columns.push(column.into());
            }
        }
        Self { entity, row_columns }
    }

    /// The key of a read with these arguments, and the tags that they determine.
    pub(crate) fn name(
        &self,
        namespace: &str,
        arguments: &[Argument],
    ) -> Result<(Key, Vec<Tag>), Refusal> {
        let values = bind(&self.entity, arguments)?;
        let lookup = |source: &Source| match source {
            Source::Argument(name) => value_of(arguments, name),
            Source::Column(_) | Source::OldColumn(_) => None,
        };
        let tags = self.entity.tags.iter().filter_map(|template| render(template, &lookup));
        Ok((Key::entity(namespace, &self.entity.name, &values), tags.collect()))
    }

    /// The tags that depend on the loaded rows.
    pub(crate) fn row_tags(
        &self,
        arguments: &[Argument],
        rows: &[Row],
    ) -> Result<Vec<Tag>, Refusal> {
        bind(&self.entity, arguments)?;
        let of_rows =
            |template: &&Template| template.iter().any(|piece| column_of(piece).is_some());
        let mut tags = Vec::new();
        for row in rows {
            let lookup = |source: &Source| self.lookup(arguments, row, source);
            let templates = self.entity.tags.iter().filter(of_rows);
            tags.extend(templates.filter_map(|template| render(template, &lookup)));
        }
        Ok(distinct(tags))
    }

    /// A row shorter than its columns has nulls at its end.
    fn lookup<'v>(
        &self,
        arguments: &'v [Argument],
        row: &'v [Option<String>],
        source: &Source,
    ) -> Option<Option<&'v str>> {
        match source {
            Source::Argument(name) => value_of(arguments, name),
            Source::Column(name) => {
                let index = self.row_columns.iter().position(|column| column == name)?;
                Some(row.get(index).and_then(Option::as_deref))
            }
            Source::OldColumn(_) => None,
        }
    }
}

/// The key of an ad-hoc query, and its tags.
pub(crate) fn query(
    namespace: &str,
    query: &Query,
    arguments: &[Argument],
) -> Result<(Key, Vec<Tag>), Refusal> {
    let sorted = sort(arguments)?;
    let tags = distinct(query.tags.iter().map(|tag| Tag::given(tag)).collect());
    let key = Key::query(namespace, (&query.sql, query.ttl_ms), &tags, &sorted);
    Ok((key, tags))
}

/// Finds the value that a source stands for: `Some(None)` is null, `None` if the value is not
/// known.
pub(crate) type Lookup<'l, 'v> = &'l dyn Fn(&Source) -> Option<Option<&'v str>>;

/// The tag with the values that `lookup` finds; `None` if one of them is not known.
pub(crate) fn render(template: &[Piece], lookup: Lookup<'_, '_>) -> Option<Tag> {
    let mut text = String::new();
    for piece in template {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Value(source) => escape::push_segment(&mut text, lookup(source)?),
        }
    }
    Some(Tag::rendered(text))
}

fn column_of(piece: &Piece) -> Option<&str> {
    match piece {
        Piece::Value(Source::Column(name)) => Some(name),
        Piece::Text(_) | Piece::Value(Source::Argument(_) | Source::OldColumn(_)) => None,
    }
}

/// The values of the declared parameters, in their order.
fn bind<'r>(entity: &Entity, arguments: &'r [Argument]) -> Result<Vec<Option<&'r str>>, Refusal> {
    let mut slots = alloc::vec![None; entity.parameters.len()];
    for Argument { name, value } in arguments {
        let index = entity.parameters.iter().position(|parameter| parameter.name == *name);
        match index.and_then(|index| slots.get_mut(index)) {
            Some(slot @ None) => *slot = Some(value.as_deref()),
            Some(Some(_)) | None => return Err(Refusal::SurplusArgument(name.clone())),
        }
    }
    let mut values = Vec::with_capacity(slots.len());
    for (parameter, slot) in entity.parameters.iter().zip(slots) {
        values.push(slot.ok_or_else(|| Refusal::MissingArgument(parameter.name.clone()))?);
    }
    Ok(values)
}

/// The arguments of an ad-hoc query by name, none of them twice.
fn sort(arguments: &[Argument]) -> Result<Vec<(&str, Option<&str>)>, Refusal> {
    let mut sorted: Vec<(&str, Option<&str>)> = Vec::with_capacity(arguments.len());
    for Argument { name, value } in arguments {
        let name = name.as_str();
        match sorted.binary_search_by_key(&name, |(name, _)| *name) {
            Ok(_) => return Err(Refusal::SurplusArgument(name.into())),
            Err(index) => sorted.insert(index, (name, value.as_deref())),
        }
    }
    Ok(sorted)
}

#[cfg(test)]
mod tests;
