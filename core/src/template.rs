//! Templates of tags: literal text with `{parameter}`, `{row.column}` and, where a write is touched,
//! `{old.column}` in it.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::{Tag, escape};

/// Longest template, in bytes of its source: a tag has to stay readable.
const SOURCE_BYTES_MAX: usize = 128;

/// What marks a column of the row, as against a parameter.
const ROW_PREFIX: &str = "row.";

/// What marks a column of the row as it was before a write.
const OLD_PREFIX: &str = "old.";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The parameter with this index in its declaration.
    Parameter(usize),
    /// The column of this name.
    Column(String),
    /// The column of this name, of the row as it was before a write.
    Old(String),
}

impl Source {
    /// Reads `id`, `row.team_id` or `old.team_id`.
    pub(crate) fn parse(name: &str, params: &[String]) -> Result<Self, Malformed> {
        match (name.strip_prefix(ROW_PREFIX), name.strip_prefix(OLD_PREFIX)) {
            (Some(""), _) | (_, Some("")) => Err(Malformed::UnnamedColumn),
            (Some(column), _) => Ok(Self::Column(column.to_owned())),
            (_, Some(column)) => Ok(Self::Old(column.to_owned())),
            (None, None) => params
                .iter()
                .position(|param| param == name)
                .map(Self::Parameter)
                .ok_or_else(|| Malformed::UnknownParameter(name.to_owned())),
        }
    }

    /// Whether a row has to be known for its value.
    pub(crate) fn is_of_row(&self) -> bool {
        match self {
            Self::Parameter(_) => false,
            Self::Column(_) | Self::Old(_) => true,
        }
    }
}

/// Finds the value that a source stands for; `Some(None)` is null, `None` is not known.
pub(crate) type Lookup<'l, 'v> = &'l dyn Fn(&Source) -> Option<Option<&'v str>>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Source),
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

impl Template {
    /// Reads a template over these parameters.
    pub(crate) fn parse(source: &str, params: &[String]) -> Result<Self, Malformed> {
        if source.is_empty() {
            return Err(Malformed::Empty);
        }
        if source.len() > SOURCE_BYTES_MAX {
            return Err(Malformed::TooLong);
        }
        let mut pieces = Vec::new();
        let mut rest = source;
        while !rest.is_empty() {
            let (text, placeholder) = rest.split_once('{').map_or((rest, None), |(text, after)| {
                (text, Some(after.split_once('}').ok_or(Malformed::Unclosed)))
            });
            if !text.is_empty() {
                pieces.push(Piece::Text(literal(text)?));
            }
            let Some(placeholder) = placeholder else { break };
            let (name, after) = placeholder?;
            pieces.push(Piece::Value(Source::parse(name, params)?));
            rest = after;
        }
        Ok(Self(pieces))
    }

    /// Reads a template of a read's tag, whose row is one: there was none before it.
    pub(crate) fn parse_of_read(source: &str, params: &[String]) -> Result<Self, Malformed> {
        let template = Self::parse(source, params)?;
        let is_old = |source: &Source| matches!(source, Source::Old(_));
        if template.sources().any(is_old) { Err(Malformed::OldColumn) } else { Ok(template) }
    }

    /// Where its values come from, in the order in which it names them.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Value(source) => Some(source),
        })
    }

    /// The columns that it needs, in the order in which it names them.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.sources().filter_map(|source| match source {
            Source::Parameter(_) | Source::Old(_) => None,
            Source::Column(name) => Some(name.as_str()),
        })
    }

    /// Renders it with the values that `lookup` finds; none: one of them is not known, so neither is
    /// the tag.
    pub(crate) fn render(&self, lookup: Lookup<'_, '_>) -> Option<Tag> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Value(source) => escape::push_segment(&mut text, lookup(source)?),
            }
        }
        Some(Tag::rendered(text))
    }
}

