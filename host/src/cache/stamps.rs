//! The floors in force, range by range, compared by one word.
//!
//! An envelope carries the [`Stamp`] that was in force when its load began: an epoch and a word of floors. A
//! value is believed while both are still in force (races O and V). Stamps are equal or not: they have no
//! order and no clock. Everything that makes many values untrue at once changes one of them: a restart or a
//! failover the epoch, which the [nodes](super::nodes) know, and a flush or an entity's floor the word.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::definition::{Definition, Word};
use crate::store::{Epoch, FloorScope, Layout, Naming, PolicyId, Range, RangeId, Stamp};

/// How long every host needs to learn what has changed: no host believes for longer what it knew before.
pub(super) const LEARNED_WITHIN: Duration = Duration::from_secs(1);

/// What is in force according to the last good beat.
pub(super) struct Stamps {
    roster: Mutex<Roster>,
    tables: Mutex<StampTables>,
    changed: Notify,
}

/// What is known of every range.
#[derive(Default)]
struct StampTables {
    by_range: Vec<StampTable>,
    /// The namings in use in any range, and those that a range has lost.
    namings: Arc<Vec<Naming>>,
}

/// The definitions of this host.
#[derive(Default)]
struct Roster {
    version: u64,
    definitions: Vec<Arc<Definition>>,
    /// A policy that may come into force: its namings are published before that.
    coming: Option<PolicyId>,
    /// Definitions of configurations that were left: requests that began before may still fill under them.
    left: Vec<Weak<Definition>>,
}

/// The definitions that a host uses at one moment: what it publishes, and what is in force for them.
#[derive(Clone)]
pub(super) struct InUse {
    version: u64,
    pub(super) definitions: Vec<Arc<Definition>>,
    coming: Option<PolicyId>,
}

impl InUse {
    /// The policies under which this host publishes namings, where `policy` is in force.
    pub(super) fn policies(&self, policy: PolicyId) -> impl Iterator<Item = PolicyId> {
        [policy].into_iter().chain(self.coming.filter(|coming| *coming != policy))
    }
}

#[derive(Default)]
struct StampTable {
    epoch: Option<Epoch>,
    /// The policy of the namings that this host published last.
    published: Option<PolicyId>,
    /// The version of the roster when namings were published last.
    roster: u64,
    range: Arc<Range>,
    fill_from: BTreeMap<FloorScope, Duration>,
    losses: Losses,
}

/// What the range may have lost a moment ago: the range was emptied, or namings were taken for unused because
/// the node's clock was set. A host that has not read the range since believes what it knew before.
#[derive(Default)]
struct Losses {
    /// By when every host has learned of the losses.
    learned_by: Duration,
    /// The lost namings that this host knew.
    known: Vec<Naming>,
    /// Whether the range may have lost namings that this host never knew.
    may_be_more: bool,
}

impl StampTable {
    /// The words in force that follow for a definition from the range. `fill_from` tells from when on a naming
    /// may be filled here.
    fn words(
        &self,
        definition: &Definition,
        fill_from: impl Fn(&FloorScope) -> Option<Duration>,
    ) -> Vec<Word> {
        let everything = self.range.floors.get(&FloorScope::Everything).copied();
        let word = |(scope, floor): (&FloorScope, &u64)| {
            let FloorScope::Naming(digest, policy) = scope else { return None };
            let word = Stamp::word([everything?, *floor]);
            (digest == definition.digest()).then(|| Word {
                policy: *policy,
                word,
                fill_from: fill_from(scope),
            })
        };
        self.range.floors.iter().filter_map(word).collect()
    }

    /// Whether the store has forgotten nothing since the table was set.
    fn has_kept_all(&self, epoch: Epoch, range: &Range) -> bool {
        let everything = |range: &Range| range.floors.get(&FloorScope::Everything).copied();
        self.epoch == Some(epoch) && everything(&self.range) == everything(range)
    }

    fn set(
        &mut self,
        epoch: Epoch,
        range: Range,
        (in_use, published): (&InUse, PolicyId),
        fill_from: Duration,
        now: Duration,
    ) {
        let has_kept_all = self.has_kept_all(epoch, &range);
        self.note_losses(has_kept_all, &range, now);
        if !has_kept_all {
            self.fill_from.clear();
        }
        let policies = in_use.policies(published);
        let digests = in_use.definitions.iter().map(|definition| definition.digest());
        for (policy, digest) in policies.flat_map(|p| digests.clone().map(move |d| (p, d))) {
            let scope = FloorScope::Naming(digest.clone(), policy);
            let from = if range.new.contains(&scope) { fill_from } else { Duration::ZERO };
            // A naming that already waits is not filled sooner because the range was read again.
            let known = self.fill_from.entry(scope).or_default();
            *known = from.max(*known);
        }
        self.fill_from.retain(|scope, _| range.floors.contains_key(scope));
        (self.epoch, self.published) = (Some(epoch), Some(published));
        (self.range, self.roster) = (Arc::new(range), in_use.version);
    }

