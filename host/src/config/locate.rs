//! From a path of the configuration back to the place in the file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, spelled};
use super::environment::Environment;
use super::problem::{Location, ProblemAt};

/// A problem with the place that the operator can change.
///
/// `path` is a path into the file, such as `store.url` or `entity.user.profile.ttl`; `text`, `file`
/// and `environment` are those that were parsed. A path that leads nowhere gets the place of the last
/// table on its way.
pub fn locate(
    text: &str,
    file: &str,
    environment: &Environment,
    path: &str,
    message: String,
) -> ProblemAt {
    let document = Document::new(text, file, environment);
    let (root, _) = DeTable::parse_recoverable(text);
    let mut walk = PathWalk { place: Location::File(file.to_owned()), path: Vec::new() };
    let missing = walk.table(&document, root.get_ref(), path);
    if let Some((variable, _)) = document.ask(&walk.path) {
        walk.place = Location::Variable(variable);
    }
    let mut path = spelled(&walk.path);
    if !missing.is_empty() {
        path = if path.is_empty() { missing.to_owned() } else { format!("{path}.{missing}") };
    }
    ProblemAt { place: walk.place, path, message }
}

/// How far a path led.
struct PathWalk {
    place: Location,
    path: Vec<String>,
}

impl PathWalk {
    /// Follows the path into a table, as far as it leads, and returns the rest of it. Names may
    /// have dots, so the longest key that fits is taken.
    fn table<'p>(
        &mut self,
        document: &Document<'_>,
        table: &DeTable<'_>,
        wanted: &'p str,
    ) -> &'p str {
        let fits = table.iter().filter_map(|(key, value)| {
            after(key.get_ref(), wanted).map(|rest| (key.get_ref().len(), key, value, rest))
        });
        let Some((_, key, value, rest)) = fits.max_by_key(|(length, ..)| *length) else {
            return wanted;
        };
        self.place = document.position(&value.span());
        self.path.push(key.get_ref().to_string());
        self.value(document, value, rest)
    }

    fn value<'p>(
        &mut self,
        document: &Document<'_>,
        value: &Spanned<DeValue<'_>>,
        rest: &'p str,
    ) -> &'p str {
        if let Some(table) = value.get_ref().as_table() {
            return self.table(document, table, rest);
        }
        let index = rest.trim_start_matches('[').split([']', '.']).next();
        let index = index.and_then(|index| index.parse::<usize>().ok());
        let items = value.get_ref().as_array();
        if let Some(item) = index.and_then(|index| items?.get(index)) {
            self.place = document.position(&item.span());
        }
        ""
    }
}

/// What follows a key on a path, if the path begins with it.
fn after<'p>(key: &str, wanted: &'p str) -> Option<&'p str> {
    let rest = wanted.strip_prefix(key)?;
    match rest.strip_prefix('.') {
        Some(rest) => Some(rest),
        None if rest.is_empty() || rest.starts_with('[') => Some(rest),
        None => None,
    }
}
