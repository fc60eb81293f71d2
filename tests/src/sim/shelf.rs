//! A shelf is what a node of the simulated store holds: the operations as functions of its clock,
//! each of them atomic.
//!
//! It is written independently of the memory store on purpose: the two and Redis pass one suite, so
//! a mistake in one of them shows.

use std::collections::{BTreeMap, BTreeSet};

use corral_host::store::{
    Claim, Claimed, Envelope, Filled, Indexed, Intent, LONGEST_LEASE, LeaseToken, Mark, Marking,
    Mode, Name, StoreTag,
};
use std::time::Duration;

use super::register::Register;
use super::wire::Change;

/// Everything that a node holds. A clone of it is a replica.
#[derive(Debug, Clone, Default)]
pub(super) struct Shelf {
    values: BTreeMap<Name, Envelope>,
    leases: BTreeMap<Name, Lease>,
    /// The leases whose holders may rely on being the only one: those of `leases`, and those that
    /// were ended without their holder's knowledge.
    tenures: BTreeMap<Name, Lease>,
    indexes: BTreeMap<StoreTag, BTreeMap<Name, u64>>,
    marks: BTreeMap<StoreTag, Marked>,
    /// How many marks were set so far.
    marked: u64,
    intents: Vec<(Intent, u64)>,
    /// The range.
    pub(super) register: Register,
    /// The changes since they were taken last.
    changes: Vec<Change>,
    before_loss: BeforeLoss,
}

/// The shelf before an invalidation removed a lease.
#[derive(Debug, Clone, Default)]
enum BeforeLoss {
    #[default]
    Unwanted,
    Wanted,
    Seen(Box<Shelf>),
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    token: LeaseToken,
    until_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Marked {
    mark: Mark,
    until_ms: u64,
    /// The number of the invalidation that set it.
    walk: u64,
}

/// The counts of a shelf.
pub(super) struct Census {
    /// Keys with a value.
    pub(super) alive: usize,
    /// Members of indexes, including expired ones that are not yet trimmed.
    pub(super) members: usize,
    /// Members that have not expired.
    pub(super) members_alive: usize,
    /// Living keys that no index holds.
    pub(super) missing: usize,
}

/// The walk of a mark under which a name was indexed meanwhile; no walk has this number.
const NO_WALK: u64 = u64::MAX;

/// A member of an index, and the score it had when it was read.
pub(super) type Member = (Name, u64);

impl Shelf {
    pub(super) fn get(&self, name: &Name, now_ms: u64) -> Option<&Envelope> {
        self.values.get(name).filter(|envelope| now_ms < envelope.stale_until_ms)
    }

    pub(super) fn holder(&self, name: &Name, now_ms: u64) -> Option<LeaseToken> {
        self.lease(name, now_ms).map(|lease| lease.token)
    }

    /// How long the lease on `name` lasts unless it is renewed; `None` if it is free.
    pub(super) fn lease_left(&self, name: &Name, now_ms: u64) -> Option<Duration> {
        self.lease(name, now_ms).map(|lease| Duration::from_millis(lease.until_ms - now_ms))
    }

    fn lease(&self, name: &Name, now_ms: u64) -> Option<Lease> {
        self.leases.get(name).copied().filter(|lease| now_ms < lease.until_ms)
    }

    /// The token of a lease that ran out without being ended.
    pub(super) fn lapsed(&self, name: &Name, now_ms: u64) -> Option<LeaseToken> {
        self.leases.get(name).filter(|lease| lease.until_ms <= now_ms).map(|lease| lease.token)
    }

    pub(super) fn claim(&mut self, claim: Claim<'_>, now_ms: u64) -> Claimed {
        if claim.mode == Mode::IfFree {
            if let Some(value) = self.get(claim.name, now_ms)
                && value.loaded_at_ms > claim.seen_ms
            {
                return Claimed::Found(value.clone());
            }
            let left = self.lease_left(claim.name, now_ms);
            if let Some(remaining) = left.filter(|left| *left <= LONGEST_LEASE) {
                return Claimed::Held { remaining };
            }
        }
        self.grant(claim.name, claim.token, claim.lease, now_ms);
        Claimed::Granted { now_ms }
    }

