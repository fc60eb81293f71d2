//! A row as a JSON object.

use std::fmt::Write as _;
use std::io::Write as _;

use serde::de::IgnoredAny;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteRow, SqliteValueRef};
use sqlx::{Column, Decode, Row, Sqlite, TypeInfo, ValueRef};

use super::plan::{ColumnKind, StatementPlan};
use crate::origin::BODY_LIMIT;

/// Whether a value of the row is too large for any answer. Its JSON is longer still, so none is made.
pub(super) fn is_too_large(row: &SqliteRow) -> Result<bool, BoxDynError> {
    for index in 0..row.columns().len() {
        let value = row.try_get_raw(index)?;
        let is_long = !value.is_null() && matches!(value.type_info().name(), "TEXT" | "BLOB");
        if is_long && decode::<&[u8]>(value)?.len() > BODY_LIMIT {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Appends the row.
pub(super) fn write(
    row: &SqliteRow,
    plan: &StatementPlan,
    out: &mut Vec<u8>,
) -> Result<(), BoxDynError> {
    out.push(b'{');
    for (index, column) in row.columns().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, column.name())?;
        out.push(b':');
        write_value(row.try_get_raw(index)?, plan.kind(index), out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_value(
    value: SqliteValueRef<'_>,
    kind: ColumnKind,
    out: &mut Vec<u8>,
) -> Result<(), BoxDynError> {
    if value.is_null() {
        out.extend(b"null");
        return Ok(());
    }
    // The storage class of this value: a column can hold any, whatever was declared.
    match value.type_info().name() {
        "INTEGER" => write_integer(decode(value)?, kind, out),
        "REAL" => write_real(decode(value)?, out),
        "BLOB" => write_blob(decode(value)?, out),
        _ => write_text(decode(value)?, kind, out),
    }
}

/// A value as a type that its storage class has.
pub(super) fn decode<'r, T: Decode<'r, Sqlite>>(
    value: SqliteValueRef<'r>,
) -> Result<T, BoxDynError> {
    T::decode(value)
}

fn write_integer(number: i64, kind: ColumnKind, out: &mut Vec<u8>) -> Result<(), BoxDynError> {
    match (kind, number) {
        (ColumnKind::Bool, 0) => out.extend(b"false"),
        (ColumnKind::Bool, 1) => out.extend(b"true"),
        (ColumnKind::Bool | ColumnKind::Plain | ColumnKind::Json, _) => write!(out, "{number}")?,
    }
    Ok(())
}

/// Infinity has no number in JSON; Postgres writes it as this string too.
fn write_real(number: f64, out: &mut Vec<u8>) -> Result<(), BoxDynError> {
    if number.is_infinite() {
        let name = if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" };
        out.extend(name.as_bytes());
        return Ok(());
    }
    Ok(serde_json::to_writer(out, &number)?)
}

fn write_blob(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BoxDynError> {
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(hex, "{byte:02x}")?;
    }
    // A backslash is escaped in JSON.
    write!(out, "\"\\\\x{hex}\"")?;
    Ok(())
}

fn write_text(text: &str, kind: ColumnKind, out: &mut Vec<u8>) -> Result<(), BoxDynError> {
    match kind {
        // SQLite checks nothing, so a column declared JSON may hold any text.
        ColumnKind::Json if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
            out.extend(text.trim().as_bytes());
            Ok(())
        }
        ColumnKind::Json | ColumnKind::Bool | ColumnKind::Plain => {
            Ok(serde_json::to_writer(out, text)?)
        }
    }
}
