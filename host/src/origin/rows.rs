//! Rows on their way out: collected within the limit, or taken apart without losing digits.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use super::value::Decimal;
use super::{BODY_LIMIT, OriginError, Rows};

/// The answer of a read, in the making.
#[derive(Debug)]
pub(super) struct Body {
    rows: Rows,
    bytes: Vec<u8>,
    is_empty: bool,
}

impl Body {
    pub(super) fn new(rows: Rows) -> Self {
        let bytes = match rows {
            Rows::One => Vec::new(),
            Rows::Many => b"[".to_vec(),
        };
        Self { rows, bytes, is_empty: true }
    }

    /// Adds a row: a JSON object. With `Rows::One`, rows after the first are ignored.
    ///
    /// # Errors
    /// `TooLarge`.
    pub(super) fn push(&mut self, row: &[u8]) -> Result<(), OriginError> {
        match (self.rows, self.is_empty) {
            (Rows::One, false) => return Ok(()),
            (Rows::One | Rows::Many, true) => {}
            (Rows::Many, false) => self.bytes.push(b','),
        }
        // One byte more for the closing bracket.
        if self.bytes.len() + row.len() + 1 > BODY_LIMIT {
            return Err(OriginError::TooLarge);
        }
        self.bytes.extend_from_slice(row);
        self.is_empty = false;
        Ok(())
    }

    /// Whether rows to come change nothing.
    pub(super) fn is_complete(&self) -> bool {
        match self.rows {
            Rows::One => !self.is_empty,
            Rows::Many => false,
        }
    }

    /// The answer; None: `Rows::One` and no row.
    pub(super) fn finish(mut self) -> Option<Bytes> {
        match self.rows {
            Rows::One if self.is_empty => return None,
            Rows::One => {}
            Rows::Many => self.bytes.push(b']'),
        }
        Some(Bytes::from(self.bytes))
    }
}

/// A row as a map. A number with more digits than a binary float keeps becomes a string: a tag
/// that is named after it must be that row's and no other's.
pub(super) fn object(row: &str) -> Result<Map<String, Json>, serde_json::Error> {
    let columns: Map<String, Json> = serde_json::from_str(row)?;
    if !columns.values().any(Json::is_f64) {
        return Ok(columns);
    }
    let tokens: HashMap<String, &RawValue> = serde_json::from_str(row)?;
    let faithful = |(name, value): (String, Json)| {
        let token = tokens.get(&name).map_or("", |token| token.get());
        let is_rounded =
            value.is_f64() && Decimal::parse(token) != Decimal::parse(&value.to_string());
        let value = if is_rounded { Json::from(token) } else { value };
        (name, value)
    };
    Ok(columns.into_iter().map(faithful).collect())
}

/// The texts of columns, of every row of a body.
pub(crate) fn texts(body: Option<&[u8]>, columns: &[String]) -> Vec<Vec<Option<String>>> {
    let Some(body) = body.filter(|_| !columns.is_empty()) else { return Vec::new() };
    let rows = match serde_json::from_slice(body) {
        Ok(Json::Array(rows)) => rows,
        Ok(row) => vec![row],
        Err(_) => return Vec::new(),
    };
    let row = |row: &Json| columns.iter().map(|name| row.get(name).and_then(text)).collect();
    rows.iter().map(row).collect()
}

/// A column as a policy sees it: texts as they are, null as none, the rest as JSON text.
pub(super) fn text(value: &Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            Some(value.to_string())
        }
    }
}

/// Of returned rows the texts of columns, and the columns that they do not have.
pub(super) fn returned(
    rows: &[Map<String, Json>],
    columns: &[String],
) -> (Vec<Vec<Option<String>>>, Vec<String>) {
    let first = rows.first();
    let is_missing = |name: &&String| first.is_some_and(|row| !row.contains_key(*name));
    let missing = columns.iter().filter(is_missing).cloned().collect();
    let row =
        |row: &Map<String, Json>| columns.iter().map(|name| row.get(name).and_then(text)).collect();
    (rows.iter().map(row).collect(), missing)
}

/// A complaint for each column that is answered more than once: a JSON object would have the key
/// twice.
pub(super) fn duplicates(columns: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<_> = columns.iter().filter(|name| !seen.insert(*name)).collect();
    let complaint = |name| format!("the column `{name}` is answered more than once: rename one");
    twice.into_iter().map(complaint).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_without_rows_is_nothing_or_an_empty_array() {
        assert_eq!(Body::new(Rows::One).finish(), None);
        assert_eq!(Body::new(Rows::Many).finish().unwrap(), "[]");
    }

    #[test]
    fn rows_are_joined_by_commas_and_one_row_stands_alone() {
        let collect = |rows| {
            let mut body = Body::new(rows);
            body.push(b"{}").unwrap();
            body.push(b"{\"a\":1}").unwrap();
            body.finish().unwrap()
        };
        assert_eq!(collect(Rows::Many), "[{},{\"a\":1}]");
        assert_eq!(collect(Rows::One), "{}");
    }

    #[test]
    fn an_answer_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
        let mut body = Body::new(Rows::Many);
        let row = vec![b'x'; BODY_LIMIT - 2];
        body.push(&row).unwrap();
        assert_eq!(body.finish().unwrap().len(), BODY_LIMIT);

        let mut body = Body::new(Rows::Many);
        let row = vec![b'x'; BODY_LIMIT - 1];
        assert!(matches!(body.push(&row), Err(OriginError::TooLarge)));
    }

    #[test]
    fn a_number_that_a_float_would_round_keeps_its_digits_as_a_string() {
        let row =
            r#"{"id": 123456789012345678901234567890, "n": 12.3400, "i": 9223372036854775807}"#;
        let columns = object(row).unwrap();
        assert_eq!(columns["id"], json!("123456789012345678901234567890"));
        assert_eq!(columns["n"], json!(12.34));
        assert_eq!(columns["i"], json!(i64::MAX));
    }
}
