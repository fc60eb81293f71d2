//! What keeps a host's trust in the node: beats, the range, debts, and the namings that the host publishes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::store::{
    Doomed, Epoch, FloorScope, HostCard, IntentTarget, Marking, Naming, Over, PolicyId, Range,
    StoreError,
};

use super::namings::{InvalidationNames, Namer};
use super::stamps::{InUse, LEARNED_WITHIN};
use super::trust::{EpochWatch, GoodBeat};
use super::{Cache, Definition, Invalidated};

/// How often a host writes that it is alive and which namings it uses.
const PUBLISH: Duration = Duration::from_secs(10);

/// How long a load waits for the namings of its policy: a few round trips to the store.
const PUBLISHED_WITHIN: Duration = Duration::from_millis(50);

/// Targets that are paid in one call.
const AT_ONCE: usize = 1024;

/// The shortest life of a mark. It lives for twice the longest deadline that a host has published, if that is
/// longer.
const MARK_AT_LEAST: Duration = Duration::from_secs(10);

/// Since when this host has been on the list of hosts without a break, by its own clock; `None` if it may not
/// be on the list.
#[derive(Debug, Default)]
pub(super) struct Listed(Mutex<Option<Duration>>);

impl Listed {
    /// The list was emptied.
    fn forget(&self) {
        *self.lock() = None;
    }

    /// The host is listed now; since when without a break.
    fn since(&self, was_listed: bool, now: Duration) -> Duration {
        let mut listed = self.lock();
        let since = listed.filter(|_| was_listed).unwrap_or(now);
        *listed = Some(since);
        since
    }