fn literal(text: &str) -> Result<String, Malformed> {
    let legal = |c: char| matches!(c, ':' | '/') || u8::try_from(c).is_ok_and(escape::is_safe);
    match text.chars().find(|c| !legal(*c)) {
        Some(c) => Err(Malformed::IllegalCharacter(c)),
        None => Ok(text.to_owned()),
    }
}

/// Why a template, or something else that names parameters, can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Malformed {
    Empty,
    TooLong,
    Unclosed,
    IllegalCharacter(char),
    UnknownParameter(String),
    UnnamedColumn,
    OldColumn,
    UnknownEntity(String),
    WrongArgumentCount { entity: String, declared: usize, given: usize },
    NotATouch,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("must not be empty"),
            Self::TooLong => write!(f, "is longer than {SOURCE_BYTES_MAX} bytes"),
            Self::Unclosed => f.write_str("`{` has no `}`"),
            Self::IllegalCharacter(c) => {
                write!(f, "{c:?} can't be in a tag; letters, digits and `. _ @ + - : /` can")
            }
            Self::UnknownParameter(name) => write!(f, "there is no parameter `{name}`"),
            Self::UnnamedColumn => {
                f.write_str("`row.` and `old.` need the name of a column after them")
            }
            Self::OldColumn => {
                f.write_str("`old.` is what a row was before a write: only touches know it")
            }
            Self::UnknownEntity(name) => write!(f, "there is no entity `{name}`"),
            Self::WrongArgumentCount { entity, declared, given } => {
                write!(f, "`{entity}` has {declared} parameter(s), not {given}")
            }
            Self::NotATouch => f.write_str("must be `entity(parameter, …)` or `tag template`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_plain_value_gives_the_obvious_text() {
        assert_eq!(render("user:{id}", Some("42")), "user:42");
        assert_eq!(render("{id}/all", Some("a")), "a/all");
        assert_eq!(render("fixed", None), "fixed");
    }

    #[test]
    fn a_value_can_not_break_out_of_its_place() {
        assert_eq!(render("user:{id}:x", Some("4:{2}\n")), "user:4%3A%7B2%7D%0A:x");
        assert_eq!(render("user:{id}", None), "user:~");
        assert_eq!(render("user:{id}", Some("~")), "user:%7E");
    }

    #[test]
    fn a_tag_of_which_something_is_unknown_is_not_rendered() {
        let template = parse("team:{row.team_id}").unwrap();
        assert_eq!(template.render(&|_| None), None);
        assert_eq!(template.columns().collect::<Vec<_>>(), ["team_id"]);
    }

    #[test]
    fn what_is_wrong_with_a_template_is_named() {
        assert_eq!(parse(""), Err(Malformed::Empty));
        assert_eq!(parse("user:{id"), Err(Malformed::Unclosed));
        assert_eq!(parse("user:{name}"), Err(Malformed::UnknownParameter("name".into())));
        assert_eq!(parse("user:{}"), Err(Malformed::UnknownParameter("".into())));
        assert_eq!(parse("team:{row.}"), Err(Malformed::UnnamedColumn));
        assert_eq!(parse("team:{old.}"), Err(Malformed::UnnamedColumn));
        let params = ["id".to_string()];
        assert_eq!(Template::parse_of_read("t:{old.t}", &params), Err(Malformed::OldColumn));
        assert!(Template::parse_of_read("t:{row.t}:{id}", &params).is_ok());
        assert_eq!(parse(&"x".repeat(SOURCE_BYTES_MAX + 1)), Err(Malformed::TooLong));
        for (source, character) in
            [("a b", ' '), ("a}b", '}'), ("~", '~'), ("50%", '%'), ("\t{id}", '\t'), ("é", 'é')]
        {
            assert_eq!(parse(source), Err(Malformed::IllegalCharacter(character)), "{source}");
        }
    }

    fn parse(source: &str) -> Result<Template, Malformed> {
        Template::parse(source, &["id".to_string()])
    }

    fn render(source: &str, id: Option<&str>) -> String {
        parse(source).unwrap().render(&|_| Some(id)).unwrap().to_string()
    }
}
