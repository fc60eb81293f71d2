//! From a change to what it makes untrue.
//!
//! A write declares what it touches: reads, with the values of its own parameters or of the rows
//! that it returned (`user.profile(id)`, `order.list(row.user_id)`), and tags (`tag team:{id}`).
//! What depends on a row is touched for every row as it was and as it is: who moves from one team
//! to another changes both. `{old.team}` is the value that the row had, whichever side the others
//! are of.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::distinct::distinct;
use crate::template::{Lookup, Malformed, Source, Template};
use crate::{Argument, Change, Request, Scope, Subject, Target, Way};

/// What marks a touch as a tag, as against a read.
const TAG_PREFIX: &str = "tag ";

/// An entity's name and its parameters.
pub(crate) type Signature<'s> = (&'s str, Vec<String>);

/// A declared write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) name: String,
    pub(crate) params: Vec<String>,
    /// How the reads that it touches go; its tags are always removed.
    pub(crate) way: Way,
    pub(crate) touches: Vec<Touch>,
}

/// Something that a write touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Touch {
    /// A read of this entity, with a source for each of its parameters.
    Read { entity: String, arguments: Vec<(String, Source)> },
    /// Every key with this tag.
    Tag(Template),
}

impl Touch {
    /// Reads `entity(parameter, …)` or `tag template`, over the parameters of the write.
    pub(crate) fn parse(
        text: &str,
        params: &[String],
        entities: &[Signature<'_>],
    ) -> Result<Self, Malformed> {
        if let Some(template) = text.strip_prefix(TAG_PREFIX) {
            return Template::parse(template.trim(), params).map(Self::Tag);
        }
        let (entity, list) = text
            .trim()
            .strip_suffix(')')
            .and_then(|t| t.split_once('('))
            .ok_or(Malformed::NotATouch)?;
        let (_, declared) = entities
            .iter()
            .find(|(name, _)| *name == entity)
            .ok_or_else(|| Malformed::UnknownEntity(entity.to_owned()))?;
        let given: Vec<&str> = match list.trim() {
            "" => Vec::new(),
            list => list.split(',').map(str::trim).collect(),
        };
        if given.len() != declared.len() {
            return Err(Malformed::WrongArgumentCount {
                entity: entity.to_owned(),
                declared: declared.len(),
                given: given.len(),
            });
        }
        let mut arguments = Vec::with_capacity(given.len());
        for (name, source) in declared.iter().zip(given) {
            arguments.push((name.clone(), Source::parse(source, params)?));
        }
        Ok(Self::Read { entity: entity.to_owned(), arguments })
    }

    fn depends_on_row(&self) -> bool {
        match self {
            Self::Read { arguments, .. } => arguments.iter().any(|(_, source)| source.is_of_row()),
            Self::Tag(template) => template.sources().any(Source::is_of_row),
        }
    }

    /// The target, with the values that `lookup` finds; none: one of them is not known.
    fn target(&self, way: Way, lookup: Lookup<'_, '_>) -> Option<Target> {
        match self {
            Self::Read { entity, arguments: sources } => {
                let mut arguments = Vec::with_capacity(sources.len());
                for (name, source) in sources {
                    let value = lookup(source)?.map(ToOwned::to_owned);
                    arguments.push(Argument { name: name.clone(), value });
                }
                let subject = Subject::Entity(entity.clone());
                Some(Target { scope: Scope::Read(Request { subject, arguments }), way })
            }
            Self::Tag(template) => {
                Some(Target { scope: Scope::Tag(template.render(lookup)?), way: Way::Removed })
            }
        }
    }
}

/// A row as it was or as it is, and as it was.
struct Side<'c> {
    columns: &'c [Argument],
    before: &'c [Argument],
}

impl Side<'_> {
    /// For what depends on no row.
    const NONE: Self = Self { columns: &[], before: &[] };
}

/// What `change` makes untrue, sorted, none twice. A touch whose value the change does not know (a
/// write without `RETURNING`, for a column) names nothing.
pub(crate) fn targets(write: &Write, change: &Change) -> Vec<Target> {
    let sides =
        change.rows.iter().flat_map(|row| [&row.before, &row.after].map(|side| (row, side)));
    let sides: Vec<Side<'_>> = sides
        .filter(|(_, side)| !side.is_empty())
        .map(|(row, columns)| Side { columns, before: &row.before })
        .collect();
    let mut targets = Vec::new();
    for touch in &write.touches {
        let sides = if touch.depends_on_row() { sides.as_slice() } else { &[Side::NONE] };
        for side in sides {
            targets.extend(touch.target(write.way, &|source| match source {
                Source::Parameter(index) => find(&change.arguments, write.params.get(*index)?),
                Source::Column(name) => find(side.columns, name),
                Source::Old(name) => find(side.before, name),
            }));
        }
    }
    distinct(targets)
}

