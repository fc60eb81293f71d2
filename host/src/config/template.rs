//! The little language of `tags` and `touches`, read into the contract's types.
//!
//! A tag is text with holes: `user:{id}` takes a parameter, `team:{row.team_id}` a column of the
//! row, and where a write touches it `team:{old.team_id}` a column of the row before that write. A
//! touch is an entity with arguments, `user.profile(id)`, or the word `tag` and a tag.

use std::fmt;

use super::document::suggestion;
use super::values::shown;
use crate::policy::{OLD, Piece, Source, Touch, TouchedRead};

/// What stands before the name of a column of the row.
const ROW: &str = "row.";

/// A tag with values left open, as it was written and as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagTemplate {
    text: String,
    pieces: Vec<Piece>,
}

/// What a write touches, as it was written and as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TouchText {
    text: String,
    touch: Touch,
}

/// The kind of statement that has a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A read carries the tag: its row has one state.
    Read,
    /// A write touches the tag: its row has one state before the write and one after.
    Write,
}

impl TagTemplate {
    /// Reads a tag.
    ///
    /// # Errors
    /// Braces that do not match, holes without a name, nothing at all, or characters that no tag may
    /// have (the contract's `plan.tags`).
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.to_owned(), pieces: pieces(text)? })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its parts, none of them an empty text.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Where its values come from.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        sources(&self.pieces)
    }
}

impl fmt::Display for TagTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TouchText {
    /// Reads a touch; what it names is not looked up.
    ///
    /// # Errors
    /// The text is neither a read nor a tag.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.to_owned(), touch: touch(text)? })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says.
    #[must_use]
    pub fn touch(&self) -> &Touch {
        &self.touch
    }

    /// Where its values come from.
    #[must_use]
    pub fn sources(&self) -> Vec<&Source> {
        match &self.touch {
            Touch::Read(read) => read.arguments.iter().collect(),
            Touch::Tag(pieces) => sources(pieces).collect(),
        }
    }
}

/// Where the values of a tag come from.
pub(crate) fn sources(pieces: &[Piece]) -> impl Iterator<Item = &Source> {
    pieces.iter().filter_map(|piece| match piece {
        Piece::Text(_) => None,
        Piece::Value(source) => Some(source),
    })
}

/// How a source is written: `id`, `row.team_id`, `old.team_id`.
pub(crate) fn spelled(source: &Source) -> String {
    match source {
        Source::Argument(name) => name.clone(),
        Source::Column(name) => format!("{ROW}{name}"),
        Source::OldColumn(name) => format!("{OLD}{name}"),
    }
}

/// The name under which a statement has to return the source; `None` for an argument.
pub(crate) fn returned(source: &Source) -> Option<String> {
    match source {
        Source::Argument(_) => None,
        Source::Column(name) => Some(name.clone()),
        Source::OldColumn(name) => Some(format!("{OLD}{name}")),
    }
}

/// Reads what stands in a hole or as an argument.
fn source(name: &str) -> Result<Source, String> {
    if matches!(name, ROW | OLD) {
        return Err(format!("{name} names no column; write {name}team_id"));
    }
    Ok(match (name.strip_prefix(ROW), name.strip_prefix(OLD)) {
        (Some(column), _) => Source::Column(column.to_owned()),
        (None, Some(column)) => Source::OldColumn(column.to_owned()),
        (None, None) => Source::Argument(name.to_owned()),
    })
}

/// Whether a statement of this kind can have a source.
fn check_source(source: &Source, of: Of) -> Result<(), String> {
    match (source, of) {
        (Source::OldColumn(column), Of::Read) => Err(format!(
            "{{{OLD}{column}}} is what a row was before a write, and only a write's touches know \
             it; write {{row.{column}}}"
        )),
        (Source::Column(name), Of::Write) if name.starts_with(OLD) => {
            Err(format!("{{row.{name}}} is what the row was; write {{{name}}}"))
        }
        (Source::Argument(_) | Source::Column(_) | Source::OldColumn(_), _) => Ok(()),
    }
}

fn pieces(tag: &str) -> Result<Vec<Piece>, String> {
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

fn hole(tag: &str, name: &str) -> Result<Piece, String> {
    if name.is_empty() {
        return Err(format!("{} has a hole without a name; write {{id}}", shown(tag)));
    }
    let source = source(name).map_err(|error| format!("{}: {error}", shown(tag)))?;
    Ok(Piece::Value(source))
}

fn literal(tag: &str, text: &str) -> Result<Option<Piece>, String> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("{} has a space; a tag has none", shown(tag)));
    }
    Ok((!text.is_empty()).then(|| Piece::Text(text.to_owned())))
}

