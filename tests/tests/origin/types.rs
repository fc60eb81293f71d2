//! The table of types: equal values have one text, whatever their source, and different values have
//! different texts.
//!
//! The database itself judges which values are equal. The sources are an argument of a read, an
//! argument of a write, a column of a row, and a column that a write returns. A run over ten
//! thousand values of each type takes minutes: `cargo test --test origin types -- --ignored
//! --nocapture`.

#![allow(clippy::print_stdout, reason = "the table is what a run is for")]

mod draw;
mod postgres;
mod sqlite;

use std::collections::BTreeMap;

use corral_host::origin::{Origin, OriginError, Value};
use futures_util::{StreamExt, stream};

use crate::kit::{AMPLE, many, names, write};
use draw::Draw;

/// Values of each type in a short run and in a long one.
const FEW: usize = 40;
const MANY: usize = 10_000;

/// Statements that run at the same time.
const AT_ONCE: usize = 8;

/// A column type, and how its values are drawn.
struct Case {
    /// The column's declaration.
    column: &'static str,
    /// The type of a parameter that is compared with it.
    param: &'static str,
    draw: Draw,
}

/// A value in a table: the text it was made from, and its class under the database's equality.
struct Held {
    spelling: String,
    class: i64,
}

/// The numbers of what was compared.
#[derive(Debug)]
struct Compared {
    distinct: usize,
    /// Values that a parameter can have, too.
    arguments: usize,
}

/// Compares the sources over a table `v (n, v, class)` of these values, numbered from 1, and a
/// table `w (v)` to write to.
async fn compare(origin: &dyn Origin, case: &Case, held: &[Held]) -> Compared {
    let rows = columns(origin).await;
    let returned = returned(origin).await;
    assert_eq!(rows.len(), held.len());
    assert_eq!(rows, returned, "{}: a row's column and a returned one", case.column);
    let mut text_of: BTreeMap<i64, &str> = BTreeMap::new();
    let mut class_of: BTreeMap<&str, i64> = BTreeMap::new();
    for (value, text) in held.iter().zip(&rows) {
        let known = text_of.entry(value.class).or_insert(text);
        assert_eq!(known, text, "{}: one value, {:?}, has two texts", case.column, value.spelling);
        let class = *class_of.entry(text).or_insert(value.class);
        assert_eq!(class, value.class, "{}: {text:?} is the text of two values", case.column);
    }
    let arguments = stream::iter(held.iter().zip(&rows).enumerate())
        .map(|(at, (value, text))| argument(origin, case, at + 1, &value.spelling, text))
        .buffer_unordered(AT_ONCE)
        .filter(|is_argument| std::future::ready(*is_argument))
        .count()
        .await;
    Compared { distinct: text_of.len(), arguments }
}

/// Compares an argument with the column that holds its value; `false` if no parameter can have this
/// value.
async fn argument(
    origin: &dyn Origin,
    case: &Case,
    number: usize,
    spelling: &str,
    text: &str,
) -> bool {
    let (column, param) = (case.column, case.param);
    let Ok(value) = Value::from_text(param.parse().unwrap(), Some(spelling)) else {
        return false;
    };
    let is_named_alike = value.canonical() == Some(text);
    let found = format!("SELECT v FROM v WHERE n = $1 AND v = {}", case.compared("$2"));
    let values = [Value::from(i64::try_from(number).unwrap()), value.clone()];
    let read = many(&found, &["int8", param]);
    let fetched = match origin.load(&read, &values, &names(&["v"]), AMPLE).await {
        // A parameter that the database would round is rejected.
        Err(OriginError::Rejected { .. }) => return false,
        fetched => fetched.unwrap(),
    };
    let is_found = fetched.rows == [[Some(text.to_owned())]];
    assert_eq!(is_found, is_named_alike, "{column}: {spelling:?} as a {param}, and {text:?}");
    if !is_found {
        return false;
    }
    let insert = format!("INSERT INTO w VALUES ({}) RETURNING v", case.compared("$1"));
    let insert = write(&insert, &[param]);
    let written = origin.execute(&insert, &[value], &names(&["v"]), AMPLE).await.unwrap();
    assert_eq!(written.returned, [[Some(text.to_owned())]], "{column}: {spelling:?}, written");
    written.transaction.commit().await.unwrap();
    true
}

impl Case {
    /// The parameter, cast to the column's type if the two could not be compared otherwise.
    fn compared(&self, param: &str) -> String {
        match self.column {
            "color" | "color[]" => format!("{param}::{}", self.column),
            _ => param.to_owned(),
        }
    }
}

/// The texts of the row's column.
async fn columns(origin: &dyn Origin) -> Vec<String> {
    let read = many("SELECT n, v FROM v ORDER BY n", &[]);
    let fetched = origin.load(&read, &[], &names(&["v"]), AMPLE).await.unwrap();
    assert_eq!(fetched.missing, Vec::<String>::new());
    fetched.rows.into_iter().map(|row| row.into_iter().next().flatten().unwrap()).collect()
}

/// The texts of the returned column.
async fn returned(origin: &dyn Origin) -> Vec<String> {
    let update = write("UPDATE v SET n = n RETURNING n, v", &[]);
    let written = origin.execute(&update, &[], &names(&["n", "v"]), AMPLE).await.unwrap();
    assert_eq!(written.missing, Vec::<String>::new());
    written.transaction.commit().await.unwrap();
    let row = |row: Vec<Option<String>>| {
        let [number, text] = row.try_into().unwrap();
        (number.unwrap().parse::<usize>().unwrap(), text.unwrap())
    };
    let by_number: BTreeMap<usize, String> = written.returned.into_iter().map(row).collect();
    by_number.into_values().collect()
}
