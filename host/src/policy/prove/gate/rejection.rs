//! Why a component did not pass, for operators and for programs.

use std::fmt;

use serde::Serialize;

use crate::policy::{Concern, Objection};

/// Where the examination ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It is too large.
    Size,
    /// It is not WebAssembly, or it is not complete.
    Format,
    /// It is not valid WebAssembly.
    Validity,
    /// It imports something.
    Imports,
    /// It does not export the contract's functions with the contract's types.
    Exports,
    /// It can't be instantiated within its limits.
    Instance,
    /// `describe` gives no legal manifest.
    Manifest,
    /// `configure` does not accept the settings.
    Settings,
    /// Its decisions can't be acted upon.
    Behaviour,
}

/// A component that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Where the examination ended.
    pub stage: Stage,
    /// Why, as a sentence without a full stop.
    pub reason: String,
    /// Everything that was found at this stage. Empty if the reason says it all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where: an import, an export, a path of the configuration file, an entity.
    pub at: String,
    /// What is wrong there.
    pub message: String,
    /// The smallest requests that show it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// The smallest sequence of a flight that shows it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sequence: Vec<Move>,
}

/// What happened, and what the policy wanted done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// What happened, and when.
    pub event: String,
    /// The policy's answer.
    pub action: String,
}

impl Finding {
    pub(super) fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into(), examples: Vec::new(), sequence: Vec::new() }
    }
}

/// Names the place as a path of the configuration file, where the operator finds it.
impl From<Objection> for Finding {
    fn from(Objection { about, message }: Objection) -> Self {
        let at = match about {
            Concern::Setting(path) if path.is_empty() => "policy.settings".to_owned(),
            Concern::Setting(path) => format!("policy.settings.{path}"),
            Concern::Entity(name) => format!("entity.{name}"),
        };
        Self::new(at, message)
    }
}

impl Rejection {
    pub(super) fn reason(stage: Stage, reason: impl Into<String>) -> Self {
        Self { stage, reason: reason.into(), findings: Vec::new() }
    }

    /// The examination panicked; nothing is known about the component.
    #[must_use]
    pub fn crashed() -> Self {
        Self::reason(Stage::Behaviour, "the examination broke off; the log has the reason")
    }

    pub(super) fn findings(
        stage: Stage,
        reason: impl Into<String>,
        findings: impl IntoIterator<Item = Finding>,
    ) -> Self {
        Self { stage, reason: reason.into(), findings: findings.into_iter().collect() }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused at the gate ({}): {}", self.stage, self.reason)?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

impl std::error::Error for Rejection {}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.at.is_empty() {
            write!(f, "{}: ", self.at)?;
        }
        f.write_str(&self.message)?;
        self.examples.iter().try_for_each(|example| write!(f, "\n    {example}"))?;
        self.sequence
            .iter()
            .try_for_each(|turn| write!(f, "\n    {} → {}", turn.event, turn.action))
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::Format => "format",
            Self::Validity => "validity",
            Self::Imports => "imports",
            Self::Exports => "exports",
            Self::Instance => "instance",
            Self::Manifest => "manifest",
            Self::Settings => "settings",
            Self::Behaviour => "behaviour",
        })
    }
}
