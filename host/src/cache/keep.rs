//! What keeps a host's trust in the nodes: beats, the ranges, debts, and the namings that the host publishes.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use crate::store::{FloorScope, Layout, Naming, Over, PolicyId, Range, RangeId, StoreError};

use super::debt::{Creditors, Part, Payer};
use super::namings::{InvalidationNames, Namer};
use super::nodes::{Node, NodeNumber};
use super::removal::Counting;
use super::stamps::{InUse, LEARNED_WITHIN};
use super::trust::{EpochWatch, GoodBeat};
use super::{Cache, Definition, Invalidated};

/// How often a host writes that it is alive and which namings it uses.
const PUBLISH: Duration = Duration::from_secs(10);

/// How long a load waits for the namings of its policy: a few round trips to the store.
const PUBLISHED_WITHIN: Duration = Duration::from_millis(50);

/// Targets that are paid in one call.
const AT_ONCE: usize = 1024;

/// How often a host looks for fences that are over.
const FENCES: Duration = Duration::from_millis(100);

impl Cache {
    /// Keeps every node trusted while it may be trusted; runs for as long as the host does.
    pub async fn keep_trust(&self) {
        let mut kept: BTreeMap<NodeNumber, Arc<Node>> = BTreeMap::new();
        let mut loops = FuturesUnordered::new();
        loop {
            let table = self.nodes.adopt();
            let is_in_use = |number: &NodeNumber| table.nodes().iter().any(|n| n.number == *number);
            for gone in kept.extract_if(.., |number, _| !is_in_use(number)) {
                self.debt.is_gone(gone.0);
            }
            for node in table.nodes() {
                if kept.insert(node.number, Arc::clone(node)).is_none() {
                    loops.push(self.keep_node(Arc::clone(node)));
                }
            }
            tokio::select! {
                () = self.nodes.changed(table.map()) => {}
                // A node's loop ends when the node is gone.
                Some(()) = loops.next() => {}
                () = self.keep_fences() => {}
            }
        }
    }

    async fn keep_node(&self, node: Arc<Node>) {
        loop {
            let table = self.nodes.table();
            if !table.nodes().iter().any(|known| known.number == node.number) {
                return;
            }
            let ranges = table.ranges_of(node.number);
            match node.trust.beat(ranges).await {
                Ok(good) => match self.catch_up(&node, &good, ranges).await {
                    Ok(()) => {}
                    Err(error) => {
                        self.nodes.note(&error);
                        node.trust.distrust(&error.to_string());
                    }
                },
                Err(why) => node.trust.distrust(&why),
            }
            node.trust.due().await;
        }
    }

    /// Learns and pays what has to be known and paid before a good beat gives trust. `asked` are the ranges
    /// whose versions the beat has.
    async fn catch_up(
        &self,
        node: &Node,
        good: &GoodBeat,
        asked: &[RangeId],
    ) -> Result<(), StoreError> {
        let began = self.clock.now();
        let table = self.nodes.adopt();
        let ranges = table.ranges_of(node.number);
        let policy = self.slot.peek().policy_id();
        let version = |range: &RangeId| {
            let at = asked.iter().position(|asked| asked == range)?;
            good.beat.range_versions.get(at).copied()
        };
        let is_stale = |range: &RangeId| {
            let version = version(range).unwrap_or(0);
            !self.stamps.is_current(*range, (good.epoch, version), policy)
        };
        let stale: Vec<RangeId> = ranges.iter().copied().filter(is_stale).collect();
        if !stale.is_empty() {
            self.learn_ranges(node, good, &stale, policy).await?;
        }
        let namings = self.stamps.namings();
        self.slot.note_used(|policy| namings.iter().any(|naming| naming.policy == policy));
        let mark = table.mark_of(node.number, good.epoch, self.nodes.layout());
        let is_noted = |range: &RangeId| mark.is_some_and(|m| self.stamps.has_watched(*range, m));
        let is_known = ranges.iter().any(is_noted);
        if node.trust.watch_epoch(good, is_known) == EpochWatch::UntilLater {
            return Ok(());
        }
        node.trust.probe(good);
        let payer = Payer::Node(node.number);
        loop {
            self.pay(payer).await?;
            if self.debt.if_clear(payer, || node.trust.trust(good)) {
                break;
            }
        }
        node.caught_up(began);
        if let Some(mark) = mark.filter(|_| !is_known && !ranges.is_empty()) {
            // The note may be lost: it only spares hosts that start later the fence.
            let _ = node.trust.store().note_watched(ranges, mark).await;
        }
        self.note_known(node, ranges).await;
        Ok(())
    }

