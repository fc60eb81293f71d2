//! From a JSON value to the canonical text.

use serde_json::{Number, Value as Json};

use super::{Decimal, Element, InvalidValue, ParamType, canonical, refused};

/// Whole numbers up to here are exact in a binary float: 2^53.
const EXACT_LIMIT: f64 = 9_007_199_254_740_992.0;

/// Decimal digits that every binary double keeps (C's `DBL_DIG`).
const EXACT_DIGITS: usize = 15;

/// The canonical text; `None` for SQL's null.
pub(super) fn canonical(ty: ParamType, value: &Json) -> Result<Option<String>, InvalidValue> {
    if value.is_null() {
        return Ok(None);
    }
    match ty {
        ParamType::Json | ParamType::Jsonb => canonical::of_text(ty, &value.to_string()),
        ParamType::Text => match value.as_str() {
            Some(text) => canonical::of_text(ty, text),
            None => Err(refused(ty, &value.to_string(), "write a JSON string")),
        },
        ParamType::Array(element) => array(ty, element, value),
        ParamType::Bool
        | ParamType::Int2
        | ParamType::Int4
        | ParamType::Int8
        | ParamType::Float4
        | ParamType::Float8
        | ParamType::Numeric
        | ParamType::Uuid
        | ParamType::Date
        | ParamType::Timestamp
        | ParamType::TimestampTz
        | ParamType::Bytea => scalar(ty, value),
    }
    .map(Some)
}

fn scalar(ty: ParamType, value: &Json) -> Result<String, InvalidValue> {
    match value {
        Json::String(text) => canonical::of_text(ty, text),
        Json::Number(number) => canonical::of_text(ty, &lossless(ty, number)?),
        // Of the rest only a bool can be a value. The others are refused as their texts would be.
        Json::Bool(_) | Json::Null | Json::Array(_) | Json::Object(_) => {
            canonical::of_text(ty, &value.to_string())
        }
    }
}

fn array(ty: ParamType, element: Element, value: &Json) -> Result<String, InvalidValue> {
    match value {
        Json::Array(items) => {
            let items = items.iter().map(|item| canonical(element.scalar(), item));
            canonical::array_of(element, items)
        }
        Json::String(text) => canonical::of_text(ty, text),
        Json::Bool(_) | Json::Null | Json::Number(_) | Json::Object(_) => {
            Err(refused(ty, &value.to_string(), "write a JSON array"))
        }
    }
}

/// The number's text, unless its digits may have been rounded when the body was parsed.
fn lossless(ty: ParamType, number: &Number) -> Result<String, InvalidValue> {
    let text = number.to_string();
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else {
        return Ok(text);
    };
    let is_exact_kind = match ty {
        ParamType::Int2 | ParamType::Int4 | ParamType::Int8 | ParamType::Numeric => true,
        ParamType::Bool
        | ParamType::Float4
        | ParamType::Float8
        | ParamType::Text
        | ParamType::Uuid
        | ParamType::Date
        | ParamType::Timestamp
        | ParamType::TimestampTz
        | ParamType::Json
        | ParamType::Jsonb
        | ParamType::Bytea
        | ParamType::Array(_) => false,
    };
    if !is_exact_kind {
        return Ok(text);
    }
    match Decimal::parse(&text) {
        Some(decimal)
            if float.abs() < EXACT_LIMIT && decimal.significant_digits() <= EXACT_DIGITS =>
        {
            Ok(decimal.to_string())
        }
        Some(_) | None => {
            Err(refused(ty, &text, "a JSON number of that many digits is rounded; write a string"))
        }
    }
}
