//! Policies: WebAssembly components that decide.
//!
//! | module | what it does |
//! |---|---|
//! | [`run`] | what a request passes: engine, pool, generation, guard, slot |
//! | [`prove`] | what a candidate passes: gate, suite, comparison, shadow |
//! | `build` | components from sources |
//!
//! This module knows neither store nor origin. It answers decisions and says which generation gave
//! them; whether a decision may be acted upon is checked in [`run::guard`].

mod batches;
pub mod bindings;
#[cfg(feature = "cli")]
pub mod build;
mod changes;
mod configuration;
pub mod prove;
pub mod run;
#[cfg(feature = "modules")]
mod sections;
#[cfg(test)]
mod testing;

use std::fmt;

pub use batches::{ROW_LIMIT, batches};
pub use changes::{OLD, row_change};
pub use configuration::Configuration;
pub use prove::shadow::{ShadowReport, Shadows};
pub(crate) use run::background::behind;
pub use run::builtin::{builtin, compile_builtin};
pub use run::calls::Calls;
pub use run::engine::{Engine, EngineError, Limits};
pub use run::file::read_file;
pub use run::generation::{Counts, Generation, Provenance, Summary, Undecided};
pub use run::guard::Named;
pub use run::pool::InstancePool;
pub use run::slot::{
    Activation, GenerationState, Introduction, NativePolicy, NothingToRollBack, Reason, Retold,
    Shown, Slot, SlotStatus, Tenure,
};
pub use run::trial::Probation;
pub use run::watch::{FileWatch, watch};

pub use bindings::types::{
    Action, Argument, Cause, Change, Column, ColumnValue, Concern, Entity, Event, Failure,
    Lifetime, LoadReport, Logged, Manifest, Memo, Moment, Objection, Operation, Parameter, Piece,
    Plan, Query, Refusal, Request, Row, RowChange, Scope, Sighting, Source, Subject, Target,
    Template, Terms, Touch, TouchedRead, Turn, Way, Write, Written,
};

/// The decisions of one policy. Pure: the same arguments give the same answer, on any thread.
///
/// The wasmtime pool implements it for components; tests implement it for the native `corral-core`.
pub trait Decider: Send + Sync {
    /// Names a read.
    ///
    /// # Errors
    /// [`Trap`] if the policy gave no answer. A [`Refusal`] is an answer.
    fn plan(&self, request: &Request) -> Result<Result<Plan, Refusal>, Trap>;

    /// The tags that depend on the loaded rows.
    ///
    /// # Errors
    /// As [`Decider::plan`].
    fn row_tags(
        &self,
        request: &Request,
        rows: &[Row],
    ) -> Result<Result<Vec<String>, Refusal>, Trap>;

    /// One transition of a flight.
    ///
    /// # Errors
    /// As [`Decider::plan`].
    fn step(&self, memo: Memo, moment: Moment, event: Event) -> Result<Turn, Trap>;

    /// What a change makes untrue.
    ///
    /// # Errors
    /// As [`Decider::plan`].
    fn invalidate(&self, change: &Change) -> Result<Vec<Target>, Trap>;

    /// Prepares for many calls at once. No answer changes.
    fn warm(&self) {}

    /// Releases what is kept for speed alone, since few calls will follow. No answer changes.
    fn cool(&self) {}
}

/// A policy call that gave no answer: it trapped, ran past its time or its memory, or could not be
/// instantiated. The instance is gone; the generation stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// The exported function.
    pub function: &'static str,
    /// What the engine said, on one line.
    pub reason: String,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy function {}: {}", self.function, self.reason)
    }
}

impl std::error::Error for Trap {}
