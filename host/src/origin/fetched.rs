//! What a read brings.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::rows::{ColumnText, Texts};
use super::value::{Decimal, held};

/// What a read brought: its answer, and the texts that names need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// JSON text. `None` if one row was asked for and there is none.
    pub body: Option<Bytes>,
    /// For each row of the answer the canonical texts of the asked columns, in the order asked;
    /// `None` for SQL's null. Empty if no columns were asked.
    pub rows: Vec<Vec<Option<String>>>,
    /// The asked columns that gave no text: the answer does not have them, or a value of theirs has
    /// none. Names that are built from these columns can't be known, so the answer must not be
    /// stored.
    pub missing: Vec<String>,
}

impl Fetched {
    /// A value that comes as JSON and from no database: an object, an array of objects, or nothing.
    /// The texts of `columns` are those that JSON gives: numbers keep all their digits.
    #[must_use]
    pub fn of_json(body: Option<Bytes>, columns: &[String]) -> Self {
        let mut texts = Texts::new(columns);
        if let Some(body) = &body
            && !columns.is_empty()
            && read(body, columns, &mut texts).is_none()
        {
            texts.miss_all();
        }
        let (rows, missing) = texts.finish();
        Self { body, rows, missing }
    }
}

/// `None` if the text is no object and no array of objects.
fn read(body: &[u8], columns: &[String], texts: &mut Texts<'_>) -> Option<()> {
    let rows: Vec<HashMap<String, &RawValue>> = match body.first()? {
        b'[' => serde_json::from_slice(body).ok()?,
        _ => vec![serde_json::from_slice(body).ok()?],
    };
    for row in rows {
        let token = |name| row.get(name).map_or(ColumnText::Missing, |token| text(token.get()));
        texts.push(columns.iter().map(token)).ok()?;
    }
    Some(())
}

fn text(token: &str) -> ColumnText {
    let text = match token.bytes().next() {
        Some(b'n') => return ColumnText::Null,
        Some(b't' | b'f') => Some(token.to_owned()),
        Some(b'"') => serde_json::from_str(token).ok(),
        Some(b'{' | b'[') => held::document(token),
        Some(_) | None => Decimal::parse_held(token).map(|number| number.to_string()),
    };
    text.map_or(ColumnText::Missing, ColumnText::Canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_a_document_keep_all_digits() {
        let fetched = of(r#"{"id": 12345678901234567890123, "n": 10.00, "t": "a", "z": null}"#);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(fetched.rows, [[text("12345678901234567890123"), text("10"), text("a"), None]]);
        assert_eq!(fetched.missing, Vec::<String>::new());
    }

    #[test]
    fn a_list_has_a_row_for_each_of_its_objects() {
        let fetched = of(r#"[{"id": 1, "n": 2, "t": true, "z": [1.0, "b"]}, {"id": 3}]"#);
        let text = |text: &str| Some(text.to_owned());
        let first = [text("1"), text("2"), text("true"), text(r#"[1,"b"]"#)];
        assert_eq!(fetched.rows, [first, [text("3"), None, None, None]]);
        assert_eq!(fetched.missing, ["n", "t", "z"]);
        assert_eq!(of("[]").rows, Vec::<Vec<_>>::new());
    }

    #[test]
    fn what_is_no_row_has_no_columns() {
        for body in ["7", "[1]", "\"a\""] {
            assert_eq!(of(body).missing, ["id", "n", "t", "z"], "{body}");
        }
        assert_eq!(Fetched::of_json(None, &["id".to_owned()]), Fetched::default());
    }

    fn of(body: &'static str) -> Fetched {
        let columns = ["id", "n", "t", "z"].map(str::to_owned);
        Fetched::of_json(Some(Bytes::from_static(body.as_bytes())), &columns)
    }
}
