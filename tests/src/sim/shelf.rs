//! What the simulated store holds: the operations as functions of its clock, each of them atomic.
//!
//! Written apart from the memory store on purpose: the two and Redis pass one suite, so a mistake in
//! one of them shows.

use std::collections::{BTreeMap, BTreeSet};

use corral_host::store::{
    Claim, Claimed, Envelope, Filled, Indexed, Intent, Key, Mode, Tag, Token,
};
use std::time::Duration;

use super::wire::Change;

/// Everything that a store holds. A clone of it is a replica.
#[derive(Debug, Clone, Default)]
pub(super) struct Shelf {
    values: BTreeMap<Key, Envelope>,
    leases: BTreeMap<Key, Lease>,
    /// Who may rely on being the only holder: as the leases, unless one was ended by a stranger.
    tenures: BTreeMap<Key, Lease>,
    indexes: BTreeMap<Tag, BTreeMap<Key, u64>>,
    marks: BTreeMap<Tag, u64>,
    intents: Vec<(Intent, u64)>,
    /// Since they were taken last.
    changes: Vec<Change>,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    token: Token,
    until_ms: u64,
}

/// What is there.
pub(super) struct Census {
    /// Keys with a value.
    pub(super) alive: usize,
    /// Members of indexes, those that are over and not yet trimmed included.
    pub(super) members: usize,
    /// Those that are not over.
    pub(super) members_alive: usize,
    /// Living keys that no index holds.
    pub(super) missing: usize,
}

/// A member of an index, and the score it had when it was read.
pub(super) type Member = (Key, u64);

impl Shelf {
    pub(super) fn get(&self, key: &Key, now_ms: u64) -> Option<&Envelope> {
        self.values.get(key).filter(|envelope| now_ms < envelope.stale_until_ms)
    }

    pub(super) fn holder(&self, key: &Key, now_ms: u64) -> Option<Token> {
        self.lease(key, now_ms).map(|lease| lease.token)
    }

    /// How long the lease on `key` lasts unless renewed, if anybody holds it.
    pub(super) fn lease_left(&self, key: &Key, now_ms: u64) -> Option<Duration> {
        self.lease(key, now_ms).map(|lease| Duration::from_millis(lease.until_ms - now_ms))
    }

    fn lease(&self, key: &Key, now_ms: u64) -> Option<Lease> {
        self.leases.get(key).copied().filter(|lease| now_ms < lease.until_ms)
    }

    pub(super) fn claim(&mut self, claim: Claim<'_>, now_ms: u64) -> Claimed {
        if claim.mode == Mode::IfFree {
            if let Some(value) = self.get(claim.key, now_ms)
                && value.loaded_at_ms > claim.seen_ms
            {
                return Claimed::Found(value.clone());
            }
            if let Some(remaining) = self.lease_left(claim.key, now_ms) {
                return Claimed::Held { remaining };
            }
        }
        self.grant(claim.key, claim.token, claim.lease, now_ms);
        Claimed::Granted { now_ms }
    }

    pub(super) fn grant(&mut self, key: &Key, token: Token, lease: Duration, now_ms: u64) {
        let until_ms = now_ms.saturating_add(millis(lease));
        self.leases.insert(key.clone(), Lease { token, until_ms });
        self.tenures.insert(key.clone(), Lease { token, until_ms });
    }

    /// Whether somebody relies on being the only holder.
    pub(super) fn has_tenant(&self, key: &Key, now_ms: u64) -> bool {
        self.tenures.get(key).is_some_and(|lease| now_ms < lease.until_ms)
    }

    pub(super) fn fill(
        &mut self,
        key: &Key,
        token: Token,
        envelope: &Envelope,
        now_ms: u64,
    ) -> Filled {
        if !self.release(key, token, now_ms) {
            return Filled::Rejected;
        }
        self.put(key, envelope);
        Filled::Stored
    }

    pub(super) fn put(&mut self, key: &Key, envelope: &Envelope) {
        self.values.insert(key.clone(), envelope.clone());
        self.changes.push(Change::Key(key.clone()));
    }

