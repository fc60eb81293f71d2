//! What is wrong with a text that is not TOML.

use std::ops::Range;

use super::document::Document;
use super::problem::{Location, ProblemAt};
use super::{Environment, locate};

/// The parser's words for a key that a table has already.
const DUPLICATE: &str = "duplicate key";

/// An error of the parser.
pub(super) struct SyntaxError<'e> {
    pub(super) message: &'e str,
    pub(super) span: Range<usize>,
}

/// Every problem once. A table that is declared twice is one problem, whatever it has inside.
pub(super) fn problems<'e>(
    document: &Document<'_>,
    errors: impl Iterator<Item = SyntaxError<'e>>,
) -> Vec<ProblemAt> {
    let text = document.text();
    let mut problems = Vec::new();
    let mut twice: Vec<String> = Vec::new();
    for SyntaxError { message, span } in errors {
        let place = document.position(&span);
        // The error's own `Display` repeats the line, and with it a token.
        let mut message = format!("not TOML: {message}");
        if message.ends_with(DUPLICATE) {
            let path = path_at(text, &span);
            if twice.iter().any(|table| is_within(&path, table)) {
                continue;
            }
            message = format!("{message}: {path}{}", before(document, &path, span.start));
            twice.push(path);
        }
        problems.push(ProblemAt { place, path: String::new(), message });
    }
    problems
}

/// The key at a span as the file spells it, with the table that it stands in.
fn path_at(text: &str, span: &Range<usize>) -> String {
    let up_to = text.get(..span.end).unwrap_or(text);
    let line = up_to.rfind('\n').map_or(0, |newline| newline + 1);
    let key = up_to[line..].trim_start();
    if let Some(header) = key.strip_prefix('[') {
        return header.trim_start_matches('[').trim().to_owned();
    }
    let header = up_to[..line].lines().rev().find_map(|line| line.trim_start().strip_prefix('['));
    let table = header.and_then(|header| header.trim_start_matches('[').split_once(']'));
    table.map_or_else(|| key.to_owned(), |(table, _)| format!("{}.{key}", table.trim()))
}

fn is_within(path: &str, table: &str) -> bool {
    path.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Says on which line the key stood before the byte `at`.
fn before(document: &Document<'_>, path: &str, at: usize) -> String {
    let plain = path.replace(['"', '\''], "");
    let text = document.text().get(..at).unwrap_or_default();
    // The line of `at` is left out: a table that it begins is not whole yet.
    let text = text.rfind('\n').map_or("", |newline| &text[..newline]);
    let found = locate(text, document.file(), &Environment::default(), &plain, String::new());
    match found.place {
        Location::Position { line, .. } => format!(", which line {line} has already"),
        Location::File(_) | Location::Variable(_) => String::new(),
    }
}
