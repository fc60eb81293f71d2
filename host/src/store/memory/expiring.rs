//! A map with entries that expire.

use std::collections::{BTreeMap, BTreeSet};

/// A map with entries that expire, which finds the entry that expires soonest. [`Expiring::trim`]
/// removes expired entries; until then [`Expiring::get`] does not show them.
pub(super) struct Expiring<K, V> {
    entries: BTreeMap<K, ExpiringValue<V>>,
    by_end: BTreeSet<(u64, K)>,
    bytes: usize,
}

struct ExpiringValue<V> {
    until_ms: u64,
    bytes: usize,
    value: V,
}

impl<K, V> Default for Expiring<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), by_end: BTreeSet::new(), bytes: 0 }
    }
}

impl<K: Ord + Clone, V> Expiring<K, V> {
    /// The value and when it expires; `None` if it has expired.
    pub(super) fn get(&self, key: &K, now_ms: u64) -> Option<(&V, u64)> {
        let entry = self.entries.get(key)?;
        (now_ms < entry.until_ms).then_some((&entry.value, entry.until_ms))
    }

    /// Puts a value in place of the one that may be there.
    pub(super) fn insert(&mut self, key: K, value: V, until_ms: u64) {
        self.insert_weighing(0, key, value, until_ms);
    }

    /// Like [`Expiring::insert`], for a value of so many bytes.
    pub(super) fn insert_weighing(&mut self, bytes: usize, key: K, value: V, until_ms: u64) {
        self.remove(&key);
        self.bytes += bytes;
        self.by_end.insert((until_ms, key.clone()));
        self.entries.insert(key, ExpiringValue { until_ms, bytes, value });
    }

    /// Removes an entry, even an expired one; returns when it expired or would have.
    pub(super) fn remove(&mut self, key: &K) -> Option<u64> {
        let ExpiringValue { until_ms, bytes, .. } = self.entries.remove(key)?;
        self.bytes -= bytes;
        self.by_end.remove(&(until_ms, key.clone()));
        Some(until_ms)
    }

    /// Removes the expired entries.
    pub(super) fn trim(&mut self, now_ms: u64) {
        while self.by_end.first().is_some_and(|(until_ms, _)| *until_ms <= now_ms) {
            self.pop_soonest();
        }
    }

    /// Removes the entry that expires soonest.
    pub(super) fn pop_soonest(&mut self) -> Option<(K, u64)> {
        let (until_ms, key) = self.by_end.pop_first()?;
        if let Some(entry) = self.entries.remove(&key) {
            self.bytes -= entry.bytes;
        }
        Some((key, until_ms))
    }

    /// The number of entries, including those not yet trimmed.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes of all entries, including those not yet trimmed.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entries from `first` on, in order.
    pub(super) fn from<'a>(&'a self, first: &K) -> impl Iterator<Item = (&'a K, &'a V)> {
        self.entries.range(first..).map(|(key, entry)| (key, &entry.value))
    }

    /// The value, even an expired one.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_gone_at_its_end_and_not_before() {
        let mut map = Expiring::default();
        map.insert("a", 1, 10);
        assert_eq!(map.get(&"a", 9), Some((&1, 10)));
        assert_eq!(map.get(&"a", 10), None);
        map.trim(9);
        assert_eq!(map.len(), 1);
        map.trim(10);
        assert_eq!(map.len(), 0);
    }

    #[test]
    fn a_replaced_entry_ends_when_the_new_one_does() {
        let mut map = Expiring::default();
        map.insert("a", 1, 10);
        map.insert("a", 2, 20);
        map.trim(15);
        assert_eq!(map.get(&"a", 15), Some((&2, 20)));
        assert_eq!(map.pop_soonest(), Some(("a", 20)));
        assert_eq!(map.pop_soonest(), None);
    }
}