    fn is_known(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// Keeps the node trusted while it may be trusted; runs for as long as the host does.
    pub async fn keep_trust(&self) {
        loop {
            match self.trust.beat().await {
                Ok(good) => match self.catch_up(&good).await {
                    Ok(()) => {}
                    Err(error) => self.trust.distrust(&error.to_string()),
                },
                Err(why) => self.trust.distrust(&why),
            }
            self.trust.due().await;
        }
    }

    /// Learns and pays what has to be known and paid before a good beat gives trust.
    async fn catch_up(&self, good: &GoodBeat) -> Result<(), StoreError> {
        let policy = self.slot.peek().policy_id();
        if !self.stamps.is_current(good.epoch, good.beat.range_version, policy) {
            self.learn_range(good, policy).await?;
        }
        let range = self.stamps.range();
        self.slot.note_used(|policy| range.namings.iter().any(|naming| naming.policy == policy));
        let is_known = range.watched.contains(&good.epoch);
        if self.trust.watch_epoch(good, is_known) == EpochWatch::UntilLater {
            return Ok(());
        }
        loop {
            self.pay(good).await?;
            if self.debt.if_clear(|| self.trust.trust(good)) {
                break;
            }
        }
        if !is_known {
            // The note may be lost: it only spares hosts that start later the fence.
            let _ = self.trust.store().note_watched(good.epoch).await;
        }
        self.note_known().await;
        Ok(())
    }

    /// Publishes this host's namings and reads the range: namings are published before they are filled (race
    /// J). A naming that is not noted as known in the range is filled a second later: by then every host that
    /// believes what it knew before has read the range. It is filled at once if this host is the only one.
    /// A naming that another host published a moment ago is not noted as known yet.
    async fn learn_range(&self, good: &GoodBeat, policy: PolicyId) -> Result<(), StoreError> {
        let store = self.trust.store();
        let in_use = self.stamps.in_use();
        let own = own_namings(&in_use, policy);
        let mut range = self.under(good, store.publish(&own).await?)?;
        let is_unknown = |scope: &FloorScope| {
            let is_new =
                range.new.contains(scope) || !self.stamps.has_used(scope, good.epoch, &range);
            is_new && !range.known.contains(scope)
        };
        let unknown: Vec<FloorScope> = own.iter().map(Naming::scope).filter(is_unknown).collect();
        let mut is_alone = true;
        if !unknown.is_empty() || !self.listed.is_known() {
            if range.was_empty {
                // The list of hosts was emptied with the range.
                self.listed.forget();
            }
            is_alone = self.enlist().await?;
            // Read again: a host that found itself alone before this one was listed fills at once, and its
            // namings are in the range by now.
            let read = self.under(good, store.range().await?)?;
            range = Range { new: unknown, ..read };
        } else {
            range.new.clear();
        }
        let now = self.clock.now();
        let fill_from = if is_alone { now } else { now + LEARNED_WITHIN };
        self.stamps.set(good.epoch, range, (&in_use, policy), fill_from, now);
        Ok(())
    }

    /// Puts this host on the list; whether it is alone, so that no other host can know less than the store
    /// says. A list that may have been emptied is believed once every host has had the time to return to it.
    pub(super) async fn enlist(&self) -> Result<bool, StoreError> {
        let listing = self.trust.store().enlist(&self.card()).await?;
        self.note_hosts(&listing.alive);
        self.fleet.seen(&listing.alive, self.now_ms());
        let since = self.listed.since(listing.was_listed, self.clock.now());
        Ok(listing.is_alone && self.clock.now() >= since + LEARNED_WITHIN)
    }

    /// Notes the namings that every host has learned as known: a host that starts under them from now on
    /// fills at once.
    async fn note_known(&self) {
        let learned = self.stamps.learned(self.clock.now());
        if !learned.is_empty() {
            // A note that fails is repeated with the next beat.
            let _ = self.trust.store().note_known(&learned).await;
        }
    }

    /// The answer, if it came over the link of the beat and while that beat still gives trust. A host that
    /// was frozen in between may have paid a node that another one has replaced (race O).
    fn under<T>(&self, good: &GoodBeat, over: Over<T>) -> Result<T, StoreError> {
        if over.link != good.link {
            return Err(StoreError::Unavailable("the connection was replaced".to_owned()));
        }
        if self.clock.now() >= good.until() {
            return Err(StoreError::Unavailable("it answered too late after its beat".to_owned()));
        }
        Ok(over.answer)
    }

    /// Returns once the namings of the policy in force are published, or after [`PUBLISHED_WITHIN`]: a policy
    /// that has just come into force begins with namings that are not published.
    pub(super) async fn publish_policy(&self, definition: &Definition, policy: PolicyId) {
        let changed = self.stamps.changed();
        if definition.is_published(policy) {
            return;
        }
        self.trust.hurry();
        let _in_time = timeout(PUBLISHED_WITHIN, changed).await;
    }

    fn card(&self) -> HostCard {
        let (policy, fleet) = (self.slot.peek().label().to_owned(), Some(self.fleet_card()));
        HostCard { policy, fleet, ..self.host.clone() }
    }

    /// Warns of hosts of another format: they store under other names, so their writes do not reach the
    /// values of this host, nor its writes theirs.
    fn note_hosts(&self, hosts: &[HostCard]) {
        let others = hosts.iter().filter(|host| host.format != self.host.format).count();
        if others > 0 {
            tracing::warn!(
                others,
                "hosts of another format are alive: their writes do not reach the values of this host"
            );
        }
        *self.strangers.lock().unwrap_or_else(PoisonError::into_inner) = others;
    }

    /// Publishes that this host is alive and which namings it uses; runs for as long as the host does.
    pub async fn keep_listed(&self) {
        self.trust.judged().await;
        self.look_at_settings().await;
        loop {
            sleep(PUBLISH).await;
            // A call that fails is repeated in the next round, and beats judge the node.
            let policy = self.slot.peek().policy_id();
            let own = own_namings(&self.stamps.in_use(), policy);
            let _ = self.trust.store().publish(&own).await;
            let _ = self.enlist().await;
            self.look_at_settings().await;
        }
    }

    /// Reads what follows from the server's settings. What was known stands if the server does not answer or
    /// hides its settings.
    async fn look_at_settings(&self) {
        if let Ok(concern) = self.trust.watch(|store| store.concern()).await {
            *self.concern.lock().unwrap_or_else(PoisonError::into_inner) = concern;
        }
    }

    /// Pays the debt over the link of this beat. Parts that every host has to learn first count as paid after
    /// one wait for all of them; the beat is too old by then, and the next one gives trust.
    async fn pay(&self, good: &GoodBeat) -> Result<(), StoreError> {
        let (mut last, mut unlearned) = (None, Vec::new());
        while let Some(part) = self.debt.part(AT_ONCE, last.as_ref()) {
            let mut names = self.namer().names(part.targets());
            if part.is_everything() {
                names.scopes.push(FloorScope::Everything);
            }
            let marking = self.marking(good.epoch);
            if !names.doomed.is_empty() {
                let removed = self.trust.store().invalidate(&names.doomed, marking).await;
                self.count_doomed(&names.doomed, removed.is_ok());
                self.under(good, removed?)?;
            }
            if !names.scopes.is_empty() {
                let raised = self.trust.store().raise(&names.scopes).await?;
                self.under(good, raised)?;
            }
            if self.learning(&names).is_zero() {
                self.debt.paid(&part);
            } else {
                unlearned.push(part.clone());
            }
            last = Some(part);
        }
        if !unlearned.is_empty() {
            sleep(LEARNED_WITHIN).await;
        }
        unlearned.iter().for_each(|part| self.debt.paid(part));
        Ok(())
    }

    pub(super) fn namer(&self) -> Namer<'_> {
        Namer::new(&self.prefix, &self.stamps, &self.slot, self.clock.now())
    }

