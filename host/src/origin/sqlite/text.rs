//! The canonical texts of a row's columns, as SQLite compares their values: by storage class, and
//! numbers by their value.

use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteRow, SqliteValueRef};
use sqlx::{Row as _, TypeInfo as _, ValueRef as _};

use super::plan::StatementPlan;
use super::row::decode;
use crate::origin::rows::{ColumnText, Texts};
use crate::origin::value::held;
use crate::origin::{ColumnType, OriginError, ParamType};

/// What names can be built from a column that was declared so. `None` if the column was declared
/// without a type, or is an expression. See <https://sqlite.org/datatype3.html>, 3.1, for the
/// order.
pub(super) fn column_type(declared: Option<&str>) -> ColumnType {
    let upper = declared.unwrap_or_default().to_ascii_uppercase();
    let has = |parts: &[&str]| parts.iter().any(|part| upper.contains(part));
    match upper.as_str() {
        "BOOLEAN" | "BOOL" => ColumnType::Named(ParamType::Bool),
        // Documents that are equal can be written in several ways.
        "JSON" | "JSONB" => ColumnType::Opaque(upper),
        "DATE" => ColumnType::Named(ParamType::Date),
        "DATETIME" | "TIMESTAMP" => ColumnType::Named(ParamType::Timestamp),
        _ if has(&["INT"]) => ColumnType::Named(ParamType::Int8),
        _ if has(&["CHAR", "CLOB", "TEXT"]) => ColumnType::Named(ParamType::Text),
        _ if has(&["BLOB"]) => ColumnType::Named(ParamType::Bytea),
        _ if has(&["REAL", "FLOA", "DOUB"]) => ColumnType::Named(ParamType::Float8),
        _ if has(&["NUMERIC", "DECIMAL", "NUMBER"]) => ColumnType::Named(ParamType::Numeric),
        _ => ColumnType::Dynamic,
    }
}

/// Adds a row's texts. `places` are the asked columns' indices.
pub(super) fn read(
    row: &SqliteRow,
    plan: &StatementPlan,
    places: &[Option<usize>],
    texts: &mut Texts<'_>,
) -> Result<Result<(), OriginError>, BoxDynError> {
    let mut read = Vec::with_capacity(places.len());
    for place in places {
        read.push(match place.and_then(|index| Some((index, plan.ty(index)?))) {
            Some((index, ty)) => text(row.try_get_raw(index)?, ty)?,
            None => ColumnText::Missing,
        });
    }
    Ok(texts.push(read.into_iter()))
}

/// The text of a value; `Missing` if its storage class is none that the column's type has: in a
/// column that was declared INTEGER, the text `10` would be taken for the number.
fn text(value: SqliteValueRef<'_>, ty: &ColumnType) -> Result<ColumnText, BoxDynError> {
    if value.is_null() {
        return Ok(ColumnText::Null);
    }
    let class = value.type_info().name().to_owned();
    let text = match (class.as_str(), classes(ty)) {
        ("INTEGER", Classes::Bool) => match decode::<i64>(value)? {
            0 => Some("false".to_owned()),
            1 => Some("true".to_owned()),
            _ => None,
        },
        ("INTEGER", Classes::Numbers | Classes::Moments | Classes::Any) => {
            Some(decode::<i64>(value)?.to_string())
        }
        ("REAL", Classes::Numbers | Classes::Moments | Classes::Any) => {
            Some(held::float8(decode::<f64>(value)?))
        }
        ("TEXT", Classes::Texts | Classes::Moments | Classes::Any) => {
            Some(decode::<&str>(value)?.to_owned())
        }
        ("BLOB", Classes::Blobs | Classes::Any) => Some(held::bytea(decode::<&[u8]>(value)?)),
        _ => None,
    };
    Ok(text.map_or(ColumnText::Missing, ColumnText::Canonical))
}

/// The storage classes whose values have a text in a column of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Classes {
    Bool,
    Numbers,
    Texts,
    /// Dates and times: texts or numbers, as SQLite has no class for them.
    Moments,
    Blobs,
    Any,
    None,
}

fn classes(ty: &ColumnType) -> Classes {
    match ty {
        ColumnType::Dynamic => Classes::Any,
        ColumnType::Opaque(_) => Classes::None,
        ColumnType::Named(ty) => match ty {
            ParamType::Bool => Classes::Bool,
            ParamType::Int2
            | ParamType::Int4
            | ParamType::Int8
            | ParamType::Float4
            | ParamType::Float8
            | ParamType::Numeric => Classes::Numbers,
            ParamType::Text | ParamType::Uuid => Classes::Texts,
            ParamType::Date | ParamType::Timestamp | ParamType::TimestampTz => Classes::Moments,
            ParamType::Bytea => Classes::Blobs,
            ParamType::Json | ParamType::Jsonb | ParamType::Array(_) => Classes::None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_type_is_read_as_sqlite_reads_it() {
        let named = [
            ("bigint", ParamType::Int8),
            ("VARCHAR(20)", ParamType::Text),
            ("Double Precision", ParamType::Float8),
            ("decimal(10, 2)", ParamType::Numeric),
            ("FLOATING POINT", ParamType::Int8),
            ("boolean", ParamType::Bool),
            ("BLOB", ParamType::Bytea),
            ("date", ParamType::Date),
        ];
        for (declared, ty) in named {
            assert_eq!(column_type(Some(declared)), ColumnType::Named(ty), "{declared}");
        }
        assert_eq!(column_type(Some("json")), ColumnType::Opaque("JSON".to_owned()));
        for declared in [None, Some(""), Some("uuid")] {
            assert_eq!(column_type(declared), ColumnType::Dynamic, "{declared:?}");
        }
    }
}