    /// What was replaced or removed since this was asked last.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    pub(super) fn renew(&mut self, key: &Key, token: Token, lease: Duration, now_ms: u64) -> bool {
        let ours = self.holder(key, now_ms) == Some(token);
        if ours {
            self.grant(key, token, lease, now_ms);
        }
        ours
    }

    pub(super) fn release(&mut self, key: &Key, token: Token, now_ms: u64) -> bool {
        let ours = self.holder(key, now_ms) == Some(token);
        if ours {
            self.remove_lease(key);
        }
        ours
    }

    /// Ends a lease, whoever holds it, behind the holder's back.
    pub(super) fn release_anybodys(&mut self, key: &Key) -> bool {
        self.leases.remove(key).is_some()
    }

    /// Removes value and lease; whether there was one.
    pub(super) fn remove(&mut self, key: &Key, now_ms: u64) -> bool {
        let value = self.take_value(key).is_some_and(|value| now_ms < value.stale_until_ms);
        let lease = self.holder(key, now_ms).is_some();
        self.remove_lease(key);
        value || lease
    }

    pub(super) fn remove_value(&mut self, key: &Key) {
        self.take_value(key);
    }

    fn take_value(&mut self, key: &Key) -> Option<Envelope> {
        let value = self.values.remove(key)?;
        self.changes.push(Change::Key(key.clone()));
        Some(value)
    }

    pub(super) fn remove_lease(&mut self, key: &Key) {
        self.leases.remove(key);
        self.tenures.remove(key);
    }

    /// Sets the mark; the members of the index at that moment.
    pub(super) fn mark(&mut self, tag: &Tag, mark: Duration, now_ms: u64) -> Vec<Member> {
        self.marks.insert(tag.clone(), now_ms.saturating_add(millis(mark)));
        let members = self.indexes.get(tag).into_iter().flatten();
        members.map(|(key, score)| (key.clone(), *score)).collect()
    }

    pub(super) fn index(&mut self, tag: &Tag, key: &Key, until_ms: u64, now_ms: u64) -> Indexed {
        let members = self.indexes.entry(tag.clone()).or_default();
        members.retain(|_, score| now_ms < *score);
        let score = members.entry(key.clone()).or_default();
        // Higher than before: whoever read the old score must not remove the new member.
        *score = until_ms.max(*score + 1);
        let marked = self.marks.get(tag).is_some_and(|until_ms| now_ms < *until_ms);
        if marked { Indexed::Marked } else { Indexed::Clear }
    }

    /// Takes a member out of an index, unless it was indexed again since.
    pub(super) fn forget(&mut self, tag: &Tag, member: &Member) {
        if let Some(members) = self.indexes.get_mut(tag)
            && members.get(&member.0) == Some(&member.1)
        {
            members.remove(&member.0);
        }
    }

    pub(super) fn announce(&mut self, intent: &Intent, hold: Duration, now_ms: u64) {
        let due_ms = now_ms.saturating_add(millis(hold));
        match self.intents.iter_mut().find(|(known, _)| known == intent) {
            Some((_, held)) => *held = due_ms.max(*held),
            None => self.intents.push((intent.clone(), due_ms)),
        }
    }

    pub(super) fn withdraw(&mut self, intent: &Intent) {
        self.intents.retain(|(known, _)| known != intent);
    }

    pub(super) fn due(&mut self, hold: Duration, now_ms: u64) -> Vec<Intent> {
        let due = self.intents.iter_mut().filter(|(_, due_ms)| *due_ms <= now_ms);
        let take = |(intent, due_ms): &mut (Intent, u64)| {
            *due_ms = now_ms.saturating_add(millis(hold));
            intent.clone()
        };
        due.map(take).collect()
    }

    pub(super) fn census(&self, now_ms: u64) -> Census {
        let alive = || self.values.iter().filter(|(_, value)| now_ms < value.stale_until_ms);
        // An index lives as long as its longest-lived member.
        let lives = |index: &&BTreeMap<Key, u64>| index.values().any(|score| now_ms < *score);
        let members = || self.indexes.values().filter(lives).flatten();
        let held: BTreeSet<&Key> =
            members().filter(|(_, score)| now_ms < **score).map(|(key, _)| key).collect();
        Census {
            alive: alive().count(),
            members: members().count(),
            members_alive: held.len(),
            missing: alive().filter(|(key, _)| !held.contains(key)).count(),
        }
    }

    pub(super) fn flush(&mut self) {
        *self = Self { changes: vec![Change::All], ..Self::default() };
    }

    /// The keys that have a value, and those that have a lease.
    pub(super) fn names(&self) -> (Vec<Key>, Vec<Key>) {
        (self.values.keys().cloned().collect(), self.leases.keys().cloned().collect())
    }
}

fn millis(duration: Duration) -> u64 {
    // As in Redis, nothing lasts less than a millisecond.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
