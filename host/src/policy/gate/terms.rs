//! Under which terms a candidate is examined: what is configured, and what is in force.

use std::time::Duration;

use crate::name::Key;
use crate::policy::guard::Lifetimes;
use crate::policy::{Argument, Request, Subject};

/// What a candidate would serve.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What `configure` gets, as JSON.
    pub settings: String,
    /// Every entity.
    pub entities: Vec<EntityShape>,
    /// Ad-hoc queries; none: they are off.
    pub query: Option<QueryShape>,
    /// What is read just now, with the keys that the generation in force gives it.
    pub hot: Vec<HotRead>,
}

/// An entity, as far as the gate needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityShape {
    /// Its name in the settings.
    pub name: String,
    /// Its parameters, in declared order.
    pub params: Vec<String>,
    /// Its tags, as templates.
    pub tags: Vec<Template>,
    /// How long its values may live.
    pub lifetimes: Lifetimes,
    /// By when its reads are answered.
    pub deadline: Duration,
    /// Its writes.
    pub writes: Vec<WriteShape>,
}

/// Ad-hoc queries, as far as the gate needs to know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryShape {
    /// How long their values may live.
    pub lifetimes: Lifetimes,
    /// By when they are answered.
    pub deadline: Duration,
}

/// A write, as far as the gate needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteShape {
    /// Its name.
    pub name: String,
    /// Its parameters, in declared order.
    pub params: Vec<String>,
    /// What it makes untrue.
    pub touches: Vec<Touch>,
}

/// Something that a write makes untrue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touch {
    /// A read of this entity, with a source for each of its parameters in their order.
    Read {
        /// The entity.
        entity: String,
        /// Where its arguments come from.
        arguments: Vec<Source>,
    },
    /// Everything that carries this tag.
    Tag(Template),
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A parameter of the read or the write.
    Param(String),
    /// A column of the row.
    Column(String),
    /// A column of the row as it was before a write.
    Old(String),
}

/// A tag's text with holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);

/// A part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// A value.
    Hole(Source),
}

/// A read that was made a short while ago.
#[derive(Debug, Clone, PartialEq)]
pub struct HotRead {
    /// The read.
    pub request: Request,
    /// The key that the generation in force gives it.
    pub key: Key,
}

impl Touch {
    /// Where its values come from.
    #[must_use]
    pub fn sources(&self) -> Vec<&Source> {
        match self {
            Self::Read { arguments, .. } => arguments.iter().collect(),
            Self::Tag(Template(pieces)) => pieces.iter().filter_map(Piece::hole).collect(),
        }
    }
}

impl Piece {
    fn hole(&self) -> Option<&Source> {
        match self {
            Self::Text(_) => None,
            Self::Hole(source) => Some(source),
        }
    }
}

impl Source {
    /// Why a policy does not do what a touch of an old column asks of it, most likely, and the remedy.
    pub(super) const NO_OLD: &'static str = "policies whose support code came before old columns \
        don't know them; serve the built-in policy, or one that is built on its source, or name no \
        old column in touches";

    /// The column's name, for one of the row as it was before a write.
    pub(super) fn old(&self) -> Option<&str> {
        match self {
            Self::Param(_) | Self::Column(_) => None,
            Self::Old(name) => Some(name),
        }
    }
}

impl Terms {
    /// Terms of settings and entities alone: no ad-hoc queries, and nothing hot.
    #[must_use]
    pub fn new(settings: impl Into<String>, entities: Vec<EntityShape>) -> Self {
        Self { settings: settings.into(), entities, query: None, hot: Vec::new() }
    }

    /// Whether a path into the settings leads to a write that touches something by an old column.
    pub(super) fn is_about_old_columns(&self, path: &str) -> bool {
        let names_old = |write: &WriteShape| {
            write.touches.iter().any(|touch| touch.sources().into_iter().any(|s| s.old().is_some()))
        };
        self.entities.iter().any(|EntityShape { name, writes, .. }| {
            writes.iter().filter(|write| names_old(write)).any(|write| {
                let rest = path.strip_prefix(&format!("entities.{name}.writes.{}", write.name));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            })
        })
    }
}

/// Of nothing but empty settings.
impl Default for Terms {
    fn default() -> Self {
        Self::new("{}", Vec::new())
    }
}

impl EntityShape {
    /// A deadline for entities of which nothing is known.
    const DEADLINE: Duration = Duration::from_secs(2);

    /// An entity with the usual deadline, no tags and no writes, that may live as long as any.
    #[must_use]
    pub fn new(name: &str, params: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            params: params.iter().map(|&param| param.to_owned()).collect(),
            tags: Vec::new(),
            lifetimes: Lifetimes::LONGEST,
            deadline: Self::DEADLINE,
            writes: Vec::new(),
        }
    }

    /// Its read with these values, in the order of its parameters.
    pub(super) fn request(&self, values: &[Option<&str>]) -> Request {
        let arguments = named(&self.params, values);
        Request { subject: Subject::Entity(self.name.clone()), arguments }
    }
}

/// Values with the names of the parameters that they belong to.
pub(super) fn named(params: &[String], values: &[Option<&str>]) -> Vec<Argument> {
    let argument = |(name, value): (&String, &Option<&str>)| Argument {
        name: name.clone(),
        value: value.map(str::to_owned),
    };
    params.iter().zip(values).map(argument).collect()
}
