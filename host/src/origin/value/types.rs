//! The types that a parameter can have, and their names.

use std::fmt;
use std::str::FromStr;

/// The type of a parameter, as configuration names it (`id:int8`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParamType {
    /// `bool`
    Bool,
    /// `int2`
    Int2,
    /// `int4`
    Int4,
    /// `int8`
    Int8,
    /// `float4`; finite
    Float4,
    /// `float8`; finite
    Float8,
    /// `numeric`; finite, at most 1000 digits on either side of the point
    Numeric,
    /// `text`
    Text,
    /// `uuid`
    Uuid,
    /// `date`; years 1 to 9999
    Date,
    /// `timestamp`, without a zone; years 1 to 9999, microseconds
    Timestamp,
    /// `timestamptz`; years 1 to 9999 in UTC, microseconds
    TimestampTz,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// `bytea`
    Bytea,
    /// One dimension of these, each perhaps null: `int8[]`
    Array(Element),
}

/// What an array can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// `bool[]`
    Bool,
    /// `int2[]`
    Int2,
    /// `int4[]`
    Int4,
    /// `int8[]`
    Int8,
    /// `float4[]`
    Float4,
    /// `float8[]`
    Float8,
    /// `numeric[]`
    Numeric,
    /// `text[]`
    Text,
    /// `uuid[]`
    Uuid,
    /// `date[]`
    Date,
    /// `timestamp[]`
    Timestamp,
    /// `timestamptz[]`
    TimestampTz,
}

/// A name that is no type's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no known type; known are {known}, and one-dimensional arrays of them except json, \
     jsonb and bytea (int8[])",
    known = known()
)]
pub struct UnknownType(String);

/// Every type that is no array, under the name it is shown by.
const NAMES: [(&str, ParamType); 15] = [
    ("bool", ParamType::Bool),
    ("int2", ParamType::Int2),
    ("int4", ParamType::Int4),
    ("int8", ParamType::Int8),
    ("float4", ParamType::Float4),
    ("float8", ParamType::Float8),
    ("numeric", ParamType::Numeric),
    ("text", ParamType::Text),
    ("uuid", ParamType::Uuid),
    ("date", ParamType::Date),
    ("timestamp", ParamType::Timestamp),
    ("timestamptz", ParamType::TimestampTz),
    ("json", ParamType::Json),
    ("jsonb", ParamType::Jsonb),
    ("bytea", ParamType::Bytea),
];

/// What else SQL calls them.
const ALIASES: [(&str, ParamType); 16] = [
    ("boolean", ParamType::Bool),
    ("smallint", ParamType::Int2),
    ("int", ParamType::Int4),
    ("integer", ParamType::Int4),
    ("bigint", ParamType::Int8),
    ("real", ParamType::Float4),
    ("double precision", ParamType::Float8),
    ("float", ParamType::Float8),
    ("double", ParamType::Float8),
    ("decimal", ParamType::Numeric),
    ("varchar", ParamType::Text),
    ("character varying", ParamType::Text),
    ("timestamp without time zone", ParamType::Timestamp),
    ("timestamp with time zone", ParamType::TimestampTz),
    ("blob", ParamType::Bytea),
    ("string", ParamType::Text),
];

impl ParamType {
    /// This type as an array's element; `None` if arrays of it are not supported.
    #[must_use]
    pub fn as_element(self) -> Option<Element> {
        match self {
            Self::Bool => Some(Element::Bool),
            Self::Int2 => Some(Element::Int2),
            Self::Int4 => Some(Element::Int4),
            Self::Int8 => Some(Element::Int8),
            Self::Float4 => Some(Element::Float4),
            Self::Float8 => Some(Element::Float8),
            Self::Numeric => Some(Element::Numeric),
            Self::Text => Some(Element::Text),
            Self::Uuid => Some(Element::Uuid),
            Self::Date => Some(Element::Date),
            Self::Timestamp => Some(Element::Timestamp),
            Self::TimestampTz => Some(Element::TimestampTz),
            Self::Json | Self::Jsonb | Self::Bytea | Self::Array(_) => None,
        }
    }
}

impl Element {
    /// The type of one element.
    #[must_use]
    pub fn scalar(self) -> ParamType {
        match self {
            Self::Bool => ParamType::Bool,
            Self::Int2 => ParamType::Int2,
            Self::Int4 => ParamType::Int4,
            Self::Int8 => ParamType::Int8,
            Self::Float4 => ParamType::Float4,
            Self::Float8 => ParamType::Float8,
            Self::Numeric => ParamType::Numeric,
            Self::Text => ParamType::Text,
            Self::Uuid => ParamType::Uuid,
            Self::Date => ParamType::Date,
            Self::Timestamp => ParamType::Timestamp,
            Self::TimestampTz => ParamType::TimestampTz,
        }
    }

    /// Whether JSON writes its canonical text without quotes.
    pub(super) fn is_bare_in_json(self) -> bool {
        match self {
            Self::Bool
            | Self::Int2
            | Self::Int4
            | Self::Int8
            | Self::Float4
            | Self::Float8
            | Self::Numeric => true,
            Self::Text | Self::Uuid | Self::Date | Self::Timestamp | Self::TimestampTz => false,
        }
    }
}

impl fmt::Display for ParamType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Array(element) = self {
            return write!(f, "{}[]", element.scalar());
        }
        let name = NAMES.iter().find(|(_, ty)| ty == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for ParamType {
    type Err = UnknownType;

    fn from_str(name: &str) -> Result<Self, UnknownType> {
        let unknown = || UnknownType(super::excerpt(name));
        let name = name.to_ascii_lowercase();
        let (scalar, is_array) = match name.trim().strip_suffix("[]") {
            Some(scalar) => (scalar, true),
            None => (name.trim(), false),
        };
        let scalar = scalar.split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, ty) =
            NAMES.iter().chain(&ALIASES).find(|(known, _)| *known == scalar).ok_or_else(unknown)?;
        if !is_array {
            return Ok(*ty);
        }
        ty.as_element().map(Self::Array).ok_or_else(unknown)
    }
}

fn known() -> String {
    NAMES.map(|(name, _)| name).join(", ")
}
