//! What the tests of every origin need.

use std::time::Duration;

use bytes::Bytes;
use corral_host::origin::{
    Origin, OriginError, ParamType, ReadStatement, Rows, Value, WriteStatement,
};
use serde_json::Value as Json;

/// Long enough for everything that should not time out.
pub(crate) const AMPLE: Duration = Duration::from_secs(20);

/// Short enough to wait for.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) fn one(sql: &str, params: &[&str]) -> ReadStatement {
    ReadStatement { sql: sql.to_owned(), params: types(params), rows: Rows::One }
}

pub(crate) fn many(sql: &str, params: &[&str]) -> ReadStatement {
    ReadStatement { sql: sql.to_owned(), params: types(params), rows: Rows::Many }
}

pub(crate) fn write(sql: &str, params: &[&str]) -> WriteStatement {
    WriteStatement { sql: sql.to_owned(), params: types(params) }
}

pub(crate) fn value(ty: &str, text: &str) -> Value {
    Value::from_text(ty.parse().unwrap(), Some(text)).unwrap()
}

pub(crate) fn null(ty: &str) -> Value {
    Value::null(ty.parse().unwrap())
}

/// The answer of a read.
pub(crate) async fn load(
    origin: &dyn Origin,
    read: &ReadStatement,
    values: &[Value],
) -> Result<Option<Bytes>, OriginError> {
    load_within(origin, read, values, AMPLE).await
}

/// The answer of a read that has a deadline.
pub(crate) async fn load_within(
    origin: &dyn Origin,
    read: &ReadStatement,
    values: &[Value],
    deadline: Duration,
) -> Result<Option<Bytes>, OriginError> {
    Ok(origin.load(read, values, &[], deadline).await?.body)
}

/// The answer's text.
pub(crate) async fn text(origin: &dyn Origin, read: &ReadStatement, values: &[Value]) -> String {
    let body = load(origin, read, values).await.unwrap().unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// The answer, parsed.
pub(crate) async fn json(origin: &dyn Origin, read: &ReadStatement, values: &[Value]) -> Json {
    serde_json::from_str(&text(origin, read, values).await).unwrap()
}

/// Runs a write and commits it; returns the number of rows.
pub(crate) async fn commit(origin: &dyn Origin, sql: &str) -> u64 {
    let written = origin.execute(&write(sql, &[]), &[], &[], AMPLE).await.unwrap();
    written.transaction.commit().await.unwrap();
    written.rows
}

/// Column names, in the form in which columns are asked for.
pub(crate) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// A row of texts, none of them null.
pub(crate) fn texts(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some(text.to_string())).collect()
}

pub(crate) fn code(error: &OriginError) -> &str {
    match error {
        OriginError::Rejected { code, .. } => code,
        OriginError::Unavailable(_) => "unavailable",
        OriginError::Timeout(_) => "timeout",
        OriginError::Undone { code, .. } => code,
        OriginError::TooLarge => "too large",
    }
}

fn types(params: &[&str]) -> Vec<ParamType> {
    params.iter().map(|ty| ty.parse().unwrap()).collect()
}
