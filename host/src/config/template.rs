//! The little language of `tags` and `touches`.
//!
//! A tag is text with holes: `user:{id}` takes a parameter, `team:{row.team_id}` a column of the
//! row, and where a write touches it `team:{old.team_id}` a column of the row before that write. A
//! touch is an entity with arguments, `user.profile(id)`, or the word `tag` and a tag.

use super::document::suggestion;
use super::values::shown;
use crate::policy::OLD;

/// What stands before the name of a column of the row.
const ROW: &str = "row.";

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source<'t> {
    /// `id`
    Param(&'t str),
    /// `row.team_id`: the column's name.
    Column(&'t str),
    /// `old.team_id`: the column's name, and that is also how the statement returns it.
    Old(&'t str),
}

/// A part of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// As it stands.
    Text(&'t str),
    /// A value in braces.
    Hole(Source<'t>),
}

/// What a write touches.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Touch<'t> {
    /// `user.profile(id)`: the entity and where its arguments come from.
    Read { entity: &'t str, arguments: Vec<Source<'t>> },
    /// `tag user:{id}`: the tag.
    Tag(&'t str),
}

/// The kind of statement that has a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A read carries it: its row is one.
    Read,
    /// A write touches it: its row was one and is another.
    Write,
}

impl<'t> Source<'t> {
    /// Reads what stands in a hole or as an argument.
    fn parse(name: &'t str) -> Result<Self, String> {
        if matches!(name, ROW | OLD) {
            return Err(format!("{name} names no column; write {name}team_id"));
        }
        Ok(match name.strip_prefix(ROW) {
            Some(column) => Self::Column(column),
            None if name.starts_with(OLD) => Self::Old(name),
            None => Self::Param(name),
        })
    }

    /// The name under which the statement has to return it; none: it is a parameter.
    pub(crate) fn returned(self) -> Option<&'t str> {
        match self {
            Self::Param(_) => None,
            Self::Column(name) | Self::Old(name) => Some(name),
        }
    }

    /// Whether its holder can have it.
    pub(super) fn check(self, of: Of) -> Result<(), String> {
        match (self, of) {
            (Self::Old(name), Of::Read) => {
                let column = old_column(name);
                Err(format!(
                    "{{{name}}} is what a row was before a write, and only a write's touches know \
                     it; write {{row.{column}}}"
                ))
            }
            (Self::Column(name), Of::Write) if name.starts_with(OLD) => {
                Err(format!("{{row.{name}}} is what the row was; write {{{name}}}"))
            }
            (Self::Param(_) | Self::Column(_) | Self::Old(_), _) => Ok(()),
        }
    }
}

/// The column of which `old.team_id` is the old value.
pub(crate) fn old_column(returned: &str) -> &str {
    returned.strip_prefix(OLD).unwrap_or(returned)
}

/// The parts of a tag, none of them an empty text.
///
/// # Errors
/// Braces that do not match, holes without a name, nothing at all, or characters that no tag may
/// have (the contract's `plan.tags`).
pub(crate) fn pieces(tag: &str) -> Result<Vec<Piece<'_>>, String> {
    if tag.is_empty() {
        return Err("an empty tag; write one such as \"user:{id}\"".to_owned());
    }
    let mut pieces = Vec::new();
    let mut rest = tag;
    while let Some(at) = rest.find(['{', '}']) {
        pieces.extend(literal(tag, &rest[..at])?);
        let inside = rest[at..].strip_prefix('{').and_then(|open| open.split_once('}'));
        let Some((name, after)) = inside.filter(|(name, _)| !name.contains('{')) else {
            return Err(format!("the braces of {} don't match; write \"user:{{id}}\"", shown(tag)));
        };
        pieces.push(hole(tag, name)?);
        rest = after;
    }
    pieces.extend(literal(tag, rest)?);
    Ok(pieces)
}

fn hole<'t>(tag: &str, name: &'t str) -> Result<Piece<'t>, String> {
    if name.is_empty() {
        return Err(format!("{} has a hole without a name; write {{id}}", shown(tag)));
    }
    let source = Source::parse(name).map_err(|error| format!("{}: {error}", shown(tag)))?;
    Ok(Piece::Hole(source))
}

fn literal<'t>(tag: &str, text: &'t str) -> Result<Option<Piece<'t>>, String> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("{} has a space; a tag has none", shown(tag)));
    }
    Ok((!text.is_empty()).then_some(Piece::Text(text)))
}

/// Checks that a tag's holes name parameters, or columns that its holder has. `params` None: they
/// are wrong themselves.
pub(super) fn check_tag(tag: &str, params: Option<&[&str]>, of: Of) -> Result<(), String> {
    for piece in pieces(tag)? {
        let Piece::Hole(source) = piece else { continue };
        source.check(of)?;
        let (Source::Param(name), Some(params)) = (source, params) else { continue };
        if params.contains(&name) {
            continue;
        }
        return Err(match suggestion(name, params.iter().copied()) {
            Some(known) => format!("{{{name}}} is no parameter; did you mean {{{known}}}?"),
            None => format!("{{{name}}} is no parameter; a column would be {{row.{name}}}"),
        });
    }
    Ok(())
}

