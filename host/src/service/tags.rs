//! Tags as clients and operators write them, in `/invalidate` and `/query`.
//!
//! The store knows a tag as the policy spells it: `page:%2Fhome`. An operator writes `page:/home`, which can
//! mean several tags: a hole (a placeholder in braces) of a template takes any text, a column's type is not
//! known here, and a policy may have tags of its own. So every reading counts: a reading too many removes a
//! tag that no value carries, a reading too few would leave a value stale.
//!
//! | written | readings |
//! |---|---|
//! | `"page:/home"` | in each declared template that it fits; with its text escaped, `:` excepted; as it stands, where the store could have it so |
//! | `{"tag": "page:{path}", "values": {"path": "/home"}}` | the template with these values alone |

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use corral_core::push_segment;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value as Json};

use crate::config::template::spelled;
use crate::config::{Config, Param, TagTemplate, suggestion};
use crate::name::StoreTag;
use crate::origin::{ParamType, Value};
use crate::policy::{self, Source, Touch};

/// The longest plain text: a longer one is not written by hand, and has many readings.
const TEXT_BYTES_MAX: usize = 4_096;

/// The largest number of attempts to read one text.
const TRIALS_MAX: usize = 10_000;

/// What to write where a plain text does not do.
const EXACTLY: &str = r#"name it exactly, {"tag": "user:{id}", "values": {"id": 42}}"#;

/// A tag as a client names it.
#[derive(Debug, Clone, PartialEq)]
pub enum GivenTag {
    /// A plain text such as `page:/home`; every reading of it counts.
    Text(String),
    /// A template with its values: this tag and no other.
    Filled(FilledTag),
}

/// A template with its values: `{"tag": "page:{path}", "values": {"path": "/home"}}`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilledTag {
    /// The template; the names of its holes make no difference.
    pub tag: String,
    /// A value for each hole, by the name in its braces.
    #[serde(default)]
    pub values: Map<String, Json>,
}

