//! What a memory store holds, and the operations on it as functions of the time.

use crate::store::memory::expiring::Expiring;
use std::collections::HashMap;
use std::time::Duration;

use crate::store::{
    Claim, Claimed, Envelope, Filled, Indexed, Intent, Key, Mode, Removed, Tag, Token,
};

/// How many tag memberships are held for each value: tags per key are few.
const MEMBERS_PER_ENTRY: usize = 8;

/// Everything a memory store holds. Each kind is bounded; what ends soonest goes first:
/// a value that goes is a miss, a lease that goes rejects its fill. A membership takes its key's
/// value and lease with it, for an invalidation of the tag would no longer find them. A mark
/// that goes early makes every tag answer as marked until it would have ended.
pub(super) struct Shelves {
    entries: usize,
    values: Expiring<Key, Envelope>,
    leases: Expiring<Key, Token>,
    members: Expiring<(Tag, Key), ()>,
    marks: Expiring<Tag, ()>,
    all_marked_until_ms: u64,
    /// By their text, until when they are held. They end with their process, like all of this, and
    /// are withdrawn by those who announced them.
    intents: HashMap<String, (Intent, u64)>,
}

impl Shelves {
    /// Room for so many values.
    pub(super) fn new(entries: usize) -> Self {
        Self {
            entries: entries.max(1),
            values: Expiring::default(),
            leases: Expiring::default(),
            members: Expiring::default(),
            marks: Expiring::default(),
            all_marked_until_ms: 0,
            intents: HashMap::new(),
        }
    }

    pub(super) fn get(&self, key: &Key, now_ms: u64) -> Option<Envelope> {
        self.values.get(key, now_ms).map(|(envelope, _)| envelope.clone())
    }

    pub(super) fn claim(&mut self, claim: Claim<'_>, now_ms: u64) -> Claimed {
        if claim.mode == Mode::IfFree {
            let value = self.values.get(claim.key, now_ms);
            if let Some((newer, _)) = value.filter(|(value, _)| value.loaded_at_ms > claim.seen_ms)
            {
                return Claimed::Found(newer.clone());
            }
            if let Some(remaining) = self.lease_remaining(claim.key, now_ms) {
                return Claimed::Held { remaining };
            }
        }
        self.leases.trim(now_ms);
        self.leases.insert(claim.key.clone(), claim.token, end_ms(now_ms, claim.lease));
        if self.leases.len() > self.entries {
            self.leases.pop_soonest();
        }
        Claimed::Granted { now_ms }
    }

    /// What is left of the lease on `key`, if anybody holds one.
    pub(super) fn lease_remaining(&self, key: &Key, now_ms: u64) -> Option<Duration> {
        let (_, until_ms) = self.leases.get(key, now_ms)?;
        Some(Duration::from_millis(until_ms - now_ms))
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
        self.values.trim(now_ms);
        self.values.remove(key);
        if now_ms < envelope.stale_until_ms {
            self.values.insert(key.clone(), envelope.clone(), envelope.stale_until_ms);
        }
        if self.values.len() > self.entries {
            self.values.pop_soonest();
        }
        Filled::Stored
    }

    pub(super) fn renew(&mut self, key: &Key, token: Token, lease: Duration, now_ms: u64) -> bool {
        let ours = self.holds(key, token, now_ms);
        if ours {
            self.leases.insert(key.clone(), token, end_ms(now_ms, lease));
        }
        ours
    }

    pub(super) fn release(&mut self, key: &Key, token: Token, now_ms: u64) -> bool {
        let ours = self.holds(key, token, now_ms);
        if ours {
            self.leases.remove(key);
        }
        ours
    }

    pub(super) fn invalidate(&mut self, keys: &[Key], now_ms: u64) -> Removed {
        let mut removed = Removed::default();
        for key in keys {
            let ends = [self.values.remove(key), self.leases.remove(key)];
            removed.keys += u64::from(ends.into_iter().flatten().any(|until_ms| now_ms < until_ms));
        }
        removed
    }

    /// Sets the mark, removes the tag's keys, and says which they were.
    pub(super) fn invalidate_tag(
        &mut self,
        tag: &Tag,
        mark: Duration,
        now_ms: u64,
    ) -> (Removed, Vec<Key>) {
        self.mark(tag, end_ms(now_ms, mark), now_ms);
        let first = (tag.clone(), Key::least());
        let members: Vec<_> =
            self.members.keys_from(&first).take_while(|(of, _)| of == tag).cloned().collect();
        let mut keys = Vec::with_capacity(members.len());
        for member in members {
            self.members.remove(&member);
            keys.push(member.1);
        }
        (self.invalidate(&keys, now_ms), keys)
    }

