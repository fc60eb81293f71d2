//! What the configuration declares.

use alloc::string::String;
use alloc::vec::Vec;

/// A parameter of an entity or of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The parameter's name.
    pub name: String,
    /// The type as the configuration spells it: `int8`.
    pub type_name: String,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The argument with this parameter's name.
    Argument(String),
    /// The column of the row with this name.
    Column(String),
    /// The column with this name in the row as it was before the write.
    OldColumn(String),
}

/// A part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text that stands in the tag as it is.
    Text(String),
    /// A value.
    Value(Source),
}

/// A tag with values left open: `user:{id}` is the text `user:` and the argument `id`.
pub type Template = Vec<Piece>;

/// How long an entity's values are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a value is fresh.
    pub ttl_ms: u32,
    /// The same for the answer that no such row exists. 0 means one millisecond, so that the answer
    /// replaces an older value in the store and answers hardly any other read.
    pub negative_ttl_ms: u32,
    /// How long after that a stale value may be answered while it is refreshed; 0 means never.
    pub stale_while_revalidate_ms: u32,
    /// How long after that a stale value may be answered where a load failed; 0 means never.
    pub stale_if_error_ms: u32,
}

/// A read that a write makes untrue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TouchedRead {
    /// The entity.
    pub entity: String,
    /// The source of each argument, in the order of the entity's parameters.
    pub arguments: Vec<Source>,
}

/// What a write makes untrue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touch {
    /// One read.
    Read(TouchedRead),
    /// Every read that carries this tag.
    Tag(Template),
}

/// What becomes of a value that is untrue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Removed: the next read loads it.
    Removed,
    /// Loaded and filled at once by the writer. A tag is removed all the same.
    Refreshed,
}

/// A declared write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The write's name.
    pub name: String,
    /// Its parameters, in declared order.
    pub parameters: Vec<Parameter>,
    /// How the reads that it touches go.
    pub way: Way,
    /// What it makes untrue.
    pub touches: Vec<Touch>,
}

/// A declared read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// The entity's name.
    pub name: String,
    /// Its parameters, in declared order.
    pub parameters: Vec<Parameter>,
    /// What its values carry.
    pub tags: Vec<Template>,
    /// How long they are good for.
    pub terms: Terms,
    /// Its writes.
    pub writes: Vec<Write>,
    /// The relations that its answer depends on. Empty if the configuration names none.
    pub depends: Vec<String>,
}