    /// Notes what this range has lost since the table was set. If the range notes any naming as known, every
    /// host has learned of all losses.
    fn note_losses(&mut self, has_kept_all: bool, range: &Range, now: Duration) {
        let is_lost = |old: &&Naming| !range.namings.iter().any(|new| new.scope() == old.scope());
        let lost: Vec<Naming> = self.range.namings.iter().filter(is_lost).cloned().collect();
        let (was_noted, is_noted) = (!self.range.known.is_empty(), !range.known.is_empty());
        if self.losses.learned_by <= now {
            self.losses = Losses::default();
        }
        if !has_kept_all {
            self.losses.may_be_more = !is_noted;
        }
        if !has_kept_all || !lost.is_empty() || (was_noted && !is_noted) {
            self.losses.learned_by = now + LEARNED_WITHIN;
            self.losses.known.extend(lost);
        }
    }
}

impl StampTables {
    /// From when on a naming may be filled in a range; `None` if this host has not published it. A naming that
    /// every host knows is filled at once. One that is new is filled once it was published in every range
    /// and every host has had the time to learn of it: an invalidation makes names of the namings that its
    /// host finds in the ranges which it can read (race J).
    fn fill_from(&self, table: &StampTable, scope: &FloorScope) -> Option<Duration> {
        let here = *table.fill_from.get(scope)?;
        if table.range.known.contains(scope) {
            return Some(here);
        }
        self.by_range.iter().map(|other| other.fill_from.get(scope).copied()).max_by_key(
            |from| {
                // A range where it is not published yet comes last.
                from.map_or((true, Duration::ZERO), |from| (false, from))
            },
        )?
    }

    /// Puts the words in force that follow for a definition from every range that was read.
    fn enforce(&self, definition: &Definition) {
        for (range, table) in self.by_range.iter().enumerate() {
            if let Some(published) = table.published {
                let words = table.words(definition, |scope| self.fill_from(table, scope));
                definition.enforce(range, words, published);
            }
        }
    }

    /// The namings in use in any range, each once.
    fn merge(&mut self) {
        let mut namings: BTreeMap<FloorScope, Naming> = BTreeMap::new();
        for naming in self.by_range.iter().flat_map(|table| &table.range.namings) {
            namings.entry(naming.scope()).or_insert_with(|| naming.clone());
        }
        self.namings = Arc::new(namings.into_values().collect());
    }
}

impl Stamps {
    /// Stamps of these definitions, of which nothing is in force yet.
    pub(super) fn new(definitions: Vec<Arc<Definition>>, layout: Layout) -> Self {
        let roster = Roster { definitions, ..Roster::default() };
        let by_range = layout.ranges().map(|_| StampTable::default()).collect();
        let tables = StampTables { by_range, namings: Arc::default() };
        Self { roster: Mutex::new(roster), tables: Mutex::new(tables), changed: Notify::new() }
    }

    /// The definitions of this host's configuration, and those that requests still hold.
    pub(super) fn in_use(&self) -> InUse {
        let roster = self.roster();
        let left = roster.left.iter().filter_map(Weak::upgrade);
        let definitions = roster.definitions.iter().cloned().chain(left).collect();
        InUse { version: roster.version, definitions, coming: roster.coming }
    }

    /// From the next beat on, the namings of this policy are published beside those of the policy in force.
    pub(super) fn prepare_for(&self, coming: Option<PolicyId>) {
        let mut roster = self.roster();
        if roster.coming != coming {
            roster.version += 1;
            roster.coming = coming;
        }
    }

    /// Adds definitions. What is known of their namings is in force for them at once; namings that are new
    /// are published with the next beat and filled after that.
    pub(super) fn join(&self, definitions: &[Arc<Definition>]) {
        {
            let mut roster = self.roster();
            roster.version += 1;
            roster.definitions.extend(definitions.iter().cloned());
        }
        let tables = self.tables();
        definitions.iter().for_each(|joined| tables.enforce(joined));
    }

    /// Removes definitions; requests that hold them still use them.
    pub(super) fn leave(&self, definitions: &[Arc<Definition>]) {
        let mut roster = self.roster();
        let is_left = |known: &Arc<Definition>| definitions.iter().any(|d| Arc::ptr_eq(d, known));
        roster.definitions.retain(|known| !is_left(known));
        roster.left.retain(|left| left.strong_count() > 0);
        roster.left.extend(definitions.iter().map(Arc::downgrade));
    }

    /// Whether the namings of all definitions are published, and each may be filled by now.
    pub(super) fn is_filled(&self, policy: PolicyId, now: Duration) -> bool {
        self.in_use().definitions.iter().all(|definition| definition.may_be_filled(policy, now))
    }

