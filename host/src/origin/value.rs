//! Typed parameters: from text (a query string) and from JSON (a body), to one canonical text each.
//!
//! Two spellings of one value (`42`, `042`, `+42`) must name one key; so the host parses every
//! parameter to its type and hands the policy the canonical text. The drivers bind the same text,
//! so a key names what the database was asked for.

mod canonical;
mod from_json;
pub(super) mod held;
mod json;
mod numeric;
#[cfg(test)]
mod tests;
mod types;

pub(super) use canonical::{bytes, elements};
pub(super) use numeric::Decimal;
pub use types::{Element, ParamType, UnknownType};

/// A parameter's value. Made only by parsing, so its text is canonical.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Value {
    ty: ParamType,
    canonical: Option<String>,
}

/// Why a text or a JSON value is no value of a type: a sentence that says what would be one. It
/// repeats at most 40 characters of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub String);

impl Value {
    /// Null of a type.
    #[must_use]
    pub fn null(ty: ParamType) -> Self {
        Self { ty, canonical: None }
    }

    /// Parses a text, as it comes in a query string. `None` is SQL's null.
    ///
    /// White space around anything but `text` is ignored. Arrays are written as JSON (`[1,2,null]`).
    ///
    /// # Errors
    /// The text is no value of the type.
    pub fn from_text(ty: ParamType, text: Option<&str>) -> Result<Self, InvalidValue> {
        let canonical = text.map(|text| canonical::of_text(ty, text)).transpose()?;
        Ok(Self { ty, canonical })
    }

    /// Converts a JSON value, as it comes in a body. Null becomes SQL null, also for JSON types.
    ///
    /// Numbers may come as strings. A number that has passed through a binary float and may have
    /// lost digits there is refused for `numeric` and the integers.
    ///
    /// # Errors
    /// The value is no value of the type.
    pub fn from_json(ty: ParamType, value: &serde_json::Value) -> Result<Self, InvalidValue> {
        Ok(Self { ty, canonical: from_json::canonical(ty, value)? })
    }

    /// The type that it was parsed as.
    #[must_use]
    pub fn ty(&self) -> ParamType {
        self.ty
    }

    /// The one text of this value; `None` for SQL's null.
    #[must_use]
    pub fn canonical(&self) -> Option<&str> {
        self.canonical.as_deref()
    }
}

/// An `int8`.
impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self { ty: ParamType::Int8, canonical: Some(number.to_string()) }
    }
}

/// The error that `text` is no `ty`; `expected` says why, or what would be one.
fn refused(ty: ParamType, text: &str, expected: &str) -> InvalidValue {
    InvalidValue(format!("`{}` is no {ty}: {expected}", excerpt(text)))
}

/// The start of a text, made printable, for an error: 40 characters at most.
fn excerpt(text: &str) -> String {
    const LIMIT: usize = 39;
    let mut excerpt = String::new();
    let mut length = 0;
    for character in text.chars() {
        let printable: String = character.escape_debug().collect();
        length += printable.chars().count();
        if length > LIMIT {
            excerpt.push('…');
            break;
        }
        excerpt.push_str(&printable);
    }
    excerpt
}