    pub(super) fn grant(&mut self, name: &Name, token: LeaseToken, lease: Duration, now_ms: u64) {
        let until_ms = now_ms.saturating_add(millis(lease));
        self.leases.insert(name.clone(), Lease { token, until_ms });
        self.tenures.insert(name.clone(), Lease { token, until_ms });
    }

    /// Whether a holder relies on being the only one.
    pub(super) fn has_tenant(&self, name: &Name, now_ms: u64) -> bool {
        let within_ms = now_ms + 1..=now_ms + millis(LONGEST_LEASE);
        self.tenures.get(name).is_some_and(|lease| within_ms.contains(&lease.until_ms))
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
        self.put(name, envelope);
        Filled::Stored
    }

    pub(super) fn put(&mut self, name: &Name, envelope: &Envelope) {
        self.values.insert(name.clone(), envelope.clone());
        self.changes.push(Change::Key(name.clone()));
    }

    /// The keys that were replaced or removed since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    pub(super) fn renew(
        &mut self,
        name: &Name,
        token: LeaseToken,
        lease: Duration,
        now_ms: u64,
    ) -> bool {
        let ours = self.holder(name, now_ms) == Some(token);
        if ours {
            self.grant(name, token, lease, now_ms);
        }
        ours
    }

    pub(super) fn release(&mut self, name: &Name, token: LeaseToken, now_ms: u64) -> bool {
        let ours = self.holder(name, now_ms) == Some(token);
        // Removes a lease that has run out, so that it does not come back with a clock that is set
        // back.
        if ours || self.leases.get(name).is_some_and(|lease| now_ms >= lease.until_ms) {
            self.remove_lease(name);
        }
        ours
    }

    /// Ends a lease without its holder's knowledge.
    pub(super) fn release_anybodys(&mut self, name: &Name) -> bool {
        self.leases.remove(name).is_some()
    }

    /// From now on waits for an invalidation that removes a lease, and keeps the shelf before it.
    pub(super) fn want_loss(&mut self) {
        self.before_loss = BeforeLoss::Wanted;
    }

    /// The shelf before that invalidation; `None` if there was none yet.
    pub(super) fn take_before_loss(&mut self) -> Option<Self> {
        match std::mem::take(&mut self.before_loss) {
            BeforeLoss::Seen(before) => Some(*before),
            wanted @ (BeforeLoss::Wanted | BeforeLoss::Unwanted) => {
                self.before_loss = wanted;
                None
            }
        }
    }

    /// Removes value and lease; whether there was a value or a lease.
    pub(super) fn remove(&mut self, name: &Name, now_ms: u64) -> bool {
        if matches!(self.before_loss, BeforeLoss::Wanted) && self.holder(name, now_ms).is_some() {
            self.before_loss = BeforeLoss::Unwanted;
            self.before_loss = BeforeLoss::Seen(Box::new(self.clone()));
        }
        let value = self.take_value(name).is_some_and(|value| now_ms < value.stale_until_ms);
        let lease = self.holder(name, now_ms).is_some();
        self.remove_lease(name);
        value || lease
    }

    /// Removes everything that has expired.
    pub(super) fn expire(&mut self, now_ms: u64) {
        let over = |(name, value): (&Name, &Envelope)| {
            (now_ms >= value.stale_until_ms).then(|| name.clone())
        };
        let over: Vec<Name> = self.values.iter().filter_map(over).collect();
        over.iter().for_each(|name| self.remove_value(name));
        for leases in [&mut self.leases, &mut self.tenures] {
            leases.retain(|_, lease| now_ms < lease.until_ms);
        }
    }

    pub(super) fn remove_value(&mut self, name: &Name) {
        self.take_value(name);
    }

    fn take_value(&mut self, name: &Name) -> Option<Envelope> {
        let value = self.values.remove(name)?;
        self.changes.push(Change::Key(name.clone()));
        Some(value)
    }

