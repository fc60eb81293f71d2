//! Versions of names: what a name's entries are bound to.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of versions. Names share versions, so a change of one name ends the entries of others
/// too: six of a hundred thousand entries. In return, a change is one addition and needs no look-up
/// by name.
const VERSIONS: usize = 1 << 14;

/// The versions in force.
pub(super) struct Versions {
    by_name: Box<[AtomicU64]>,
    all: AtomicU64,
}

/// The version of a name at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    place: usize,
    of_name: u64,
    of_all: u64,
}

impl Versions {
    pub(super) fn new() -> Self {
        Self { by_name: (0..VERSIONS).map(|_| AtomicU64::new(0)).collect(), all: AtomicU64::new(0) }
    }

    /// The version of a name now.
    pub(super) fn of(&self, name: &str) -> Version {
        let place = place(name);
        let of_all = self.all.load(Ordering::Acquire);
        Version { place, of_name: self.by_name[place].load(Ordering::Acquire), of_all }
    }

    /// Whether neither the name's version nor that of all names was renewed since.
    pub(super) fn stands(&self, version: Version) -> bool {
        self.by_name[version.place].load(Ordering::Acquire) == version.of_name
            && self.all.load(Ordering::Acquire) == version.of_all
    }

    /// Ends every version of a name.
    pub(super) fn renew(&self, name: &str) {
        self.by_name[place(name)].fetch_add(1, Ordering::AcqRel);
    }

    /// Ends every version.
    pub(super) fn renew_all(&self) {
        self.all.fetch_add(1, Ordering::AcqRel);
    }
}

/// A name's place, the same in every process and run, so that a run can be repeated.
fn place(name: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
    let low = hasher.finish() as usize;
    low % VERSIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_ends_with_its_own_name_and_with_all() {
        let versions = Versions::new();
        let (one, other) = (versions.of("one"), versions.of("other"));
        assert!(versions.stands(one) && versions.stands(other));
        versions.renew("one");
        assert!(!versions.stands(one) && versions.stands(other));
        let again = versions.of("one");
        assert!(versions.stands(again));
        versions.renew_all();
        assert!(!versions.stands(again) && !versions.stands(other));
    }
}
