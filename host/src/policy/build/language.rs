//! The languages that policies are written in.

use std::path::Path;
use std::time::Duration;

use crate::policy::Limits;

/// A language that policies are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(PartialOrd, Ord))]
pub enum Language {
    /// Compiled to a core module by the Rust compiler.
    Rust,
    /// Compiled with QuickJS by `componentize-qjs`.
    JavaScript,
    /// Compiled with CPython by `componentize-py`.
    Python,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 3] = [Self::Rust, Self::JavaScript, Self::Python];

    /// As the command line names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaScript => "js",
            Self::Python => "python",
        }
    }

    /// The file by which a project of this language is known.
    pub(super) fn marker(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::JavaScript => "package.json",
            Self::Python => "app.py",
        }
    }

    /// The language of the project in `directory`; `None` if there is no project.
    #[must_use]
    pub fn of(directory: &Path) -> Option<Self> {
        Self::ALL.into_iter().find(|language| directory.join(language.marker()).is_file())
    }

    /// Limits that suit a policy in this language. An interpreter brings its own heap, takes longer
    /// to start, and digests a key of some kilobytes in milliseconds.
    #[must_use]
    pub fn limits(self) -> Limits {
        match self {
            Self::Rust => Limits::default(),
            Self::JavaScript | Self::Python => Limits {
                call: Duration::from_millis(250),
                start: Duration::from_secs(5),
                memory_bytes: 128 << 20,
                gate: Duration::from_secs(10),
                ..Limits::default()
            },
        }
    }
}
