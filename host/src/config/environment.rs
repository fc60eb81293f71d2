//! The environment: every value of the configuration can come from it.

use std::collections::BTreeMap;
use std::fmt;

/// What every variable of ours begins with.
const PREFIX: &str = "CORRAL_";

/// The variables whose names begin with `CORRAL_`. Its `Debug` shows names alone: values may be
/// secrets.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process. Bytes that are not UTF-8 become U+FFFD, which no value
    /// that matters accepts.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .collect()
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let ours = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .filter(|(name, _): &(String, String)| name.starts_with(PREFIX));
        Self(ours.collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The variable that stands for a key: `CORRAL_STORE_URL` for `store.url`.
pub(super) fn variable<S: AsRef<str>>(path: &[S]) -> String {
    let mut name = String::from(PREFIX);
    for (i, segment) in path.iter().enumerate() {
        if i > 0 {
            name.push('_');
        }
        let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        name.extend(segment.as_ref().chars().map(upper));
    }
    name
}
