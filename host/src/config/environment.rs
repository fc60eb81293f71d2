//! The environment: every value of the configuration can come from it, and secrets from files that it
//! names.
//!
//! Variables that have our prefix and are none of the configuration are ignored: those that an
//! orchestrator sets for a service named `corral`, and those of other commands.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};

/// What every variable of ours begins with.
const PREFIX: &str = "CORRAL_";

/// The token of `corral bench`.
const OF_BENCH: &str = "CORRAL_BENCH_TOKEN";

/// The variables whose values are secrets. With `_FILE` behind its name, each can name a file that
/// holds the secret.
const SECRETS: [&str; 6] = [
    "CORRAL_ACCESS_READ",
    "CORRAL_ACCESS_WRITE",
    "CORRAL_ADMIN_TOKEN",
    "CORRAL_ORIGIN_URL",
    "CORRAL_QUERY_URL",
    "CORRAL_STORE_URL",
];

/// Longer than any token and any URL: a larger file is another one than was meant.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The variables whose names begin with `CORRAL_`. Its `Debug` shows only their names: values may
/// be secrets.
#[derive(Clone, Default)]
pub struct Environment {
    values: BTreeMap<String, String>,
    /// For each value that came from a file, the variable that names the file.
    files: BTreeMap<String, String>,
    /// What is wrong with variables, by name.
    problems: Vec<(String, String)>,
}

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

    /// A value, and the variable that it comes from: this one, or the one that names its file.
    pub(super) fn get(&self, name: &str) -> Option<(&str, &str)> {
        let (name, value) = self.values.get_key_value(name)?;
        let source = self.files.get(name).unwrap_or(name);
        Some((source, value))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The variables of the configuration, as far as they can be told without its keys.
    pub(super) fn ours(&self) -> impl Iterator<Item = &str> {
        let ours = self.values.iter().filter(|(name, value)| !is_of_others(name, value));
        ours.map(|(name, _)| name.as_str())
    }

    /// What is wrong with variables whatever key asks for their values, by name.
    pub(super) fn problems(&self) -> impl Iterator<Item = (&str, &str)> {
        self.problems.iter().map(|(name, problem)| (name.as_str(), problem.as_str()))
    }

    /// Reads the secrets that lie in files.
    fn with_files(mut self) -> Self {
        for name in SECRETS {
            let variable = format!("{name}_FILE");
            let Some(path) = self.values.remove(&variable) else { continue };
            let secret = match self.values.contains_key(name) {
                true => Err(format!("{name} is set too; unset one of them")),
                false => secret(&path).map_err(|error| format!("{path:?} can't be read: {error}")),
            };
            match secret {
                Ok(secret) => {
                    self.values.insert(name.to_owned(), secret);
                    self.files.insert(name.to_owned(), variable);
                }
                Err(problem) => self.problems.push((variable, problem)),
            }
        }
        self
    }
}

/// What a file holds, without the end of its line.
fn secret(path: &str) -> io::Result<String> {
    let mut secret = String::new();
    let read = File::open(path)?.take(SECRET_BYTES_MAX + 1).read_to_string(&mut secret)?;
    if read as u64 > SECRET_BYTES_MAX {
        return Err(io::Error::other(format!("it is longer than {SECRET_BYTES_MAX} bytes")));
    }
    secret.truncate(secret.trim_end_matches(['\r', '\n']).len());
    Ok(secret)
}

/// Whether a variable that no key asked for is set by another program. Kubernetes sets these in
/// every pod for a service named `corral`, and the same with `ADMIN_` before them for one named
/// `corral-admin`: `SERVICE_HOST`, `SERVICE_PORT`, `SERVICE_PORT_HTTP`, `PORT=tcp://…`,
/// `PORT_7070_TCP`, `PORT_7070_TCP_ADDR`.
fn is_of_others(name: &str, value: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];
    let words: Vec<&str> = name.split('_').collect();
    let is_service = words.ends_with(&["SERVICE", "HOST"])
        || words.windows(2).any(|pair| pair == ["SERVICE", "PORT"]);
    let is_port = words.windows(3).any(|three| {
        let [word, number, protocol] = three else { return false };
        let protocol = protocol.to_ascii_lowercase();
        *word == "PORT" && number.parse::<u16>().is_ok() && PROTOCOLS.contains(&&*protocol)
    });
    let is_address = words.last() == Some(&"PORT")
        && value.split_once("://").is_some_and(|(scheme, _)| PROTOCOLS.contains(&scheme));
    is_service || is_port || is_address || name == OF_BENCH
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let ours = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .filter(|(name, _): &(String, String)| name.starts_with(PREFIX));
        Self { values: ours.collect(), ..Self::default() }.with_files()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
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