    /// A future that ends when the table has changed since this call.
    pub(super) fn changed(&self) -> impl Future<Output = ()> {
        let mut changed = Box::pin(self.changed.notified());
        changed.as_mut().enable();
        changed
    }

    /// The namings in use in any range, as they were read last.
    pub(super) fn namings(&self) -> Arc<Vec<Naming>> {
        Arc::clone(&self.tables().namings)
    }

    /// The longest deadline that any naming in use has.
    pub(super) fn longest_deadline(&self) -> Duration {
        let longest_ms = self.namings().iter().map(|naming| naming.deadline_ms).max();
        Duration::from_millis(longest_ms.unwrap_or_default())
    }

    /// Whether a range notes that this epoch was watched.
    pub(super) fn has_watched(&self, range: RangeId, epoch: Epoch) -> bool {
        self.tables().by_range[range.index()].range.watched.contains(&epoch)
    }

    /// Whether the table of a range is that of this epoch and of this version of the range, with this policy's
    /// namings published.
    pub(super) fn is_current(
        &self,
        range: RangeId,
        (epoch, version): (Epoch, u64),
        policy: PolicyId,
    ) -> bool {
        let tables = self.tables();
        let table = &tables.by_range[range.index()];
        let is_of = table.epoch == Some(epoch) && table.published == Some(policy);
        is_of
            && table.roster == self.roster().version
            && table.range.version == version
            && version != 0
    }

    /// Whether this host has used a naming before, in a store that has forgotten nothing since. In a store
    /// that has forgotten, others may have read the range before the naming was published again; it shows by
    /// another floor of everything (the range was emptied), another epoch (it was restored), or another floor
    /// of the naming (the naming was dropped).
    pub(super) fn has_used(
        &self,
        naming: &FloorScope,
        epoch: Epoch,
        (of, range): (RangeId, &Range),
    ) -> bool {
        let tables = self.tables();
        let table = &tables.by_range[of.index()];
        let has_its_floor = table.range.floors.get(naming) == range.floors.get(naming);
        table.has_kept_all(epoch, range) && has_its_floor && table.fill_from.contains_key(naming)
    }

    /// Whether a naming of this host waits until other hosts have learned of it.
    pub(super) fn is_new(&self, now: Duration) -> bool {
        let tables = self.tables();
        tables.by_range.iter().flat_map(|table| table.fill_from.values()).any(|from| now < *from)
    }

    /// This host's namings that every host has had the time to learn and that are not yet noted as known in a
    /// range, with their floors.
    pub(super) fn learned(&self, range: RangeId, now: Duration) -> Vec<(FloorScope, u64)> {
        let tables = self.tables();
        let table = &tables.by_range[range.index()];
        if now < table.losses.learned_by {
            return Vec::new();
        }
        let is_unnoted = |scope: &&FloorScope| {
            let is_filled = tables.fill_from(table, scope).is_some_and(|from| from <= now);
            is_filled && !table.range.known.contains(scope)
        };
        let floor = |scope: &FloorScope| table.range.floors.get(scope).copied();
        let unnoted = table.fill_from.keys().filter(is_unnoted);
        unnoted.filter_map(|scope| Some((scope.clone(), floor(scope)?))).collect()
    }

    /// For how long other hosts may still use namings that are neither in a range nor known to this host.
    pub(super) fn incomplete_for(&self, now: Duration) -> Duration {
        let tables = self.tables();
        let losses = tables.by_range.iter().map(|table| &table.losses);
        let learned_by = losses.filter(|losses| losses.may_be_more).map(|losses| losses.learned_by);
        learned_by.max().unwrap_or_default().saturating_sub(now)
    }

    /// Namings that ranges have lost and that other hosts may still use.
    pub(super) fn lost(&self, now: Duration) -> Vec<Naming> {
        let tables = self.tables();
        let losses = tables.by_range.iter().map(|table| &table.losses);
        let current = losses.filter(|losses| now < losses.learned_by);
        current.flat_map(|losses| losses.known.iter().cloned()).collect()
    }

    /// Puts in force what ranges say under the epoch of the node that keeps them. Of this host's namings under
    /// the policy `published`, those that were unused before ([`Range::new`]) are filled from `fill_from` on.
    pub(super) fn set(
        &self,
        epoch: Epoch,
        ranges: Vec<(RangeId, Range)>,
        (in_use, published): (&InUse, PolicyId),
        fill_from: Duration,
        now: Duration,
    ) {
        let mut tables = self.tables();
        for (of, range) in ranges {
            let table = &mut tables.by_range[of.index()];
            table.set(epoch, range, (in_use, published), fill_from, now);
        }
        tables.merge();
        // All definitions, also those that joined after the namings were published: their values are
        // believed, and not filled before their namings are published.
        for definition in self.in_use().definitions {
            tables.enforce(&definition);
        }
        drop(tables);
        self.changed.notify_waiters();
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tables(&self) -> MutexGuard<'_, StampTables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
