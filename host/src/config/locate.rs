//! From a path in the policy's settings back to the place in the file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, spelled};
use super::environment::Environment;
use super::problem::{Place, ProblemAt};

/// A problem that a policy reported at `configure`, with the place that the operator can change.
///
/// `path` is a path into [`policy_settings_json`](super::Config::policy_settings_json), such as
/// `entities.user.profile.ttl_ms` or `jitter`; `text`, `file` and `environment` are those that were
/// parsed. A path that leads nowhere gets the place of the last table on its way.
pub fn locate(
    text: &str,
    file: &str,
    environment: &Environment,
    path: &str,
    message: String,
) -> ProblemAt {
    locate_key(text, file, environment, &in_file(path), message)
}

/// The same for a path of the file itself, such as `store.url`.
pub fn locate_key(
    text: &str,
    file: &str,
    environment: &Environment,
    path: &str,
    message: String,
) -> ProblemAt {
    let document = Document::new(text, file, environment);
    let (root, _) = DeTable::parse_recoverable(text);
    let mut walk = Walk { place: Place::File(file.to_owned()), path: Vec::new() };
    let missing = walk.table(&document, root.get_ref(), path);
    if let Some((variable, _)) = document.ask(&walk.path) {
        walk.place = Place::Variable(variable);
    }
    let mut path = spelled(&walk.path);
    if !missing.is_empty() {
        path = if path.is_empty() { missing.to_owned() } else { format!("{path}.{missing}") };
    }
    ProblemAt { place: walk.place, path, message }
}

/// The path that the file has for a path of the settings.
fn in_file(path: &str) -> String {
    match path.strip_prefix("entities") {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => format!("entity{rest}"),
        _ if path == "query" || path.starts_with("query.") => path.to_owned(),
        _ if path.is_empty() => "policy.settings".to_owned(),
        _ => format!("policy.settings.{path}"),
    }
}

/// How far a path led.
struct Walk {
    place: Place,
    path: Vec<String>,
}

impl Walk {
    /// Follows the path into a table, as far as it leads; what is left of it is returned. Names
    /// have dots of their own, so the longest key that fits is taken.
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

/// What follows a key on a path, if the path begins with it. The settings spell `ttl` as `ttl_ms`
/// and `write` as `writes`.
fn after<'p>(key: &str, wanted: &'p str) -> Option<&'p str> {
    let rest = wanted.strip_prefix(key)?;
    let rest = match rest {
        "_ms" | "-ms" => "",
        _ if key == "write" => rest.strip_prefix('s')?,
        rest => rest,
    };
    match rest.strip_prefix('.') {
        Some(rest) => Some(rest),
        None if rest.is_empty() || rest.starts_with('[') => Some(rest),
        None => None,
    }
}