fn find<'v>(arguments: &'v [Argument], name: &str) -> Option<Option<&'v str>> {
    arguments.iter().find(|argument| argument.name == name).map(|found| found.value.as_deref())
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec;

    use super::*;
    use crate::RowChange;

    #[test]
    fn a_touched_read_gets_the_writes_values_in_the_entitys_order() {
        let write = write(Way::Removed, &["order.list(user, page)"]);
        let targets = targets(&write, &change(&[("page", "2"), ("user", "7")], vec![]));
        assert_eq!(targets, [read("order.list", &[("id", "7"), ("at", "2")], Way::Removed)]);
    }

    #[test]
    fn a_write_through_refreshes_reads_and_removes_tags() {
        let write = write(Way::Refreshed, &["user.profile(user)", "tag user:{user}"]);
        let targets = targets(&write, &change(&[("user", "7")], vec![]));
        let expected = [tag("user:7"), read("user.profile", &[("id", "7")], Way::Refreshed)];
        assert_eq!(targets, expected);
    }

    #[test]
    fn a_row_that_moves_touches_where_it_was_and_where_it_is() {
        let write = write(Way::Removed, &["tag team:{row.team}", "user.profile(row.lead)"]);
        let rows = vec![
            row(&[("team", "a"), ("lead", "1")], &[("team", "b"), ("lead", "1")]),
            row(&[("team", "a")], &[]),
        ];
        let expected =
            [tag("team:a"), tag("team:b"), read("user.profile", &[("id", "1")], Way::Removed)];
        assert_eq!(targets(&write, &change(&[], rows)), expected);
    }

    #[test]
    fn an_old_column_is_what_the_row_was_and_the_others_are_of_either_side() {
        let touches =
            ["tag team:{old.team}", "tag at:{old.team}:{row.at}", "user.profile(old.lead)"];
        let write = write(Way::Removed, &touches);
        let moved = row(&[("team", "a"), ("lead", "1")], &[("team", "b"), ("at", "x")]);
        let made = row(&[], &[("team", "c"), ("at", "y")]);
        let expected =
            [tag("at:a:x"), tag("team:a"), read("user.profile", &[("id", "1")], Way::Removed)];
        assert_eq!(targets(&write, &change(&[], vec![moved, made])), expected);
    }

    #[test]
    fn what_is_not_known_of_a_row_is_left_out_and_the_rest_is_not() {
        let write = write(Way::Removed, &["tag team:{row.team}", "tag user:{user}"]);
        let rows = vec![row(&[("name", "x")], &[]), row(&[], &[("team", "c")])];
        let targets = targets(&write, &change(&[("user", "7")], rows));
        assert_eq!(targets, [tag("team:c"), tag("user:7")]);
    }

    #[test]
    fn nulls_are_values() {
        let write = write(Way::Removed, &["user.profile(user)", "tag user:{user}"]);
        let mut change = change(&[("user", "")], vec![]);
        change.arguments[0].value = None;
        let mut null = read("user.profile", &[("id", "")], Way::Removed);
        if let Scope::Read(request) = &mut null.scope {
            request.arguments[0].value = None;
        }
        assert_eq!(targets(&write, &change), [tag("user:~"), null]);
    }

    #[test]
    fn what_is_wrong_with_a_touch_is_named() {
        let count = |given| Malformed::WrongArgumentCount {
            entity: "user.profile".into(),
            declared: 1,
            given,
        };
        assert_eq!(parse("user.profile"), Err(Malformed::NotATouch));
        assert_eq!(parse("tag"), Err(Malformed::NotATouch));
        assert_eq!(parse("tag "), Err(Malformed::Empty));
        assert_eq!(parse("user.profil(user)"), Err(Malformed::UnknownEntity("user.profil".into())));
        assert_eq!(parse("user.profile()"), Err(count(0)));
        assert_eq!(parse("user.profile(user, page)"), Err(count(2)));
        assert_eq!(parse("user.profile(id)"), Err(Malformed::UnknownParameter("id".into())));
        assert_eq!(parse("tag user:{id}"), Err(Malformed::UnknownParameter("id".into())));
        assert!(parse(" user.profile( user ) ").is_ok());
    }

    fn parse(text: &str) -> Result<Touch, Malformed> {
        let entities = [
            ("user.profile", vec!["id".to_string()]),
            ("order.list", vec!["id".to_string(), "at".to_string()]),
        ];
        Touch::parse(text, &["user".to_string(), "page".to_string()], &entities)
    }

    fn write(way: Way, touches: &[&str]) -> Write {
        Write {
            name: "rename".into(),
            params: vec!["user".into(), "page".into()],
            way,
            touches: touches.iter().map(|text| parse(text).unwrap()).collect(),
        }
    }

    fn change(values: &[(&str, &str)], rows: Vec<RowChange>) -> Change {
        let (entity, write) = ("user.profile".into(), "rename".into());
        Change { entity, write, arguments: arguments(values), rows }
    }

    fn row(before: &[(&str, &str)], after: &[(&str, &str)]) -> RowChange {
        RowChange { before: arguments(before), after: arguments(after) }
    }

    fn arguments(values: &[(&str, &str)]) -> Vec<Argument> {
        let argument = |(name, value): &(&str, &str)| Argument {
            name: name.to_string(),
            value: Some(value.to_string()),
        };
        values.iter().map(argument).collect()
    }

    fn read(entity: &str, values: &[(&str, &str)], way: Way) -> Target {
        let subject = Subject::Entity(entity.into());
        Target { scope: Scope::Read(Request { subject, arguments: arguments(values) }), way }
    }

    fn tag(text: &str) -> Target {
        Target { scope: Scope::Tag(crate::Tag::given(text)), way: Way::Removed }
    }
}
