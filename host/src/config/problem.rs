//! Problems, each with its place.

use std::fmt;

/// Where a value stands, or should.
///
/// The order is the one in which problems are listed: whole files, positions from top to bottom,
/// environment variables by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// A file as a whole.
    File(String),
    /// A position in a file; both count from 1, columns in characters.
    Position {
        /// The file, as it was named on the command line.
        file: String,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An environment variable, by name.
    Variable(String),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.write_str(file),
            Self::Position { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// One problem of a configuration. Prints as one line and never holds a token or a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProblemAt {
    /// Where.
    pub place: Location,
    /// Which key, as TOML spells it: `entity."user.profile".ttl`. Empty if no single key is wrong.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for ProblemAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, path, message } = self;
        if path.is_empty() {
            return write!(f, "{place}: {message}");
        }
        match place {
            Location::File(_) | Location::Position { .. } => write!(f, "{place} {path}: {message}"),
            Location::Variable(_) => write!(f, "{place} ({path}): {message}"),
        }
    }
}

/// Every problem of a configuration, ordered by place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ProblemAt>);

impl ConfigErrors {
    /// Orders the problems by place.
    pub fn new(mut problems: Vec<ProblemAt>) -> Self {
        problems.sort();
        problems.dedup();
        Self(problems)
    }

    /// The problems, ordered by place.
    pub fn problems(&self) -> &[ProblemAt] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        match self.0.len() {
            1 => f.write_str("1 problem"),
            n => write!(f, "{n} problems"),
        }
    }
}

impl std::error::Error for ConfigErrors {}