    /// Publishes this host's namings and reads the ranges: namings are published before they are filled (race
    /// J). A naming that is not noted as known in a range is filled a second later: by then every host that
    /// believes what it knew before has read the range. It is filled at once if this host is the only one.
    /// A naming that another host published a moment ago is not noted as known yet.
    async fn learn_ranges(
        &self,
        node: &Node,
        good: &GoodBeat,
        stale: &[RangeId],
        policy: PolicyId,
    ) -> Result<(), StoreError> {
        let store = node.trust.store();
        let in_use = self.stamps.in_use();
        let own = own_namings(&in_use, policy);
        let published = self.under(good, store.publish(stale, &own).await?)?;
        let scopes: Vec<FloorScope> = own.iter().map(Naming::scope).collect();
        let unknown = |of: RangeId, range: &Range| -> Vec<FloorScope> {
            let is_unknown = |scope: &&FloorScope| {
                let is_new = range.new.contains(scope)
                    || !self.stamps.has_used(scope, good.epoch, (of, range));
                is_new && !range.known.contains(scope)
            };
            scopes.iter().filter(is_unknown).cloned().collect()
        };
        let was_empty = published.iter().any(|range| range.was_empty);
        let mut ranges: Vec<(RangeId, Range)> = stale.iter().copied().zip(published).collect();
        for (of, range) in &mut ranges {
            range.new = unknown(*of, range);
        }
        let mut is_alone = true;
        if ranges.iter().any(|(_, range)| !range.new.is_empty()) || !self.listed.is_known() {
            if was_empty {
                // The list of hosts was emptied with the range.
                self.listed.forget();
            }
            is_alone = self.enlist(node.number).await?;
            // Read again: a host that found itself alone before this one was listed fills at once, and its
            // namings are in the ranges by now.
            let read = self.under(good, store.read_ranges(stale).await?)?;
            for ((_, range), read) in ranges.iter_mut().zip(read) {
                let new = std::mem::take(&mut range.new);
                *range = Range { new, ..read };
            }
        }
        let now = self.clock.now();
        let fill_from = if is_alone { now } else { now + LEARNED_WITHIN };
        self.stamps.set(good.epoch, ranges, (&in_use, policy), fill_from, now);
        Ok(())
    }

    /// Notes the namings that every host has learned as known: a host that starts under them from now on
    /// fills at once.
    async fn note_known(&self, node: &Node, ranges: &[RangeId]) {
        for range in ranges {
            let learned = self.stamps.learned(*range, self.clock.now());
            if !learned.is_empty() {
                // A note that fails is repeated with the next beat.
                let _ = node.trust.store().note_known(*range, &learned).await;
            }
        }
    }

    /// The answer, if it came over the link of the beat and while that beat still gives trust. A host that
    /// was frozen in between may have asked a node that another one has replaced (race O).
    fn under<T>(&self, good: &GoodBeat, over: Over<T>) -> Result<T, StoreError> {
        if over.link != good.link {
            return Err(StoreError::Unavailable("the connection was replaced".to_owned()));
        }
        if self.clock.now() >= good.until() {
            return Err(StoreError::Unavailable("it answered too late after its beat".to_owned()));
        }
        Ok(over.answer)
    }

    /// Returns once the namings of the policy in force are published in a range, or after
    /// [`PUBLISHED_WITHIN`]: a policy that has just come into force begins with namings that are not
    /// published.
    pub(super) async fn publish_policy(
        &self,
        definition: &Definition,
        range: RangeId,
        policy: PolicyId,
    ) {
        let changed = self.stamps.changed();
        if definition.is_published(range, policy) {
            return;
        }
        self.nodes.hurry();
        let _in_time = timeout(PUBLISHED_WITHIN, changed).await;
    }

    /// Publishes that this host is alive and which namings it uses; runs for as long as the host does.
    pub async fn keep_listed(&self) {
        self.nodes.judged().await;
        self.look_at_settings().await;
        loop {
            sleep(PUBLISH).await;
            // A call that fails is repeated in the next round, and beats judge the node.
            let policy = self.slot.peek().policy_id();
            let own = own_namings(&self.stamps.in_use(), policy);
            let table = self.nodes.table();
            let publishing = table.nodes().iter().map(|node| async {
                let ranges = table.ranges_of(node.number);
                if !ranges.is_empty() {
                    let _ = node.trust.store().publish(ranges, &own).await;
                }
            });
            join_all(publishing).await;
            if let Ok(node) = self.nodes.node_of(self.list_slot()) {
                let _ = self.enlist(node.number).await;
            }
            self.look_at_settings().await;
        }
    }