impl From<&str> for GivenTag {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for GivenTag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = GivenTag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#"a text such as "user:42", or {"tag": …, "values": …}"#)
            }

            fn visit_str<E>(self, text: &str) -> Result<GivenTag, E> {
                Ok(GivenTag::from(text))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<GivenTag, A::Error> {
                FilledTag::deserialize(MapAccessDeserializer::new(map)).map(GivenTag::Filled)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// Every template of a tag that a configuration declares, with the types of its holes.
pub(super) struct Templates {
    shapes: HashSet<Vec<BoundPiece>>,
    /// The templates as they were declared.
    sources: BTreeSet<String>,
    /// Whether clients name tags of their own, in ad-hoc queries.
    others: bool,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum BoundPiece {
    Text(String),
    /// A hole and its type; `None` for a column's value, since a column's type is not declared.
    Hole(Option<ParamType>),
}

/// Why something is no tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoTag {
    /// The place in what was given: empty for the whole, or for example `.values.path`.
    pub(super) at: String,
    /// What is wrong, as a sentence.
    pub(super) problem: String,
}

impl Templates {
    /// The tags that reads carry and writes touch.
    pub(super) fn of(config: &Config) -> Self {
        let mut templates =
            Self { shapes: HashSet::new(), sources: BTreeSet::new(), others: config.query.enabled };
        for entity in config.entities.values() {
            for tag in &entity.tags {
                templates.add(tag.text(), tag.pieces(), &entity.params);
            }
            for write in entity.writes.values() {
                for touch in &write.touches {
                    if let Touch::Tag(pieces) = touch.touch() {
                        let text = touch.text().trim_start_matches("tag ").trim();
                        templates.add(text, pieces, &write.params);
                    }
                }
            }
        }
        templates
    }

    fn add(&mut self, text: &str, pieces: &[policy::Piece], params: &[Param]) {
        let ty = |name: &str| params.iter().find(|param| param.name == name).map(|param| param.ty);
        let piece = |piece: &policy::Piece| match piece {
            policy::Piece::Text(text) => BoundPiece::Text(text.clone()),
            policy::Piece::Value(Source::Argument(name)) => BoundPiece::Hole(ty(name)),
            policy::Piece::Value(Source::Column(_) | Source::OldColumn(_)) => {
                BoundPiece::Hole(None)
            }
        };
        self.shapes.insert(pieces.iter().map(piece).collect());
        self.sources.insert(text.to_owned());
    }

    /// Every tag of the store that can be meant, at least one.
    pub(super) fn readings(&self, given: &GivenTag) -> Result<Vec<StoreTag>, NoTag> {
        let texts = match given {
            GivenTag::Text(text) => self.read(text).map_err(NoTag::whole)?,
            GivenTag::Filled(filled) => self.fill(filled)?,
        };
        let tags = texts.into_iter().map(|text| StoreTag::try_new(&text));
        tags.collect::<Result<_, _>>().map_err(|illegal| NoTag::whole(illegal.to_string()))
    }

    fn read(&self, text: &str) -> Result<BTreeSet<String>, String> {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        if text.contains('\0') {
            return Err("it holds the character U+0000, which no value has".to_owned());
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("it is longer than {TEXT_BYTES_MAX} bytes; {EXACTLY}"));
        }
        if text.contains('{') && self.sources.contains(text) {
            return Err(format!("it is a template, without values; {EXACTLY}"));
        }
        let mut texts = BTreeSet::from([rendered(free(text))]);
        if StoreTag::try_new(text).is_ok() {
            texts.insert(text.to_owned());
        }
        let mut trials = TRIALS_MAX;
        for shape in &self.shapes {
            let found = fitting(shape, text, &mut trials);
            let found =
                found.ok_or_else(|| format!("it can be read in too many ways; {EXACTLY}"))?;
            texts.extend(found.into_iter().map(rendered));
        }
        Ok(texts)
    }

    fn fill(&self, filled: &FilledTag) -> Result<BTreeSet<String>, NoTag> {
        let tag = TagTemplate::parse(&filled.tag).map_err(|problem| NoTag::at(".tag", problem))?;
        let values = values_of(&tag, &filled.values)?;
        let alike = |shape: &&Vec<BoundPiece>| is_of_form(shape, tag.pieces());
        let shapes: Vec<&[BoundPiece]> =
            self.shapes.iter().filter(alike).map(Vec::as_slice).collect();
        if shapes.is_empty() && !self.others {
            return Err(NoTag::at(".tag", self.unknown(&filled.tag)));
        }
        // A tag of the client's own: its values have the types of the JSON.
        let own: Vec<BoundPiece> = tag.pieces().iter().map(BoundPiece::untyped).collect();
        let shapes = if shapes.is_empty() { vec![own.as_slice()] } else { shapes };
        let mut texts = BTreeSet::new();
        let mut problem = None;
        for shape in shapes {
            match filled_in(shape, &values) {
                Ok(text) => _ = texts.insert(rendered(text)),
                Err(wrong) => problem = Some(wrong),
            }
        }
        // Of several types, it is enough that the value fits one.
        problem.filter(|_| texts.is_empty()).map_or(Ok(texts), Err)
    }

    fn unknown(&self, tag: &str) -> String {
        let known = "no read carries and no write touches a tag of this form";
        match suggestion(tag, self.sources.iter().map(String::as_str)) {
            Some(meant) => format!("{known}; did you mean {meant:?}?"),
            None => known.to_owned(),
        }
    }
}

impl BoundPiece {
    fn untyped(piece: &policy::Piece) -> Self {
        match piece {
            policy::Piece::Text(text) => Self::Text(text.clone()),
            policy::Piece::Value(_) => Self::Hole(None),
        }
    }
}

impl NoTag {
    fn whole(problem: String) -> Self {
        Self::at("", problem)
    }

    fn at(at: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { at: at.into(), problem: problem.into() }
    }
}

/// A text that fits no template, with its parts spelled as a policy would; its colons stay, since tags are
/// put together with colons.
fn free(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, part) in text.split(':').enumerate() {
        if at > 0 {
            out.push(':');
        }
        push_segment(&mut out, Some(part));
    }
    out
}

fn rendered(text: String) -> String {
    corral_core::Tag::rendered(text).into()
}

