//! The content of a memory store, and the operations on it as functions of the time.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;

use super::expiring::Expiring;
use crate::store::{
    Claim, Claimed, Envelope, Filled, Indexed, Intent, LeaseToken, Mark, Marking, Mode, Name,
    Removed, StoreTag,
};

/// How many tag memberships are held for each value: a key has few tags.
const MEMBERS_PER_ENTRY: usize = 8;

/// The content of a memory store. Each kind of entry is bounded; what ends soonest is removed
/// first. A value that is removed is a miss, and a lease that is removed rejects its fill. A
/// membership takes its key's value and lease with it, since an invalidation of the tag would no
/// longer find them. A mark that is removed early stands for every tag until it would have ended.
pub(super) struct Shelves {
    entries: usize,
    /// The bytes that values may take up, and, apart from them, the bytes that memberships may take
    /// up.
    bytes: usize,
    values: Expiring<Name, Envelope>,
    leases: Expiring<Name, LeaseToken>,
    /// The memberships, each with the number of its last index write.
    members: Expiring<(StoreTag, Name), u64>,
    marks: Expiring<StoreTag, Mark>,
    all_marked: Option<(Mark, u64)>,
    /// How many index writes there were.
    writes: u64,
    /// The intents by their text, each with the time until which it is held. They have no bound of
    /// their own: every intent is withdrawn by the host that announced it, and all end with the
    /// process.
    intents: HashMap<String, (Intent, u64)>,
}

/// What a walk has read of a tag's index: the members, each with the number of its last index write.
pub(super) struct ShelfWalk(Vec<(Name, u64)>);

impl ShelfWalk {
    pub(super) fn names(&self) -> Vec<Name> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }
}

impl Shelves {
    /// Shelves with room for `entries` values of `bytes` in all.
    pub(super) fn new(entries: usize, bytes: usize) -> Self {
        Self {
            entries: entries.max(1),
            bytes,
            values: Expiring::default(),
            leases: Expiring::default(),
            members: Expiring::default(),
            marks: Expiring::default(),
            all_marked: None,
            writes: 0,
            intents: HashMap::new(),
        }
    }

    pub(super) fn get(&self, name: &Name, now_ms: u64) -> Option<Envelope> {
        self.values.get(name, now_ms).map(|(envelope, _)| envelope.clone())
    }

    pub(super) fn claim(&mut self, claim: Claim<'_>, now_ms: u64) -> Claimed {
        if claim.mode == Mode::IfFree {
            let value = self.values.get(claim.name, now_ms);
            if let Some((newer, _)) = value.filter(|(value, _)| value.loaded_at_ms > claim.seen_ms)
            {
                return Claimed::Found(newer.clone());
            }
            if let Some(remaining) = self.lease_remaining(claim.name, now_ms) {
                return Claimed::Held { remaining };
            }
        }
        self.leases.trim(now_ms);
        self.leases.insert(claim.name.clone(), claim.token, end_ms(now_ms, claim.lease));
        if self.leases.len() > self.entries {
            self.leases.pop_soonest();
        }
        Claimed::Granted { now_ms }
    }

    /// What is left of the lease on `name`; `None` if it is free.
    pub(super) fn lease_remaining(&self, name: &Name, now_ms: u64) -> Option<Duration> {
        let (_, until_ms) = self.leases.get(name, now_ms)?;
        Some(Duration::from_millis(until_ms - now_ms))
    }

    pub(super) fn fill(
        &mut self,
        name: &Name,
        token: LeaseToken,
        envelope: &Envelope,
        now_ms: u64,
    ) -> Filled {
        if !self.release(name, token, now_ms) {
            return Filled::Rejected;
        }
        self.values.trim(now_ms);
        self.values.remove(name);
        if now_ms < envelope.stale_until_ms {
            let bytes = weight(name.as_str().len(), envelope.body.as_ref().map_or(0, Bytes::len));
            let (name, envelope) = (name.clone(), envelope.clone());
            self.values.insert_weighing(bytes, name, envelope.clone(), envelope.stale_until_ms);
        }
        while self.values.len() > self.entries || self.values.bytes() > self.bytes {
            self.values.pop_soonest();
        }
        Filled::Stored
    }

    pub(super) fn renew(
        &mut self,
        name: &Name,
        token: LeaseToken,
        lease: Duration,
        now_ms: u64,
    ) -> bool {
        let ours = self.holds(name, token, now_ms);
        if ours {
            self.leases.insert(name.clone(), token, end_ms(now_ms, lease));
        }
        ours
    }

    pub(super) fn release(&mut self, name: &Name, token: LeaseToken, now_ms: u64) -> bool {
        let ours = self.holds(name, token, now_ms);
        if ours {
            self.leases.remove(name);
        }
        ours
    }

