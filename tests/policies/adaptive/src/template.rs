//! Templates of tags, `user:{id}` and `team:{row.team_id}`, and what a write touches.

use std::collections::BTreeMap;

use crate::canonical::{Digest, segment};

const TAG_BYTES_MAX: usize = 192;
const DIGEST_BYTES: usize = 64;

/// Where a value comes from: `id` is the parameter of that name, `row.team_id` a column.
pub enum Source {
    Parameter(usize),
    Column(String),
}

impl Source {
    pub fn parse(name: &str, params: &[String]) -> Result<Self, String> {
        if let Some(column) = name
            .strip_prefix("row.")
            .filter(|column| !column.is_empty())
        {
            return Ok(Self::Column(column.into()));
        }
        let at = params.iter().position(|param| param == name);
        at.map(Self::Parameter)
            .ok_or_else(|| format!("there is no parameter `{name}`"))
    }

    /// The value, which may be null; none: it is not known.
    pub fn find<'v>(
        &self,
        values: &[Option<&'v str>],
        column: impl Fn(&str) -> Option<Option<&'v str>>,
    ) -> Option<Option<&'v str>> {
        match self {
            Self::Parameter(at) => values.get(*at).copied(),
            Self::Column(name) => column(name),
        }
    }
}

enum Piece {
    Text(String),
    Value(Source),
}

pub struct Template(Vec<Piece>);

impl Template {
    pub fn parse(source: &str, params: &[String]) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = source;
        while let Some((text, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("`{` has no `}`")?;
            pieces.push(Piece::Text(text.into()));
            pieces.push(Piece::Value(Source::parse(name, params)?));
            rest = after;
        }
        pieces.push(Piece::Text(rest.into()));
        let legal = |c: char| c.is_ascii_alphanumeric() || "._@+-:/".contains(c);
        let illegal =
            |piece: &Piece| matches!(piece, Piece::Text(text) if !text.chars().all(legal));
        if source.is_empty() || pieces.iter().any(illegal) {
            return Err("letters, digits and `. _ @ + - : /` can be in a tag".into());
        }
        Ok(Self(pieces))
    }

    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Value(Source::Column(name)) => Some(name.as_str()),
            Piece::Value(Source::Parameter(_)) | Piece::Text(_) => None,
        })
    }

    /// The tag, where `known` knows every value.
    pub fn render<'v>(&self, known: impl Fn(&Source) -> Option<Option<&'v str>>) -> Option<String> {
        let mut tag = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => tag.push_str(text),
                Piece::Value(source) => tag.push_str(&segment(known(source)?)),
            }
        }
        if tag.len() > TAG_BYTES_MAX {
            let digest = Digest::of("corral:tag:1").text(&tag).hex();
            tag.truncate(TAG_BYTES_MAX - DIGEST_BYTES);
            tag = format!("{tag}~{digest}");
        }
        Some(tag)
    }
}

/// `user.profile(id)`: reads of that entity; `tag user:{id}`: whatever carries that tag.
pub enum Touch {
    Tag(Template),
    Read {
        entity: String,
        arguments: Vec<(String, Source)>,
    },
}

impl Touch {
    pub fn parse(
        text: &str,
        params: &[String],
        signatures: &BTreeMap<String, Vec<String>>,
    ) -> Result<Self, String> {
        if let Some(template) = text.strip_prefix("tag ") {
            return Template::parse(template.trim(), params).map(Self::Tag);
        }
        let parts = text
            .trim()
            .strip_suffix(')')
            .and_then(|text| text.split_once('('));
        let (entity, list) = parts.ok_or("must be `entity(parameter, …)` or `tag template`")?;
        let declared = signatures
            .get(entity)
            .ok_or_else(|| format!("there is no entity `{entity}`"))?;
        let names: Vec<&str> = list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        if names.len() != declared.len() {
            return Err(format!("`{entity}` has {} parameter(s)", declared.len()));
        }
        let arguments = declared.iter().zip(names).map(|(declared, name)| {
            Source::parse(name, params).map(|source| (declared.clone(), source))
        });
        Ok(Self::Read {
            entity: entity.into(),
            arguments: arguments.collect::<Result<_, _>>()?,
        })
    }

    pub fn depends_on_row(&self) -> bool {
        match self {
            Self::Tag(template) => template.columns().next().is_some(),
            Self::Read { arguments, .. } => arguments
                .iter()
                .any(|(_, source)| matches!(source, Source::Column(_))),
        }
    }
}
