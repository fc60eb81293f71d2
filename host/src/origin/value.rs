//! Typed parameters: from text (a query string) and from JSON (a body), to one canonical text each.
//!
//! Two spellings of one value (`42`, `042`, `+42`) must name one key; so the host parses every
//! parameter to its type and hands the policy the canonical text.

/// The type of a parameter, as configuration names it (`id:int8`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamType {
    /// `text`
    Text,
    /// `int8`
    Int8,
}

/// A parameter's value. None: null.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    ty: ParamType,
    canonical: Option<String>,
}

/// Why a text or a JSON value is no value of a type. Says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub String);

impl std::str::FromStr for ParamType {
    type Err = InvalidValue;

    fn from_str(name: &str) -> Result<Self, InvalidValue> {
        match name {
            "text" => Ok(Self::Text),
            "int8" => Ok(Self::Int8),
            _ => Err(InvalidValue(format!("no type {name:?}; write text or int8"))),
        }
    }
}