    /// Removes the values and leases of these names.
    pub(super) fn remove(&mut self, names: &[Name], now_ms: u64) -> Removed {
        let mut removed = Removed::default();
        for name in names {
            let ends = [self.values.remove(name), self.leases.remove(name)];
            let was_there = ends.into_iter().flatten().any(|until_ms| now_ms < until_ms);
            removed.names += u64::from(was_there);
        }
        removed
    }

    /// Sets the tag's mark, and reads its index.
    pub(super) fn begin_walk(
        &mut self,
        tag: &StoreTag,
        marking: Marking,
        now_ms: u64,
    ) -> ShelfWalk {
        self.mark(tag, marking, now_ms);
        let first = (tag.clone(), Name::least());
        let members = self.members.from(&first).take_while(|((of, _), _)| of == tag);
        ShelfWalk(members.map(|((_, name), write)| (name.clone(), *write)).collect())
    }

    /// Removes the members that a walk has read and that are gone from the tag's index, except those that were
    /// written again since (race Q).
    pub(super) fn end_walk(&mut self, tag: &StoreTag, walk: ShelfWalk, gone: &[bool]) {
        let gone = walk.0.into_iter().zip(gone).filter(|(_, is_gone)| **is_gone);
        for ((name, write), _) in gone {
            let member = (tag.clone(), name);
            if self.members.peek(&member) == Some(&write) {
                self.members.remove(&member);
            }
        }
    }

    /// Writes a name into the indexes of its tags; also returns the names that had to be removed to
    /// make room.
    pub(super) fn index(
        &mut self,
        name: &Name,
        tags: &[StoreTag],
        expires_at_ms: u64,
        now_ms: u64,
    ) -> (Indexed, Vec<Name>) {
        self.members.trim(now_ms);
        let (mut marks, mut displaced) = (Vec::new(), Vec::new());
        for tag in tags {
            let member = (tag.clone(), name.clone());
            let known = self.members.get(&member, now_ms).map_or(0, |(_, until_ms)| until_ms);
            let bytes = weight(tag.as_str().len(), name.as_str().len());
            self.writes += 1;
            self.members.insert_weighing(bytes, member, self.writes, expires_at_ms.max(known));
            while self.members.len() > self.entries.saturating_mul(MEMBERS_PER_ENTRY)
                || self.members.bytes() > self.bytes
            {
                displaced.extend(self.members.pop_soonest());
            }
            marks.extend(self.marks.get(tag, now_ms).map(|(mark, _)| *mark));
        }
        marks.extend(self.all_marked.filter(|(_, until_ms)| now_ms < *until_ms).map(|(m, _)| m));
        let displaced: Vec<Name> = displaced.into_iter().map(|((_, name), _)| name).collect();
        self.remove(&displaced, now_ms);
        (Indexed { now_ms, marks }, displaced)
    }

    pub(super) fn announce(&mut self, intent: &Intent, hold: Duration, now_ms: u64) {
        let until_ms = end_ms(now_ms, hold);
        let held =
            self.intents.entry(intent.encode()).or_insert_with(|| (intent.clone(), until_ms));
        held.1 = held.1.max(until_ms);
    }

    pub(super) fn withdraw(&mut self, intent: &Intent) {
        self.intents.remove(&intent.encode());
    }

    pub(super) fn due(&mut self, hold: Duration, now_ms: u64) -> Vec<Intent> {
        let due = self.intents.values_mut().filter(|(_, until_ms)| *until_ms <= now_ms);
        let take = |held: &mut (Intent, u64)| {
            held.1 = end_ms(now_ms, hold);
            held.0.clone()
        };
        due.map(take).collect()
    }

    fn mark(&mut self, tag: &StoreTag, marking: Marking, now_ms: u64) {
        let mark = Mark { at_ms: now_ms, epoch: marking.epoch };
        self.marks.trim(now_ms);
        self.marks.insert(tag.clone(), mark, end_ms(now_ms, marking.lasts));
        if self.marks.len() > self.entries
            && let Some((_, until_ms)) = self.marks.pop_soonest()
        {
            // The newest mark stands for those that were removed: no value that was loaded before
            // it is stored.
            let until_ms = self.all_marked.map_or(until_ms, |(_, known)| known.max(until_ms));
            self.all_marked = Some((mark, until_ms));
        }
    }

    fn holds(&self, name: &Name, token: LeaseToken, now_ms: u64) -> bool {
        self.leases.get(name, now_ms).is_some_and(|(holder, _)| *holder == token)
    }
}

/// The bytes of an entry with a name and a content of these lengths. Names are held twice: by key
/// and by end.
fn weight(name: usize, content: usize) -> usize {
    const TABLES: usize = 256;
    TABLES + 2 * name + content
}

fn end_ms(now_ms: u64, lasts: Duration) -> u64 {
    // As in Redis, nothing lasts less than a millisecond.
    now_ms.saturating_add(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX).max(1))
}

#[cfg(test)]
mod tests;
