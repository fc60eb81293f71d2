//! A user's statement, as it is sent to the server.
//!
//! Each text ends with its parameter types in a comment: the driver remembers prepared statements
//! by their text alone, and one text with other types is another statement. Line breaks around the
//! user's text keep a comment at its end from swallowing what follows.

use crate::origin::{BODY_LIMIT, ParamType, ReadStatement, Rows};

/// The rows of a read as JSON objects, one text column; and after it `columns`, as they are.
///
/// `_corral.*` rather than `_corral`: a column of that name would be taken instead of the row. The
/// subquery's order is the outer one's, as nothing sorts or joins above it. A row that is too large
/// is cut off right behind the limit and comes without columns, since the driver holds a whole row
/// in memory. `OFFSET 0` keeps the subqueries apart, so that nothing in a row is computed again for
/// its size, its text and its columns.
pub(super) fn read_rows(read: &ReadStatement, columns: &[String]) -> String {
    let limit = match read.rows {
        Rows::One => " LIMIT 1",
        Rows::Many => "",
    };
    let (sql, types) = (&read.sql, signature(&read.params));
    let (row, longest) = ("row_to_json(_corral.*)::text", BODY_LIMIT + 1);
    let from = format!("FROM (\n{sql}\n) AS _corral{limit}");
    if columns.is_empty() {
        return format!("SELECT left({row}, {longest}) {from} /* {types} */");
    }
    let named =
        |(nth, name): (usize, &String)| format!(", _corral.{} AS c{nth}", quoted_identifier(name));
    let named: String = columns.iter().enumerate().map(named).collect();
    let asked =
        |nth: usize| format!(", CASE WHEN octet_length(json) <= {BODY_LIMIT} THEN c{nth} END");
    let asked: String = (0..columns.len()).map(asked).collect();
    format!(
        "SELECT left(json, {longest}){asked} FROM (SELECT {row} AS json{named} {from} OFFSET 0) AS _corral \
         /* {types} */"
    )
}

/// The statement as the user wrote it.
pub(super) fn plain(sql: &str, params: &[ParamType]) -> String {
    format!("{sql}\n/* {} */", signature(params))
}

fn quoted_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn signature(params: &[ParamType]) -> String {
    params.iter().map(ParamType::to_string).collect::<Vec<_>>().join(",")
}