/// Every way to fill a template's holes so that it reads like `text`, as the policy spells it. `None` if
/// there are more ways than can be tried.
fn fitting(shape: &[BoundPiece], text: &str, trials: &mut usize) -> Option<BTreeSet<String>> {
    // The spellings so far, by the position in the text up to which they reach.
    let mut spelled = BTreeMap::from([(0, BTreeSet::from([String::new()]))]);
    for (at, piece) in shape.iter().enumerate() {
        let mut longer: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for (from, beginnings) in &spelled {
            for to in ends(piece, shape.get(at + 1), text, *from) {
                *trials = trials.checked_sub(beginnings.len())?;
                let Some(segment) = spelling(piece, &text[*from..to]) else { continue };
                let whole = beginnings.iter().map(|beginning| format!("{beginning}{segment}"));
                longer.entry(to).or_default().extend(whole);
            }
        }
        spelled = longer;
    }
    Some(spelled.remove(&text.len()).unwrap_or_default())
}

/// The positions in the text where a piece that begins at `from` can end.
fn ends<'p>(
    piece: &'p BoundPiece,
    next: Option<&'p BoundPiece>,
    text: &'p str,
    from: usize,
) -> impl Iterator<Item = usize> {
    let rest = &text[from..];
    let can_end = move |at: &usize| match (piece, next) {
        (BoundPiece::Text(literal), _) => {
            *at == literal.len() && rest.starts_with(literal.as_str())
        }
        (BoundPiece::Hole(_), None) => *at == rest.len(),
        (BoundPiece::Hole(_), Some(BoundPiece::Text(next))) => {
            rest[*at..].starts_with(next.as_str())
        }
        (BoundPiece::Hole(_), Some(BoundPiece::Hole(_))) => true,
    };
    let characters = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    characters.filter(can_end).map(move |at| from + at)
}

/// How a policy spells a piece that was written as `text`; `None` if the text is no value of the hole's type.
fn spelling(piece: &BoundPiece, text: &str) -> Option<String> {
    let ty = match piece {
        BoundPiece::Text(literal) => return Some(literal.clone()),
        BoundPiece::Hole(ty) => ty.unwrap_or(ParamType::Text),
    };
    let value = Value::from_text(ty, Some(text)).ok()?;
    let mut segment = String::new();
    push_segment(&mut segment, value.canonical());
    Some(segment)
}

/// The value of each hole, in their order.
fn values_of<'v>(
    tag: &TagTemplate,
    values: &'v Map<String, Json>,
) -> Result<Vec<(String, &'v Json)>, NoTag> {
    let mut found = Vec::new();
    for name in tag.sources().map(spelled) {
        let missing = || NoTag::at(format!(".values.{name}"), "it is missing");
        let value = values.get(&name).ok_or_else(missing)?;
        found.push((name, value));
    }
    match values.keys().find(|given| !found.iter().any(|(name, _)| name == *given)) {
        Some(name) => Err(NoTag::at(format!(".values.{name}"), "the tag has no such hole")),
        None => Ok(found),
    }
}

/// Whether a declared template has the same text around its holes.
fn is_of_form(shape: &[BoundPiece], pieces: &[policy::Piece]) -> bool {
    let alike = |(own, given): (&BoundPiece, &policy::Piece)| match (own, given) {
        (BoundPiece::Text(own), policy::Piece::Text(given)) => own == given,
        (BoundPiece::Hole(_), policy::Piece::Value(_)) => true,
        (BoundPiece::Text(_), policy::Piece::Value(_))
        | (BoundPiece::Hole(_), policy::Piece::Text(_)) => false,
    };
    shape.len() == pieces.len() && shape.iter().zip(pieces).all(alike)
}

fn filled_in(shape: &[BoundPiece], values: &[(String, &Json)]) -> Result<String, NoTag> {
    let mut values = values.iter();
    let mut out = String::new();
    for piece in shape {
        match piece {
            BoundPiece::Text(text) => out.push_str(text),
            BoundPiece::Hole(ty) => {
                let Some((name, json)) = values.next() else { continue };
                let value = value_of(*ty, json)
                    .map_err(|problem| NoTag::at(format!(".values.{name}"), problem))?;
                push_segment(&mut out, value.canonical());
            }
        }
    }
    Ok(out)
}

fn value_of(ty: Option<ParamType>, json: &Json) -> Result<Value, String> {
    let ty = ty.unwrap_or(match json {
        Json::Bool(_) => ParamType::Bool,
        Json::Number(_) => ParamType::Numeric,
        Json::Null | Json::String(_) | Json::Array(_) | Json::Object(_) => ParamType::Text,
    });
    Value::from_json(ty, json).map_err(|invalid| invalid.to_string())
}

#[cfg(test)]
#[path = "tags/tests.rs"]
mod tests;
