//! The little language of `tags` and `touches`.
//!
//! A tag is text with holes: `user:{id}` takes a parameter, `team:{row.team_id}` a column of the
//! row. A touch is an entity with arguments, `user.profile(id)`, or the word `tag` and a tag.

use super::document::suggestion;
use super::values::shown;

/// A part of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// As it stands.
    Text(&'t str),
    /// `{id}`
    Param(&'t str),
    /// `{row.team_id}`
    Column(&'t str),
}

/// What a write touches.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Touch<'t> {
    /// `user.profile(id)`: the entity and the names of its arguments.
    Read { entity: &'t str, arguments: Vec<&'t str> },
    /// `tag user:{id}`: the tag.
    Tag(&'t str),
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
    match name.strip_prefix("row.") {
        Some("") => Err(format!("{} names no column; write {{row.team_id}}", shown(tag))),
        Some(column) => Ok(Piece::Column(column)),
        None if name.is_empty() => {
            Err(format!("{} has a hole without a name; write {{id}}", shown(tag)))
        }
        None => Ok(Piece::Param(name)),
    }
}

fn literal<'t>(tag: &str, text: &'t str) -> Result<Option<Piece<'t>>, String> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("{} has a space; a tag has none", shown(tag)));
    }
    Ok((!text.is_empty()).then_some(Piece::Text(text)))
}

/// Checks that a tag's holes name parameters. `params` None: they are wrong themselves.
pub(super) fn check_tag(tag: &str, params: Option<&[&str]>) -> Result<(), String> {
    let pieces = pieces(tag)?;
    let Some(params) = params else { return Ok(()) };
    for piece in pieces {
        let Piece::Param(name) = piece else { continue };
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
        arguments => arguments.split(',').map(str::trim).collect(),
    };
    Ok(Touch::Read { entity, arguments })
}

/// The columns that tags need, each once.
pub(super) fn tag_columns<'t>(tags: impl IntoIterator<Item = &'t String>) -> Vec<&'t str> {
    unique(tags.into_iter().flat_map(|tag| columns(tag)))
}

/// The columns that touches need, each once.
pub(super) fn touch_columns(touches: &[String]) -> Vec<&str> {
    unique(touches.iter().filter_map(|text| touch(text).ok()).flat_map(|touch| match touch {
        Touch::Read { arguments, .. } => {
            arguments.into_iter().filter_map(|argument| argument.strip_prefix("row.")).collect()
        }
        Touch::Tag(tag) => columns(tag),
    }))
}

fn columns(tag: &str) -> Vec<&str> {
    let column = |piece| match piece {
        Piece::Column(column) => Some(column),
        Piece::Text(_) | Piece::Param(_) => None,
    };
    pieces(tag).unwrap_or_default().into_iter().filter_map(column).collect()
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
            pieces("team:{row.team id}:{id}"),
            Ok(vec![
                Piece::Text("team:"),
                Piece::Column("team id"),
                Piece::Text(":"),
                Piece::Param("id")
            ])
        );
        assert_eq!(pieces("all"), Ok(vec![Piece::Text("all")]));
    }

    #[test]
    fn broken_tags_are_refused() {
        for broken in ["", "a b", "a:{", "a:}", "a:{}", "a:{row.}", "a:{{id}}", "a\u{7}"] {
            assert!(pieces(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn the_columns_of_tags_and_touches_are_found_once_each() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let tags = texts(&["user:{id}", "team:{row.team}", "{row.region}/{row.team}"]);
        assert_eq!(tag_columns(&tags), ["team", "region"]);
        let touches = texts(&["cart(id, row.user)", "tag team:{row.team}", "tag u:{row.user}"]);
        assert_eq!(touch_columns(&touches), ["user", "team"]);
        assert_eq!(touch_columns(&texts(&["cart(id)", "tag user:{id}"])), Vec::<&str>::new());
    }

    #[test]
    fn a_touch_is_a_read_or_a_tag() {
        let read = |entity, arguments| Ok(Touch::Read { entity, arguments });
        assert_eq!(touch("cart( user , item )"), read("cart", vec!["user", "item"]));
        assert_eq!(touch("catalog()"), read("catalog", vec![]));
        assert_eq!(touch("tag user:{id}"), Ok(Touch::Tag("user:{id}")));
        assert!(touch("user.profile").is_err());
        assert!(touch("").is_err());
    }
}