    /// Reads what follows from the servers' settings. What was known stands if a server does not answer or
    /// hides its settings.
    async fn look_at_settings(&self) {
        let table = self.nodes.table();
        let asking = table.nodes().iter().map(|node| node.trust.watch(|store| store.concern()));
        let concerns = join_all(asking).await;
        if concerns.iter().any(Result::is_ok) {
            let concern = concerns.into_iter().flatten().flatten().next();
            *self.concern.lock().unwrap_or_else(PoisonError::into_inner) = concern;
        }
    }

    /// Pays what concerns the payer. Parts that every host has to learn first count as paid after one wait for
    /// all of them; a beat is too old by then, and the next one gives trust. Fails if the payer still owes.
    async fn pay(&self, payer: Payer) -> Result<(), StoreError> {
        let (mut last, mut unlearned): (Option<Part>, _) = (None, Vec::new());
        let mut unpaid = None;
        while let Some(part) = self.debt.part(payer, AT_ONCE, last.as_ref()) {
            let mut names = self.namer().names(part.targets());
            if part.is_everything() {
                names.scopes.push(FloorScope::Everything);
            }
            match self.remove(&names, Counting::Paying).await {
                Err(incomplete) => {
                    self.debt.unpaid(&part, &incomplete.concern);
                    unpaid = unpaid.or(Some(incomplete.error));
                }
                Ok(_removed) if self.learning(&names).is_zero() => self.debt.paid(&part),
                Ok(_removed) => unlearned.push(part.clone()),
            }
            last = Some(part);
        }
        if !unlearned.is_empty() {
            sleep(LEARNED_WITHIN).await;
        }
        unlearned.iter().for_each(|part| self.debt.paid(part));
        match unpaid {
            Some(error) if !self.debt.if_clear(payer, || {}) => Err(error),
            Some(_) | None => Ok(()),
        }
    }

    /// Lifts the fences that are over, once what is owed of their slots is paid. Never returns.
    async fn keep_fences(&self) {
        if self.nodes.layout() == Layout::Single {
            return std::future::pending().await;
        }
        loop {
            sleep(FENCES).await;
            let due = self.nodes.table().fences_to_lift(self.clock.now());
            if due.is_empty() && self.debt.if_clear(Payer::Fences, || {}) {
                continue;
            }
            // What can't be paid now is tried again.
            let _ = self.pay(Payer::Fences).await;
            self.debt.if_clear(Payer::Fences, || due.iter().for_each(|fence| fence.lift()));
        }
    }

    pub(super) fn namer(&self) -> Namer<'_> {
        Namer::new(&self.prefix, &self.stamps, &self.slot, self.clock.now())
    }

    /// Raises the floor of everything, or owes that if it can't be done now.
    pub(super) async fn raise_everything(&self) -> Invalidated {
        let names = InvalidationNames {
            scopes: vec![FloorScope::Everything],
            ..InvalidationNames::default()
        };
        match self.remove(&names, Counting::Trusted).await {
            Ok(removed) => Invalidated::Done(removed),
            Err(incomplete) => {
                self.debt.add_everything(&incomplete.concern);
                self.distrust(&incomplete.concern, &incomplete.error);
                Invalidated::Pending
            }
        }
    }

    /// No longer trusts the nodes of which an invalidation is owed.
    pub(super) fn distrust(&self, concern: &Creditors, error: &StoreError) {
        for node in self.nodes.table().nodes() {
            if concern.everyone || concern.nodes.contains(&node.number) {
                node.trust.distrust(&format!("an invalidation is owed: {error}"));
            }
        }
    }
}

/// The namings of these definitions under the policy in force and the one to come, each once. While a
/// configuration is exchanged, two definitions with one digest may differ in times, which are no part of
/// names; the longer time counts.
fn own_namings(in_use: &InUse, policy: PolicyId) -> Vec<Naming> {
    let mut namings: Vec<Naming> = Vec::with_capacity(in_use.definitions.len());
    let of = |policy| in_use.definitions.iter().map(move |definition| definition.naming(policy));
    for naming in in_use.policies(policy).flat_map(of) {
        let is_same =
            |known: &&mut Naming| (&known.digest, known.policy) == (&naming.digest, naming.policy);
        match namings.iter_mut().find(is_same) {
            Some(known) => {
                known.lasts_ms = known.lasts_ms.max(naming.lasts_ms);
                known.deadline_ms = known.deadline_ms.max(naming.deadline_ms);
            }
            None => namings.push(naming),
        }
    }
    namings
}
