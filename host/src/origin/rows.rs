//! Collects the rows of an answer, up to the limit: as JSON, and as the texts that names need.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{BODY_LIMIT, OriginError, OutputColumn, Rows};

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
    /// `TooLarge` if the answer passes [`BODY_LIMIT`].
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

    /// Whether further rows would change nothing.
    #[cfg(feature = "sqlite")]
    pub(super) fn is_complete(&self) -> bool {
        match self.rows {
            Rows::One => !self.is_empty,
            Rows::Many => false,
        }
    }

    /// The answer. `None` if one row was asked for and none came.
    pub(super) fn finish(mut self) -> Option<Bytes> {
        match self.rows {
            Rows::One if self.is_empty => return None,
            Rows::One => {}
            Rows::Many => self.bytes.push(b']'),
        }
        Some(Bytes::from(self.bytes))
    }
}

/// The canonical texts of asked columns, in the making.
#[derive(Debug)]
pub(super) struct Texts<'a> {
    asked: &'a [String],
    rows: Vec<Vec<Option<String>>>,
    is_missing: Vec<bool>,
    size: usize,
}

/// A value as names see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ColumnText {
    Null,
    Canonical(String),
    /// It has no text, or there is no such column.
    Missing,
}

impl<'a> Texts<'a> {
    pub(super) fn new(asked: &'a [String]) -> Self {
        Self { asked, rows: Vec::new(), is_missing: vec![false; asked.len()], size: 0 }
    }

    /// Adds a row: a text for each of the asked columns.
    ///
    /// # Errors
    /// `TooLarge` if the texts together pass [`BODY_LIMIT`].
    pub(super) fn push(
        &mut self,
        row: impl Iterator<Item = ColumnText>,
    ) -> Result<(), OriginError> {
        if self.asked.is_empty() {
            return Ok(());
        }
        let mut texts = Vec::with_capacity(self.asked.len());
        for (text, is_missing) in row.zip(&mut self.is_missing) {
            texts.push(match text {
                ColumnText::Canonical(text) => {
                    self.size += text.len();
                    Some(text)
                }
                ColumnText::Null => None,
                ColumnText::Missing => {
                    *is_missing = true;
                    None
                }
            });
        }
        if self.size > BODY_LIMIT {
            return Err(OriginError::TooLarge);
        }
        self.rows.push(texts);
        Ok(())
    }

    /// Marks every asked column as missing.
    pub(super) fn miss_all(&mut self) {
        self.is_missing.fill(true);
    }

    /// The rows, and the columns that gave no text.
    pub(super) fn finish(self) -> (Vec<Vec<Option<String>>>, Vec<String>) {
        let missing = self.asked.iter().zip(self.is_missing).filter(|(_, is_missing)| *is_missing);
        (self.rows, missing.map(|(name, _)| name.clone()).collect())
    }
}

/// A complaint for each column that is answered more than once: a JSON object would have the key
/// twice.
pub(super) fn duplicates(columns: &[OutputColumn]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let names = columns.iter().map(|column| &column.name);
    let twice: BTreeSet<_> = names.filter(|name| !seen.insert(*name)).collect();
    let complaint = |name| format!("the column `{name}` is answered more than once: rename one");
    twice.into_iter().map(complaint).collect()
}

#[cfg(test)]
mod tests {
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
    fn a_value_without_a_text_makes_its_column_missing_and_no_other() {
        let asked = ["a".to_owned(), "b".to_owned()];
        let mut texts = Texts::new(&asked);
        texts.push([ColumnText::Canonical("1".to_owned()), ColumnText::Null].into_iter()).unwrap();
        texts
            .push([ColumnText::Canonical("2".to_owned()), ColumnText::Missing].into_iter())
            .unwrap();
        let (rows, missing) = texts.finish();
        assert_eq!(rows, [[Some("1".to_owned()), None], [Some("2".to_owned()), None]]);
        assert_eq!(missing, ["b"]);
    }

    #[test]
    fn rows_are_not_counted_when_no_columns_are_asked() {
        let mut texts = Texts::new(&[]);
        texts.push(std::iter::empty()).unwrap();
        assert_eq!(texts.finish(), (vec![], vec![]));
    }
}
