//! Two policies side by side: the same questions to both, and where their answers differ.
//!
//! A policy is a pure function, so two of them can be compared without a store, an origin or a
//! clock: keys and tags of reads, lifetimes over entropy, flights over sequences of events, targets
//! of writes. What the differences cost is predicted by [`trace`].

mod course;
mod entropy;
mod flights;
mod ledger;
mod lifetimes;
mod plans;
pub mod trace;
pub(crate) mod words;
mod writes;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::policy::{Change, Decider, Request, Subject};

pub(crate) use course::{Course, Decided};
pub(crate) use entropy::entropies;
pub(crate) use flights::{is_alike, same_kind};
pub(crate) use ledger::Differences;
pub use ledger::{Aspect, Difference, Example};
pub(crate) use lifetimes::spread;
pub use lifetimes::{Extent, Shift, Spread};
pub(crate) use plans::compare as compare_plans;
pub(crate) use writes::compare as compare_targets;

/// What both policies are asked.
#[derive(Debug, Clone, Default)]
pub struct Questions {
    /// Reads, by which keys, tags and refusals are compared. Flights are compared for the first
    /// read of each entity.
    pub reads: Vec<Request>,
    /// Writes, by which invalidations are compared.
    pub changes: Vec<Change>,
    /// The deadline of each entity.
    pub deadlines_ms: BTreeMap<String, u32>,
    /// What a load costs.
    pub cost_ms: u32,
}

/// What two policies answered.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Everything that was compared, by entity and aspect.
    pub findings: Vec<Difference>,
    /// Lifetimes over entropy that moved.
    pub lifetimes: Vec<Shift>,
}

/// The two policies.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    /// The policy in force, or the one that is named first.
    pub old: &'a dyn Decider,
    /// The other policy.
    pub new: &'a dyn Decider,
}

/// How long a flight may take if its entity names no deadline.
const DEADLINE_MS: u32 = 2_000;

impl Comparison {
    /// Whether any decision differs.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.findings.iter().any(|finding| finding.differing > 0)
    }
}

impl Pair<'_> {
    /// Asks both policies every question.
    #[must_use]
    pub fn compare(self, questions: &Questions) -> Comparison {
        let mut ledger = Differences::new(1);
        let mut lifetimes = Vec::new();
        for request in &questions.reads {
            let (old, new) = (self.old.plan(request), self.new.plan(request));
            plans::compare(&mut ledger, request, &old, &new);
            plans::compare_row_tags(&mut ledger, self, request, &old, &new);
        }
        for (entity, request) in first_reads(&questions.reads) {
            let deadline_ms = questions.deadlines_ms.get(entity).copied().unwrap_or(DEADLINE_MS);
            flights::compare(&mut ledger, self, entity, request, deadline_ms);
            let terms = lifetimes::LoadTerms { deadline_ms, cost_ms: questions.cost_ms };
            lifetimes.extend(lifetimes::compare(&mut ledger, self, entity, request, terms));
        }
        for change in &questions.changes {
            let (old, new) = (self.old.invalidate(change), self.new.invalidate(change));
            writes::compare(&mut ledger, change, &old, &new);
        }
        Comparison { findings: ledger.findings().cloned().collect(), lifetimes }
    }
}

/// The entity that a read is counted under.
pub(crate) fn entity_of(request: &Request) -> &str {
    match &request.subject {
        Subject::Entity(name) => name,
        Subject::Query(_) => "~query",
    }
}

fn first_reads(reads: &[Request]) -> BTreeMap<&str, &Request> {
    let mut first = BTreeMap::new();
    for request in reads {
        first.entry(entity_of(request)).or_insert(request);
    }
    first
}

#[cfg(test)]
mod tests;