/// Reads a touch; what it names is not looked up.
pub(crate) fn touch(text: &str) -> Result<Touch<'_>, String> {
    if let Some(tag) = text.strip_prefix("tag ") {
        return Ok(Touch::Tag(tag.trim()));
    }
    let call = text.trim().strip_suffix(')').and_then(|text| text.split_once('('));
    let Some((entity, arguments)) = call else {
        return Err(format!(
            "{} is no touch; write \"user.profile(id)\" or \"tag user:{{id}}\"",
            shown(text)
        ));
    };
    let arguments = match arguments.trim() {
        "" => Vec::new(),
        arguments => arguments
            .split(',')
            .map(|argument| Source::parse(argument.trim()))
            .collect::<Result<_, _>>()
            .map_err(|error| format!("{}: {error}", shown(text)))?,
    };
    Ok(Touch::Read { entity, arguments })
}

/// The columns that tags need, each once.
pub(super) fn tag_columns<'t>(tags: impl IntoIterator<Item = &'t String>) -> Vec<&'t str> {
    unique(tags.into_iter().flat_map(|tag| sources(tag)).filter_map(Source::returned))
}

/// The columns that touches need, each once, under the names that their statement returns them by.
pub(super) fn touch_columns(touches: &[String]) -> Vec<&str> {
    let touches = touches.iter().filter_map(|text| touch(text).ok());
    unique(touches.flat_map(|touch| touch.sources()).filter_map(Source::returned))
}

impl<'t> Touch<'t> {
    /// Where its values come from.
    pub(crate) fn sources(&self) -> Vec<Source<'t>> {
        match self {
            Self::Read { arguments, .. } => arguments.clone(),
            Self::Tag(tag) => sources(tag),
        }
    }
}

/// Where a tag's values come from.
pub(crate) fn sources(tag: &str) -> Vec<Source<'_>> {
    let source = |piece| match piece {
        Piece::Hole(source) => Some(source),
        Piece::Text(_) => None,
    };
    pieces(tag).unwrap_or_default().into_iter().filter_map(source).collect()
}

fn unique<'t>(names: impl Iterator<Item = &'t str>) -> Vec<&'t str> {
    let mut seen = Vec::new();
    names.for_each(|name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
    });
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_takes_parameters_and_columns() {
        assert_eq!(
            pieces("team:{row.team id}:{id}{old.at}"),
            Ok(vec![
                Piece::Text("team:"),
                Piece::Hole(Source::Column("team id")),
                Piece::Text(":"),
                Piece::Hole(Source::Param("id")),
                Piece::Hole(Source::Old("old.at")),
            ])
        );
        assert_eq!(pieces("all"), Ok(vec![Piece::Text("all")]));
    }

    #[test]
    fn broken_tags_are_refused() {
        for broken in
            ["", "a b", "a:{", "a:}", "a:{}", "a:{row.}", "a:{old.}", "a:{{id}}", "a\u{7}"]
        {
            assert!(pieces(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn the_columns_of_tags_and_touches_are_found_once_each() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let tags = texts(&["user:{id}", "team:{row.team}", "{row.region}/{row.team}"]);
        assert_eq!(tag_columns(&tags), ["team", "region"]);
        let touches = texts(&["cart(id, row.user)", "tag {row.team}:{old.team}", "cart(old.user)"]);
        assert_eq!(touch_columns(&touches), ["user", "team", "old.team", "old.user"]);
        assert_eq!(touch_columns(&texts(&["cart(id)", "tag user:{id}"])), Vec::<&str>::new());
    }

    #[test]
    fn a_touch_is_a_read_or_a_tag() {
        let read = |entity, arguments| Ok(Touch::Read { entity, arguments });
        let arguments = vec![Source::Param("user"), Source::Column("item"), Source::Old("old.at")];
        assert_eq!(touch("cart( user , row.item,old.at )"), read("cart", arguments));
        assert_eq!(touch("catalog()"), read("catalog", vec![]));
        assert_eq!(touch("tag user:{id}"), Ok(Touch::Tag("user:{id}")));
        assert!(touch("user.profile").is_err());
        assert!(touch("").is_err());
        assert!(touch("cart(row.)").is_err());
    }

    #[test]
    fn only_a_touch_knows_what_a_row_was() {
        assert!(check_tag("team:{old.team}", None, Of::Write).is_ok());
        assert!(check_tag("team:{row.team}", None, Of::Write).is_ok());
        let read = check_tag("team:{old.team}", None, Of::Read).unwrap_err();
        assert!(read.ends_with("; write {row.team}"), "{read}");
        let write = check_tag("team:{row.old.team}", None, Of::Write).unwrap_err();
        assert!(write.ends_with("; write {old.team}"), "{write}");
    }
}