    /// Answers also which key had to go for it.
    pub(super) fn index(
        &mut self,
        tag: &Tag,
        key: &Key,
        expires_at_ms: u64,
        now_ms: u64,
    ) -> (Indexed, Option<Key>) {
        self.members.trim(now_ms);
        let member = (tag.clone(), key.clone());
        let known_until_ms = self.members.get(&member, now_ms).map_or(0, |(_, until_ms)| until_ms);
        self.members.insert(member, (), expires_at_ms.max(known_until_ms));
        let full = self.members.len() > self.entries.saturating_mul(MEMBERS_PER_ENTRY);
        let displaced = full.then(|| self.members.pop_soonest()).flatten();
        let displaced = displaced.map(|((_, key), _)| key);
        self.invalidate(displaced.as_slice(), now_ms);
        let marked = now_ms < self.all_marked_until_ms || self.marks.get(tag, now_ms).is_some();
        (if marked { Indexed::Marked } else { Indexed::Clear }, displaced)
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

    fn mark(&mut self, tag: &Tag, until_ms: u64, now_ms: u64) {
        self.marks.trim(now_ms);
        self.marks.insert(tag.clone(), (), until_ms);
        if self.marks.len() > self.entries
            && let Some((_, until_ms)) = self.marks.pop_soonest()
        {
            self.all_marked_until_ms = self.all_marked_until_ms.max(until_ms);
        }
    }

    fn holds(&self, key: &Key, token: Token, now_ms: u64) -> bool {
        self.leases.get(key, now_ms).is_some_and(|(holder, _)| *holder == token)
    }
}

fn end_ms(now_ms: u64, lasts: Duration) -> u64 {
    // As in Redis, nothing lasts less than a millisecond.
    now_ms.saturating_add(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_millis(100);

    fn key(name: &str) -> Key {
        Key::try_new(name).unwrap()
    }

    fn tag(name: &str) -> Tag {
        Tag::try_new(name).unwrap()
    }

    fn until(stale_until_ms: u64) -> Envelope {
        Envelope {
            loaded_at_ms: 1,
            refresh_at_ms: stale_until_ms,
            fresh_until_ms: stale_until_ms,
            stale_until_ms,
            cost_ms: 0,
            etag: 11,
            generation: 0,
            body: None,
        }
    }

    fn take(shelves: &mut Shelves, key: &Key, token: u128, now_ms: u64) -> Claimed {
        let token = Token::new(token);
        let claim = Claim { key, token, lease: LEASE, seen_ms: 0, mode: Mode::IfFree };
        shelves.claim(claim, now_ms)
    }

    fn fill(shelves: &mut Shelves, name: &str, stale_until_ms: u64, now_ms: u64) {
        let key = key(name);
        assert!(matches!(take(shelves, &key, 7, now_ms), Claimed::Granted { .. }));
        let filled = shelves.fill(&key, Token::new(7), &until(stale_until_ms), now_ms);
        assert_eq!(filled, Filled::Stored);
    }

    #[test]
    fn a_lease_ends_to_the_millisecond() {
        let (mut shelves, k) = (Shelves::new(9), key("k"));
        assert_eq!(take(&mut shelves, &k, 1, 1000), Claimed::Granted { now_ms: 1000 });
        let remaining = Duration::from_millis(1);
        assert_eq!(take(&mut shelves, &k, 2, 1099), Claimed::Held { remaining });
        assert_eq!(take(&mut shelves, &k, 2, 1100), Claimed::Granted { now_ms: 1100 });
        assert_eq!(shelves.fill(&k, Token::new(1), &until(9999), 1101), Filled::Rejected);
    }

    #[test]
    fn over_capacity_the_value_that_ends_soonest_goes() {
        let mut shelves = Shelves::new(2);
        fill(&mut shelves, "long", 3000, 0);
        fill(&mut shelves, "short", 1000, 0);
        fill(&mut shelves, "middle", 2000, 0);
        assert!(shelves.get(&key("short"), 1).is_none());
        assert!(shelves.get(&key("long"), 1).is_some() && shelves.get(&key("middle"), 1).is_some());
    }

    #[test]
    fn over_capacity_the_lease_that_ends_soonest_goes_and_its_fill_is_rejected() {
        let mut shelves = Shelves::new(1);
        let (first, second) = (key("first"), key("second"));
        take(&mut shelves, &first, 1, 0);
        take(&mut shelves, &second, 2, 1);
        assert_eq!(shelves.fill(&first, Token::new(1), &until(9999), 2), Filled::Rejected);
        assert_eq!(shelves.fill(&second, Token::new(2), &until(9999), 2), Filled::Stored);
    }

    #[test]
    fn a_key_that_leaves_an_index_early_leaves_the_store_with_it() {
        let mut shelves = Shelves::new(1);
        shelves.index(&tag("t"), &key("k"), 1000, 0);
        fill(&mut shelves, "k", 1000, 0);
        for n in 0..MEMBERS_PER_ENTRY {
            shelves.index(&tag("t"), &key(&format!("other{n}")), 2000, 0);
        }
        assert!(shelves.get(&key("k"), 1).is_none());
    }

    #[test]
    fn a_mark_that_goes_early_marks_every_tag_until_its_end() {
        let mut shelves = Shelves::new(1);
        shelves.invalidate_tag(&tag("first"), Duration::from_millis(50), 0);
        assert_eq!(shelves.index(&tag("other"), &key("k"), 1000, 0).0, Indexed::Clear);
        shelves.invalidate_tag(&tag("second"), Duration::from_millis(100), 0);
        assert_eq!(shelves.index(&tag("first"), &key("k"), 1000, 49).0, Indexed::Marked);
        assert_eq!(shelves.index(&tag("first"), &key("k"), 1000, 50).0, Indexed::Clear);
        assert_eq!(shelves.index(&tag("second"), &key("k"), 1000, 99).0, Indexed::Marked);
    }

    #[test]
    fn what_is_over_takes_no_room() {
        let mut shelves = Shelves::new(100);
        for n in 0..50 {
            let name = format!("k{n}");
            shelves.index(&tag("t"), &key(&name), n + 2, n);
            fill(&mut shelves, &name, n + 2, n);
        }
        assert!(shelves.values.len() <= 2 && shelves.members.len() <= 2);
        assert!(shelves.leases.len() <= 1);
    }
}
