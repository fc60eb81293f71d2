//! Pairs of policies that name generated reads alike. A policy is a pure function, so two policies
//! that were compared once under the same entities need not be compared again.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::policy::prove::gate::Passed;
use crate::policy::{Configuration, Generation};

use super::lock;

/// The largest number of pairs: more than there are between the policies that an operator exchanges
/// to and fro.
const PAIRS: usize = 16;

/// The pairs that are known, the newest last.
#[derive(Default)]
pub(super) struct Alike(Mutex<VecDeque<UnorderedPair>>);

/// Two components with their settings, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnorderedPair([(String, String); 2]);

impl UnorderedPair {
    /// The pair of two policies. `None` if one of them is code of this process, which no digest
    /// distinguishes from other code.
    pub(super) fn of(passed: &Passed, current: &Generation) -> Option<Self> {
        // The entities are the same: pairs are remembered under one configuration of the host.
        let settings = |configuration: &Configuration| configuration.settings_json();
        let candidate = (passed.report().digest.clone(), settings(passed.pool().configuration()));
        let current = (current.digest().to_owned(), settings(current.configuration()));
        let mut pair = [candidate, current];
        pair.sort_unstable();
        pair.iter().all(|(digest, _)| !digest.is_empty()).then_some(Self(pair))
    }
}

impl Alike {
    pub(super) fn has(&self, pair: &UnorderedPair) -> bool {
        lock(&self.0).contains(pair)
    }

    pub(super) fn note(&self, pair: UnorderedPair) {
        let mut pairs = lock(&self.0);
        if pairs.len() == PAIRS {
            pairs.pop_front();
        }
        pairs.push_back(pair);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(one: usize, other: usize) -> UnorderedPair {
        UnorderedPair([one, other].map(|digest| (digest.to_string(), "{}".to_owned())))
    }

    #[test]
    fn the_newest_pairs_are_known_and_no_others() {
        let alike = Alike::default();
        (0..=PAIRS).for_each(|number| alike.note(pair(number, 99)));
        assert!(!alike.has(&pair(0, 99)), "the oldest has made room");
        assert!((1..=PAIRS).all(|number| alike.has(&pair(number, 99))));
        assert!(!alike.has(&pair(1, 2)), "of two pairs that share one nothing follows");
    }
}
