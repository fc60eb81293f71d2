//! The contract's types, as plain Rust. They mirror `wit/policy.wit`, which documents them line by
//! line; what is said here is what a reader of this crate needs. Durations are milliseconds.

mod change;
mod entity;
mod flight;
mod read;

use alloc::string::String;
use core::fmt;

pub use change::*;
pub use entity::*;
pub use flight::*;
pub use read::*;

/// What the policy is called in logs, headers and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Lower-case letters, digits, `-` and `.`.
    pub name: String,
    /// `major.minor.patch`.
    pub version: String,
}

/// What an [`Objection`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concern {
    /// A value of the policy's own settings, as a path into them: `rules[0].ttl_ms`. The empty path
    /// means the settings as a whole.
    Setting(String),
    /// An entity, by name.
    Entity(String),
}

/// Why a policy can't be configured with what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// What it is about.
    pub about: Concern,
    /// What is wrong there and what would be right, for an operator.
    pub message: String,
}

impl Objection {
    /// An objection to a value of the policy's own settings.
    #[must_use]
    pub fn to_setting(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { about: Concern::Setting(path.into()), message: message.into() }
    }

    /// An objection to an entity.
    #[must_use]
    pub fn to_entity(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { about: Concern::Entity(name.into()), message: message.into() }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.about {
            Concern::Setting(path) if path.is_empty() => f.write_str(&self.message),
            Concern::Setting(path) => write!(f, "{path}: {}", self.message),
            Concern::Entity(name) => write!(f, "entity {name}: {}", self.message),
        }
    }
}

impl core::error::Error for Objection {}
