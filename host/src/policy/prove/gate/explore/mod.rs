//! Behaviour: a candidate is asked for decisions, and the host must be able to act upon every
//! answer.
//!
//! The exploration has a limited time. Flights that it did not reach are reported. Generated reads,
//! tags of their rows and touches of writes that it did not reach are a reason to refuse the
//! candidate: a key that was not examined may be another read's.

mod asked;
mod covered;
mod findings;
mod flights;
mod logged;
mod names;
#[cfg(test)]
mod testing;
mod touches;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{Conditions, Hot, Rejection, Stage};
use crate::policy::Decider;

pub use asked::Slowest;
use asked::Twins;
use findings::Findings;
use names::KnownKeys;

/// The share of the time at which each part ends, in hundredths. A part that ends earlier leaves
/// its time to the next ones. Reads and touches have most of it, since a candidate passes only if
/// all of them were examined.
mod until {
    pub(super) const READS: u32 = 50;
    pub(super) const HOT: u32 = 55;
    pub(super) const TOUCHES: u32 = 75;
    pub(super) const OUTLINES: u32 = 90;
    pub(super) const FLIGHTS: u32 = 100;
}

/// How far the exploration got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Explored {
    /// Everything was explored.
    pub complete: bool,
    /// Reads that were named, hot ones included, and rows whose tags were examined.
    pub reads: Progress,
    /// Changes by writes whose targets were compared with what the writes touch.
    pub changes: Progress,
    /// Machines of flights that were explored: one for each memo that the plans of an entity begin
    /// with.
    pub machines: Progress,
    /// Machines that were explored with every event. Each of the others takes the same turns as one
    /// of these for the half dozen events that tell machines apart.
    pub in_full: usize,
    /// Situations that a flight can be in.
    pub situations: usize,
    /// Decisions in the longest sequence.
    pub depth: u32,
}

/// How many of something were examined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// How many were examined.
    pub done: usize,
    /// How many there are.
    pub of: usize,
}

/// What the exploration found out.
#[derive(Debug)]
pub(super) struct Learned {
    pub(super) decisions: u64,
    pub(super) slowest: Slowest,
    pub(super) hot: Hot,
    pub(super) explored: Explored,
}

impl Explored {
    /// `None` if everything was explored, since only an incomplete exploration is logged.
    #[must_use]
    pub fn cut_short(self) -> Option<Self> {
        (!self.complete).then_some(self)
    }
}

/// How far the exploration got, as a sentence.
impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { complete, reads, changes, machines, in_full, situations, depth } = self;
        let all = if *complete { "all" } else { "as far as there was time (policy.limits.gate)" };
        write!(
            f,
            "explored {all}: {reads} reads, {changes} changes, {machines} machines, {in_full} of them \
             in full, {situations} situations, {depth} turns deep"
        )
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { done, of } if done == of => write!(f, "{done}"),
            Self { done, of } => write!(f, "{done} of {of}"),
        }
    }
}

impl Progress {
    fn is_all(self) -> bool {
        self.done == self.of
    }
}

/// Rejects a candidate of which too many reads and changes are not examined.
fn unexamined(reads: Progress, changes: Progress, time: Duration) -> Rejection {
    let time = humantime::format_duration(time);
    Rejection::reason(
        Stage::Behaviour,
        format!(
            "there was time to examine only {reads} of its reads and {changes} of its changes; give it more \
             with policy.limits.gate, which is \"{time}\""
        ),
    )
}

struct Exploration<'p> {
    asked: Twins<'p>,
    keys: KnownKeys,
    findings: Findings,
    hot: Hot,
    progress: Explored,
    /// The reads and rows that were generated, without the hot reads.
    generated: Progress,
}

/// Asks two instances of a policy (both may be the same one) for the reads of every entity, for
/// what writes touch, and for every turn of flights.
///
/// # Errors
/// [`Rejection`] with one finding for every entity and rule.
pub(super) fn explore(
    pair: [&dyn Decider; 2],
    conditions: &Conditions,
    time: Duration,
) -> Result<Learned, Rejection> {
    let mut exploration = Exploration {
        asked: Twins::new(pair, time),
        keys: KnownKeys::default(),
        findings: Findings::default(),
        hot: Hot::default(),
        progress: Explored::default(),
        generated: Progress::default(),
    };
    let known = exploration.reads(conditions);
    exploration.generated = exploration.progress.reads;
    exploration.hot_reads(&conditions.hot);
    exploration.changes(conditions);
    exploration.flights(conditions, &known);
    exploration.end()
}

impl Exploration<'_> {
    fn end(self) -> Result<Learned, Rejection> {
        let Self { asked, findings, hot, progress, generated, .. } = self;
        if findings.is_empty() {
            if !generated.is_all() || !progress.changes.is_all() {
                return Err(unexamined(generated, progress.changes, asked.time()));
            }
            let explored = Explored { complete: !asked.has_left_out(), ..progress };
            let (decisions, slowest) = (asked.decisions, asked.slowest);
            return Ok(Learned { decisions, slowest, hot, explored });
        }
        let reason = "it gives answers that a host can't act upon";
        Err(Rejection::findings(Stage::Behaviour, reason, findings.into_all()))
    }
}

#[cfg(test)]
mod tests;
