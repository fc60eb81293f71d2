//! What was found: the smallest example of every rule that a policy breaks for an entity.

use std::collections::BTreeMap;

use super::super::Finding;
use crate::policy::run::guard::Refused;

/// A rule that a policy can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// It has an answer to every call.
    Answers,
    /// It knows every read that is declared.
    Knows,
    /// Keys and tags are fit for the store.
    Legal,
    /// Two reads have two keys.
    Distinct,
    /// The same call has the same answer.
    Stable,
    /// Two instances answer alike.
    Alike,
    /// The order of arguments makes no difference.
    Unordered,
    /// Tags of rows are fit for the store.
    RowTags,
    /// A flight answers to everything that happens.
    Steps,
    /// A flight's actions are legal at their stages.
    OutOfTurn,
    /// Leases are neither too short nor too long.
    Lease,
    /// Lifetimes are within their bounds.
    Lifetime,
    /// Waits end with the deadline.
    Wait,
    /// Every flight can end.
    Ends,
    /// No flight goes on for as long as events allow it.
    Circles,
    /// What a write touches has names fit for the store.
    Targets,
    /// A write leaves no read stale that it touches.
    Covers,
}

/// The rule that an action breaks which the guard refuses.
impl From<Refused> for Rule {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::OutOfTurn(_) => Self::OutOfTurn,
            Refused::Lease => Self::Lease,
            Refused::Lifetime { .. } => Self::Lifetime,
            Refused::Wait => Self::Wait,
            Refused::Circling => Self::Circles,
        }
    }
}

/// Findings by entity and rule.
#[derive(Debug, Default)]
pub(super) struct Findings(BTreeMap<(String, Rule), Finding>);

impl Findings {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_all(self) -> impl Iterator<Item = Finding> {
        self.0.into_values()
    }

    /// Keeps what was found, unless a smaller example of the same is known.
    pub(super) fn keep(&mut self, rule: Rule, found: Finding) {
        let place = (found.at.clone(), rule);
        match self.0.get_mut(&place) {
            Some(smallest) if size(smallest) <= size(&found) => {}
            Some(smallest) => *smallest = found,
            None => {
                self.0.insert(place, found);
            }
        }
    }
}

/// Fewer moves are smaller; with equal moves, shorter examples are.
fn size(finding: &Finding) -> (usize, usize) {
    let examples = finding.examples.iter().map(String::len);
    (finding.sequence.len(), examples.sum())
}
