//! Stamps: what a key's entries are bound to.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// Keys share stamps, so a change of one key ends the entries of others too: of a hundred thousand
/// entries, six. In return a change is one addition, and nothing has to be found by its key.
const STAMPS: usize = 1 << 14;

/// The stamps in force.
pub(super) struct Stamps {
    by_key: Box<[AtomicU64]>,
    all: AtomicU64,
}

/// The stamp of a key at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    place: usize,
    of_key: u64,
    of_all: u64,
}

impl Stamps {
    pub(super) fn new() -> Self {
        Self { by_key: (0..STAMPS).map(|_| AtomicU64::new(0)).collect(), all: AtomicU64::new(0) }
    }

    /// The stamp of a key now.
    pub(super) fn of(&self, key: &str) -> Stamp {
        let place = place(key);
        let of_all = self.all.load(Ordering::Acquire);
        Stamp { place, of_key: self.by_key[place].load(Ordering::Acquire), of_all }
    }

    /// Whether nothing was renewed since.
    pub(super) fn stands(&self, stamp: Stamp) -> bool {
        self.by_key[stamp.place].load(Ordering::Acquire) == stamp.of_key
            && self.all.load(Ordering::Acquire) == stamp.of_all
    }

    /// Ends every stamp of a key.
    pub(super) fn renew(&self, key: &str) {
        self.by_key[place(key)].fetch_add(1, Ordering::AcqRel);
    }

    /// Ends every stamp.
    pub(super) fn renew_all(&self) {
        self.all.fetch_add(1, Ordering::AcqRel);
    }
}

/// The same in every process and run, so that a run can be repeated.
fn place(key: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
    let low = hasher.finish() as usize;
    low % STAMPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_ends_with_its_own_key_and_with_all() {
        let stamps = Stamps::new();
        let (one, other) = (stamps.of("one"), stamps.of("other"));
        assert!(stamps.stands(one) && stamps.stands(other));
        stamps.renew("one");
        assert!(!stamps.stands(one) && stamps.stands(other));
        let again = stamps.of("one");
        assert!(stamps.stands(again));
        stamps.renew_all();
        assert!(!stamps.stands(again) && !stamps.stands(other));
    }
}
