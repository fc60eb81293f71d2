//! Values as SQLite's arguments.

use sqlx::Arguments;
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;

use super::errors::unreadable;
use crate::origin::attempt::FailedAttempt;
use crate::origin::value::{Decimal, bytes, held};
use crate::origin::{ParamType, Value};

/// The values as arguments.
pub(super) fn arguments(values: &[Value]) -> Result<SqliteArguments, FailedAttempt> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        add(&mut arguments, value).map_err(|e| unreadable(e.as_ref()))?;
    }
    Ok(arguments)
}

fn add(arguments: &mut SqliteArguments, value: &Value) -> Result<(), BoxDynError> {
    let Some(text) = value.canonical() else { return arguments.add(None::<i64>) };
    match value.ty() {
        ParamType::Bool => arguments.add(i64::from(text == "true")),
        ParamType::Int2 | ParamType::Int4 | ParamType::Int8 => arguments.add(text.parse::<i64>()?),
        ParamType::Float4 | ParamType::Float8 => arguments.add(text.parse::<f64>()?),
        ParamType::Numeric => match Decimal::parse(text).and_then(|number| number.to_i64()) {
            Some(whole) => arguments.add(whole),
            None => arguments.add(rounded(text)?),
        },
        ParamType::Bytea => arguments.add(bytes(text)?),
        ParamType::Text
        | ParamType::Uuid
        | ParamType::Date
        | ParamType::Timestamp
        | ParamType::TimestampTz
        | ParamType::Json
        | ParamType::Jsonb
        | ParamType::Array(_) => arguments.add(text.to_owned()),
    }
}

/// A decimal number as SQLite holds it. A number that SQLite rounds is refused: two numbers that
/// are rounded to one would be two names of one value.
fn rounded(text: &str) -> Result<f64, BoxDynError> {
    let number: f64 = text.parse()?;
    if held::float8(number) == text {
        return Ok(number);
    }
    let reason = "SQLite holds a number that is not whole, or is beyond 64 bits, as a binary float, \
                  which rounds this one; numbers of at most 15 digits are exact";
    Err(reason.into())
}
