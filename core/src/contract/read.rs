//! What is read, and how it is named.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::Memo;
use crate::{Key, Tag};

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Argument {
    /// The parameter's name.
    pub name: String,
    /// The value's canonical text; `None` is SQL's null, which differs from an empty text.
    pub value: Option<String>,
}

/// A read that no entity describes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Query {
    /// The statement as it was sent.
    pub sql: String,
    /// How long the caller wants it kept.
    pub ttl_ms: u32,
    /// Tags that the caller gave it; used as they are.
    pub tags: Vec<String>,
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A declared entity, by name.
    Entity(String),
    /// An ad-hoc query.
    Query(Query),
}

/// A read, as [`Policy::plan`](crate::Decisions::plan) sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// What is read.
    pub subject: Subject,
    /// In any order.
    pub arguments: Vec<Argument>,
}

/// How a request is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The store key.
    pub key: Key,
    /// The tags that the request alone determines, sorted, none twice.
    pub tags: Vec<Tag>,
    /// The columns that [`Policy::row_tags`](crate::Decisions::row_tags) needs. Empty if no tag
    /// depends on the row.
    pub row_columns: Vec<String>,
    /// What the read's first step gets.
    pub memo: Memo,
}

/// Why a request gets no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No entity of this name is declared.
    UnknownEntity,
    /// The entity declares this parameter and the request lacks it.
    MissingArgument(String),
    /// The entity does not declare this parameter, or the request has it twice.
    SurplusArgument(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownEntity => f.write_str("no such entity"),
            Self::MissingArgument(name) => write!(f, "parameter `{name}` is missing"),
            Self::SurplusArgument(name) => write!(f, "parameter `{name}` is unknown or came twice"),
        }
    }
}

impl core::error::Error for Refusal {}

/// Columns of one row, in the order of [`Plan::row_columns`]; `None` is SQL's null.
pub type Row = Vec<Option<String>>;