    /// How long to wait until every host has learned what these names rest on: a raised floor, or a range
    /// that was emptied. A host that has not read it by then does not trust the node any more.
    fn learning(&self, names: &InvalidationNames) -> Duration {
        match names.scopes.is_empty() {
            true => self.stamps.incomplete_for(self.clock.now()),
            false => LEARNED_WITHIN,
        }
    }

    /// Removes what became untrue from the node, under trust; returns how many names had something to remove.
    /// It is repeated while the range changes: a naming that this host learns of meanwhile may already be
    /// filled by others.
    pub(super) async fn remove_all(&self, targets: &[IntentTarget]) -> Result<u64, StoreError> {
        let (mut removed, mut sent) = (0, InvalidationNames::default());
        loop {
            let range = self.stamps.range();
            let names = self.namer().names(targets);
            removed += self.remove(&names.beyond(&sent)).await?;
            if Arc::ptr_eq(&range, &self.stamps.range()) {
                return Ok(removed);
            }
            sent = names;
        }
    }

    async fn remove(&self, names: &InvalidationNames) -> Result<u64, StoreError> {
        let mut removed = 0;
        if !names.doomed.is_empty() {
            let epoch = self.trust.grant().ok_or(StoreError::Distrusted)?.epoch;
            let marking = self.marking(epoch);
            let asked = self.trust.ask(|store| store.invalidate(&names.doomed, marking)).await;
            self.count_doomed(&names.doomed, asked.is_ok());
            removed = asked?.names;
        }
        if !names.scopes.is_empty() {
            self.trust.ask(|store| store.raise(&names.scopes)).await?;
        }
        let learning = self.learning(names);
        if !learning.is_zero() {
            sleep(learning).await;
        }
        Ok(removed)
    }

    /// Raises the floor of everything, or owes that if it can't be done now.
    pub(super) async fn raise_everything(&self) -> Invalidated {
        let names = InvalidationNames {
            scopes: vec![FloorScope::Everything],
            ..InvalidationNames::default()
        };
        match self.remove(&names).await {
            Ok(removed) => Invalidated::Done(removed),
            Err(error) => {
                self.debt.add_everything();
                self.trust.distrust(&format!("an invalidation is owed: {error}"));
                Invalidated::Pending
            }
        }
    }

    fn marking(&self, epoch: Epoch) -> Marking {
        let lasts = (self.stamps.range().longest_deadline() * 2).max(MARK_AT_LEAST);
        Marking { lasts, epoch }
    }

    fn count_doomed(&self, doomed: &[Doomed], is_done: bool) {
        let label = if is_done { "done" } else { "failed" };
        let tags = doomed.iter().filter(|doomed| matches!(doomed, Doomed::Tag(_))).count();
        for (kind, count) in [("key", doomed.len() - tags), ("tag", tags)] {
            if count > 0 {
                self.metrics.invalidations(kind, label, count as u64);
            }
        }
    }
}

/// The namings of these definitions under the policy in force and the one to come, each once. While a configuration is exchanged, two definitions with one
/// digest may differ in times, which are no part of names; the longer time counts.
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
