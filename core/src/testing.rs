//! What tests write in short: templates, touches and arguments as the configuration spells them.

use std::string::{String, ToString};
use std::vec::Vec;

use crate::{Argument, Parameter, Piece, Source, Template, Touch, TouchedRead};

/// `user:{id}`, `team:{row.team}`, `team:{old.team}`
pub(crate) fn template(text: &str) -> Template {
    let mut pieces = Vec::new();
    for (index, part) in text.split(['{', '}']).enumerate() {
        match index % 2 {
            0 if part.is_empty() => {}
            0 => pieces.push(Piece::Text(part.into())),
            _ => pieces.push(Piece::Value(source(part))),
        }
    }
    pieces
}

/// `user.profile(id, row.team)`, or `tag` and a template.
pub(crate) fn touch(text: &str) -> Touch {
    if let Some(tag) = text.strip_prefix("tag ") {
        return Touch::Tag(template(tag));
    }
    let (entity, list) = text.trim_end_matches(')').split_once('(').unwrap();
    let arguments = list.split(", ").map(source).collect();
    Touch::Read(TouchedRead { entity: entity.into(), arguments })
}

/// `id`, `row.team`, `old.team`
fn source(name: &str) -> Source {
    match name.split_once('.') {
        Some(("row", column)) => Source::Column(column.into()),
        Some(("old", column)) => Source::OldColumn(column.into()),
        _ => Source::Argument(name.into()),
    }
}

pub(crate) fn parameters(names: &[&str]) -> Vec<Parameter> {
    let parameter =
        |name: &&str| Parameter { name: name.to_string(), type_name: String::from("text") };
    names.iter().map(parameter).collect()
}

pub(crate) fn arguments(values: &[(&str, Option<&str>)]) -> Vec<Argument> {
    let argument = |(name, value): &(&str, Option<&str>)| Argument {
        name: name.to_string(),
        value: value.map(ToString::to_string),
    };
    values.iter().map(argument).collect()
}