/// Checks that a tag's holes name parameters, or columns that a statement of this kind can have.
/// `params` is `None` if the parameters themselves are wrong.
pub(super) fn check_tag(pieces: &[Piece], params: Option<&[&str]>, of: Of) -> Result<(), String> {
    for source in sources(pieces) {
        check_source(source, of)?;
        let (Source::Argument(name), Some(params)) = (source, params) else { continue };
        if params.contains(&name.as_str()) {
            continue;
        }
        return Err(match suggestion(name, params.iter().copied()) {
            Some(known) => format!("{{{name}}} is no parameter; did you mean {{{known}}}?"),
            None => format!("{{{name}}} is no parameter; a column would be {{row.{name}}}"),
        });
    }
    Ok(())
}

/// Checks that a write can have the sources of a read that it touches.
pub(super) fn check_arguments(arguments: &[Source]) -> Result<(), String> {
    arguments.iter().try_for_each(|source| check_source(source, Of::Write))
}

fn touch(text: &str) -> Result<Touch, String> {
    if let Some(tag) = text.strip_prefix("tag ") {
        return pieces(tag.trim()).map(Touch::Tag);
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
            .map(|argument| source(argument.trim()))
            .collect::<Result<_, _>>()
            .map_err(|error| format!("{}: {error}", shown(text)))?,
    };
    Ok(Touch::Read(TouchedRead { entity: entity.to_owned(), arguments }))
}

/// The columns that sources need, each once, under the names that their statement returns them by.
pub(super) fn columns<'s>(sources: impl IntoIterator<Item = &'s Source>) -> Vec<String> {
    let mut columns = Vec::new();
    for column in sources.into_iter().filter_map(returned) {
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_takes_parameters_and_columns() {
        assert_eq!(
            pieces("team:{row.team id}:{id}{old.at}"),
            Ok(vec![
                Piece::Text("team:".to_owned()),
                Piece::Value(Source::Column("team id".to_owned())),
                Piece::Text(":".to_owned()),
                Piece::Value(Source::Argument("id".to_owned())),
                Piece::Value(Source::OldColumn("at".to_owned())),
            ])
        );
        assert_eq!(pieces("all"), Ok(vec![Piece::Text("all".to_owned())]));
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
        let tags = ["user:{id}", "team:{row.team}", "{row.region}/{row.team}"];
        let tags = tags.map(|text| TagTemplate::parse(text).unwrap());
        assert_eq!(columns(tags.iter().flat_map(TagTemplate::sources)), ["team", "region"]);
        let touched = |texts: &[&str]| {
            let touches: Vec<_> =
                texts.iter().map(|text| TouchText::parse(text).unwrap()).collect();
            columns(touches.iter().flat_map(TouchText::sources))
        };
        let touches = ["cart(id, row.user)", "tag {row.team}:{old.team}", "cart(old.user)"];
        assert_eq!(touched(&touches), ["user", "team", "old.team", "old.user"]);
        assert!(touched(&["cart(id)", "tag user:{id}"]).is_empty());
    }

    #[test]
    fn what_was_written_is_kept_beside_what_was_read() {
        assert_eq!(TagTemplate::parse("team:{row.team}").unwrap().text(), "team:{row.team}");
        assert_eq!(TouchText::parse("cart( id )").unwrap().text(), "cart( id )");
        let touch = TouchText::parse("cart(id, row.user, old.team)").unwrap();
        let spelled: Vec<String> = touch.sources().into_iter().map(spelled).collect();
        assert_eq!(spelled, ["id", "row.user", "old.team"]);
    }

    #[test]
    fn a_touch_is_a_read_or_a_tag() {
        let read = |entity: &str, arguments| {
            Ok(Touch::Read(TouchedRead { entity: entity.to_owned(), arguments }))
        };
        let arguments = vec![
            Source::Argument("user".to_owned()),
            Source::Column("item".to_owned()),
            Source::OldColumn("at".to_owned()),
        ];
        assert_eq!(touch("cart( user , row.item,old.at )"), read("cart", arguments));
        assert_eq!(touch("catalog()"), read("catalog", vec![]));
        assert_eq!(touch("tag user:{id}"), Ok(Touch::Tag(pieces("user:{id}").unwrap())));
        assert!(touch("user.profile").is_err());
        assert!(touch("").is_err());
        assert!(touch("cart(row.)").is_err());
    }

    #[test]
    fn only_a_touch_knows_what_a_row_was() {
        let check = |tag, of| check_tag(&pieces(tag).unwrap(), None, of);
        assert!(check("team:{old.team}", Of::Write).is_ok());
        assert!(check("team:{row.team}", Of::Write).is_ok());
        let read = check("team:{old.team}", Of::Read).unwrap_err();
        assert!(read.ends_with("; write {row.team}"), "{read}");
        let write = check("team:{row.old.team}", Of::Write).unwrap_err();
        assert!(write.ends_with("; write {old.team}"), "{write}");
    }
}
