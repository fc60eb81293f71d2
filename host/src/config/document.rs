//! One configuration while it is read: its text, the environment, and the problems found so far.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use super::environment::{Environment, variable};
use super::problem::{Location, ProblemAt};

/// Where a value stands and what it is called, as a problem names it.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub(super) place: Location,
    pub(super) path: String,
}

pub(super) struct Document<'a> {
    text: &'a str,
    file: &'a str,
    environment: &'a Environment,
    problems: RefCell<Vec<ProblemAt>>,
    /// Every variable that was looked up, with the key that it stands for.
    asked: RefCell<BTreeMap<String, String>>,
}

impl<'a> Document<'a> {
    pub(super) fn new(text: &'a str, file: &'a str, environment: &'a Environment) -> Self {
        Self { text, file, environment, problems: RefCell::default(), asked: RefCell::default() }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    pub(super) fn file(&self) -> &'a str {
        self.file
    }

    /// The position of the first byte of a span.
    pub(super) fn position(&self, span: &Range<usize>) -> Location {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Location::Position {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    pub(super) fn report(&self, spot: &Spot, message: impl Into<String>) {
        self.problems.borrow_mut().push(ProblemAt {
            place: spot.place.clone(),
            path: spot.path.clone(),
            message: message.into(),
        });
    }

    /// The variable that stands for a key, if it is set.
    pub(super) fn ask(&self, path: &[String]) -> Option<(String, &'a str)> {
        let name = variable(path);
        let path = spelled(path);
        let other = self.asked.borrow_mut().insert(name.clone(), path.clone());
        let (source, value) = self.environment.get(&name)?;
        if let Some(other) = other.filter(|other| *other != path) {
            let spot = Spot { place: Location::Variable(name.clone()), path: String::new() };
            self.report(&spot, format!("stands for {other} and for {path}; set them in the file"));
        }
        Some((source.to_owned(), value))
    }

    /// The variables under a path that nothing asked for, each with the rest of its name.
    pub(super) fn unasked_under(&self, path: &[String]) -> Vec<String> {
        let prefix = variable(path) + "_";
        let asked = self.asked.borrow();
        let rest = |name: &str| name.strip_prefix(&prefix).map(str::to_owned);
        self.environment
            .names()
            .filter(|name| !asked.contains_key(*name))
            .filter_map(rest)
            .filter(|rest| !rest.is_empty())
            .collect()
    }

    /// Reports the variables that no key asked for, and returns everything that was reported.
    pub(super) fn into_problems(self) -> Vec<ProblemAt> {
        let asked = self.asked.take();
        for (name, problem) in self.environment.problems() {
            let spot = Spot { place: Location::Variable(name.to_owned()), path: String::new() };
            self.report(&spot, problem);
        }
        for name in self.environment.ours().filter(|name| !asked.contains_key(*name)) {
            let spot = Spot { place: Location::Variable(name.to_owned()), path: String::new() };
            let hint = match suggestion(name, asked.keys().map(String::as_str)) {
                Some(known) => format!("stands for no key; did you mean {known}?"),
                None => "stands for no key; unset it".to_owned(),
            };
            self.report(&spot, hint);
        }
        self.problems.into_inner()
    }
}

/// A path as TOML spells it: `entity."user.profile".ttl`.
pub(super) fn spelled<S: AsRef<str>>(path: &[S]) -> String {
    let bare = |s: &str| {
        !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    let spell = |s: &str| if bare(s) { s.to_owned() } else { format!("{s:?}") };
    path.iter().map(|segment| spell(segment.as_ref())).collect::<Vec<_>>().join(".")
}

/// The known word that was probably meant: at most a third of its letters differ.
pub(crate) fn suggestion<'k>(
    word: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(word, known), known))
        .filter(|(distance, known)| *distance <= known.chars().count().div_ceil(3))
        .min()
        .map(|(_, known)| known)
}