    pub(super) fn remove_lease(&mut self, name: &Name) {
        self.leases.remove(name);
        self.tenures.remove(name);
    }

    /// Sets the mark; returns its number, and the members of the index at that moment.
    pub(super) fn mark(
        &mut self,
        tag: &StoreTag,
        marking: Marking,
        now_ms: u64,
    ) -> (u64, Vec<Member>) {
        self.marked += 1;
        let mark = Mark { at_ms: now_ms, epoch: marking.epoch };
        let until_ms = now_ms.saturating_add(millis(marking.lasts));
        self.marks.insert(tag.clone(), Marked { mark, until_ms, walk: self.marked });
        (self.marked, self.members(tag, now_ms))
    }

    /// The members of an index, with their scores.
    pub(super) fn members(&self, tag: &StoreTag, now_ms: u64) -> Vec<Member> {
        let index = self.indexes.get(tag).filter(|index| lives(index, now_ms));
        let members = index.into_iter().flatten();
        members.map(|(name, score)| (name.clone(), *score)).collect()
    }

    /// Writes a name into the index of one tag.
    pub(super) fn index_under(&mut self, tag: &StoreTag, name: &Name, until_ms: u64, now_ms: u64) {
        let members = self.indexes.entry(tag.clone()).or_default();
        members.retain(|_, score| now_ms < *score);
        let score = members.entry(name.clone()).or_default();
        // Higher than before: a walk that read the old score must not remove the new member.
        *score = until_ms.max(*score + 1);
    }

    pub(super) fn index(
        &mut self,
        name: &Name,
        tags: &[StoreTag],
        until_ms: u64,
        now_ms: u64,
    ) -> Indexed {
        tags.iter().for_each(|tag| self.index_under(tag, name, until_ms, now_ms));
        for tag in tags {
            if let Some(marked) = self.marks.get_mut(tag) {
                // The walk that set the mark forgets no member any more (race Q).
                marked.walk = NO_WALK;
            }
        }
        let marks = tags.iter().filter_map(|tag| self.marks.get(tag));
        let marks = marks.filter(|marked| now_ms < marked.until_ms).map(|marked| marked.mark);
        Indexed { now_ms, marks: marks.collect() }
    }

    /// Takes a member out of an index. If `compares`, only if it was not indexed again since, and
    /// no other invalidation has marked the tag since.
    pub(super) fn forget(&mut self, tag: &StoreTag, member: &Member, walk: u64, compares: bool) {
        let newest = self.marks.get(tag).is_some_and(|marked| marked.walk == walk);
        if let Some(members) = self.indexes.get_mut(tag)
            && (!compares || (newest && members.get(&member.0) == Some(&member.1)))
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
        let members = || self.indexes.values().filter(|index| lives(index, now_ms)).flatten();
        let held: BTreeSet<&Name> =
            members().filter(|(_, score)| now_ms < **score).map(|(name, _)| name).collect();
        Census {
            alive: alive().count(),
            members: members().count(),
            members_alive: held.len(),
            missing: alive().filter(|(name, _)| !held.contains(name)).count(),
        }
    }

    pub(super) fn flush(&mut self) {
        *self = Self { changes: vec![Change::All], ..Self::default() };
    }

    /// Loses an index, a mark, an intent or the range. A store that evicts only values never loses
    /// these.
    pub(super) fn lose(&mut self, draw: usize) {
        match draw % 4 {
            0 => drop(self.indexes.pop_first()),
            1 => drop(self.marks.pop_first()),
            2 => drop(self.intents.pop()),
            _ => self.register = Register::default(),
        }
    }

    /// The names that have a value, and those that have a lease.
    pub(super) fn names(&self) -> (Vec<Name>, Vec<Name>) {
        (self.values.keys().cloned().collect(), self.leases.keys().cloned().collect())
    }
}

/// An index lives as long as its longest-lived member.
fn lives(index: &BTreeMap<Name, u64>, now_ms: u64) -> bool {
    index.values().any(|score| now_ms < *score)
}

fn millis(duration: Duration) -> u64 {
    // As in Redis, every duration is at least a millisecond.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
