//! What must still be removed from the node before the node is trusted: one set.
//!
//! Writes, doubts, outages and the intents of lost hosts fill the set; paying it is a condition of trust
//! (race H). The set holds targets: a hot row that is written ten thousand times during an outage is one
//! entry.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::observe::Metrics;
use crate::store::IntentTarget;

/// The largest number of targets, about 200 bytes each. A write that would pass the limit is refused before
/// it runs: an invalidation that can't be remembered must not be promised.
const LIMIT: usize = 500_000;

/// The targets that are owed.
pub(super) struct Debt {
    owed: Mutex<Owed>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Owed {
    /// Each target with the number of its last addition: a target that is added again while it is paid is
    /// still owed.
    targets: BTreeMap<IntentTarget, u64>,
    additions: u64,
    /// The number of the last addition of everything: every value of the deployment is owed.
    everything: Option<u64>,
}

impl Owed {
    fn is_clear(&self) -> bool {
        self.targets.is_empty() && self.everything.is_none()
    }
}

/// A part of a debt that is being paid.
#[derive(Clone)]
pub(super) struct Part {
    targets: Vec<(IntentTarget, u64)>,
    everything: Option<u64>,
}

impl Part {
    /// Whether every value of the deployment has to be removed.
    pub(super) fn is_everything(&self) -> bool {
        self.everything.is_some()
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = &IntentTarget> {
        self.targets.iter().map(|(target, _)| target)
    }
}

impl Debt {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { owed: Mutex::default(), metrics }
    }

    /// How many targets are owed.
    pub(super) fn len(&self) -> usize {
        let owed = self.lock();
        owed.targets.len() + usize::from(owed.everything.is_some())
    }

    /// Whether `more` targets may still be promised.
    pub(super) fn has_room_for(&self, more: usize) -> bool {
        self.lock().targets.len() + more <= LIMIT
    }

    /// Adds targets to the debt.
    pub(super) fn add(&self, targets: impl IntoIterator<Item = IntentTarget>) {
        let mut owed = self.lock();
        for target in targets {
            owed.additions += 1;
            let addition = owed.additions;
            let kind = match &target {
                IntentTarget::Read { .. } | IntentTarget::Key(_) => "key",
                IntentTarget::Tag(_) => "tag",
            };
            self.metrics.invalidations(kind, "pending", 1);
            owed.targets.insert(target, addition);
        }
        self.count(&owed);
    }

    /// Adds every value of the deployment to the debt.
    pub(super) fn add_everything(&self) {
        let mut owed = self.lock();
        owed.additions += 1;
        owed.everything = Some(owed.additions);
        self.count(&owed);
    }

    /// The next part of the debt: at most `at_most` targets, in their order, after those of `last`. The first
    /// part (`last` is `None`) also carries everything, if everything is owed. `None` if nothing is left.
    pub(super) fn part(&self, at_most: usize, last: Option<&Part>) -> Option<Part> {
        let owed = self.lock();
        let from = last.and_then(|part| part.targets.last());
        let from = from.map_or(Bound::Unbounded, |(target, _)| Bound::Excluded(target));
        let targets = owed.targets.range((from, Bound::Unbounded)).take(at_most);
        let targets: Vec<_> = targets.map(|(target, at)| (target.clone(), *at)).collect();
        let everything = owed.everything.filter(|_| last.is_none());
        (!targets.is_empty() || everything.is_some()).then_some(Part { targets, everything })
    }

    /// Removes a part that was paid. A target that was added again meanwhile is still owed.
    pub(super) fn paid(&self, part: &Part) {
        let mut owed = self.lock();
        for (target, addition) in &part.targets {
            if owed.targets.get(target) == Some(addition) {
                owed.targets.remove(target);
            }
        }
        if part.everything.is_some() && owed.everything == part.everything {
            owed.everything = None;
        }
        self.count(&owed);
    }

    /// Runs `when_clear` if nothing is owed, and says whether it did. Nothing can be added while it runs.
    pub(super) fn if_clear(&self, when_clear: impl FnOnce()) -> bool {
        let owed = self.lock();
        let is_clear = owed.is_clear();
        if is_clear {
            when_clear();
        }
        is_clear
    }

    fn count(&self, owed: &Owed) {
        self.metrics.pending_invalidations.set(owed.targets.len() as u64);
    }

    fn lock(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreTag;

    fn tag(text: &str) -> IntentTarget {
        IntentTarget::Tag(StoreTag::try_new(text).unwrap())
    }

    fn debt() -> Debt {
        Debt::new(Arc::new(Metrics::new([])))
    }

    #[test]
    fn a_row_that_is_written_often_is_owed_once() {
        let debt = debt();
        for _ in 0..10_000 {
            debt.add([tag("hot")]);
        }
        assert_eq!(debt.len(), 1);
    }

    #[test]
    fn what_is_added_while_it_is_paid_is_owed_still() {
        let debt = debt();
        debt.add([tag("a"), tag("b")]);
        let part = debt.part(10, None).unwrap();
        debt.add([tag("a")]);
        debt.paid(&part);
        let left: Vec<_> = debt.part(10, None).unwrap().targets().cloned().collect();
        assert_eq!(left, [tag("a")]);
        assert!(!debt.if_clear(|| panic!("something is owed")));
    }

    #[test]
    fn parts_follow_each_other_and_everything_is_of_the_first() {
        let debt = debt();
        debt.add(["a", "b", "c"].map(tag));
        debt.add_everything();
        let first = debt.part(2, None).unwrap();
        let second = debt.part(2, Some(&first)).unwrap();
        assert!(first.is_everything() && !second.is_everything());
        assert!(first.targets().chain(second.targets()).eq(&["a", "b", "c"].map(tag)));
        assert!(debt.part(2, Some(&second)).is_none());
        debt.paid(&second);
        assert_eq!(debt.len(), 3, "everything is owed still");
        debt.paid(&first);
        assert_eq!(debt.len(), 0);
    }

    #[test]
    fn everything_that_is_added_while_it_is_paid_is_owed_still() {
        let debt = debt();
        debt.add_everything();
        let part = debt.part(10, None).unwrap();
        debt.add_everything();
        debt.paid(&part);
        let part = debt.part(10, None).unwrap();
        assert!(part.is_everything());
        debt.paid(&part);
        assert!(debt.if_clear(|| {}));
    }
}
