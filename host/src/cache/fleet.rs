//! What hosts tell each other through the store beside values: cards, notes, and a policy that is to come.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::store::{FleetCard, HostCard, PolicyId, RolloutPart, Store, StoreError};

use super::Cache;

/// The other hosts, as this one saw them last, and what it tells them of itself.
#[derive(Default)]
pub(super) struct Fellows(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    alive: Vec<HostCard>,
    at_ms: u64,
    listen: String,
    part: Option<RolloutPart>,
}

impl Fellows {
    /// These hosts were listed at this time of the store's clock.
    pub(super) fn seen(&self, alive: &[HostCard], at_ms: u64) {
        let mut seen = self.lock();
        (seen.alive, seen.at_ms) = (alive.to_vec(), at_ms);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// The id under which this host is listed.
    #[must_use]
    pub fn host_id(&self) -> &str {
        &self.host.id
    }

    /// From now on this host's card says where it listens.
    pub fn listens_at(&self, listen: &str) {
        listen.clone_into(&mut self.fleet.lock().listen);
    }

    /// From now on this host's card says what it has done in a rollout.
    pub fn takes_part(&self, part: Option<RolloutPart>) {
        self.fleet.lock().part = part;
    }

    /// Writes this host's card anew, and returns the cards of all hosts that are alive.
    ///
    /// # Errors
    /// If the store does not take the card.
    pub async fn enlist_now(&self) -> Result<Vec<HostCard>, StoreError> {
        let node = self.nodes.node_of(self.list_slot())?;
        node.trust.watch(|_| self.enlist(node.number)).await?;
        Ok(self.fleet.lock().alive.clone())
    }

    /// The hosts that were listed when this host looked last.
    #[must_use]
    pub fn hosts_seen(&self) -> usize {
        self.fleet.lock().alive.len()
    }

    /// The clock of the node that keeps the list of hosts, as this host estimates it.
    #[must_use]
    pub fn fleet_now_ms(&self) -> u64 {
        self.nodes.now_ms(self.list_slot())
    }

    /// A note of the fleet; `None` if there is none.
    ///
    /// # Errors
    /// The store's errors; [`StoreError::Distrusted`] while the node is not trusted.
    pub async fn fleet_note(&self, of: &str) -> Result<Option<Bytes>, StoreError> {
        let read = |store: Arc<dyn Store>| async move { store.note(of).await };
        self.nodes.watch(self.slot_of_note(of), read).await
    }

    /// Writes a note of the fleet.
    ///
    /// # Errors
    /// As [`Cache::fleet_note`].
    pub async fn write_fleet_note(
        &self,
        of: &str,
        note: &[u8],
        lasts: Duration,
    ) -> Result<(), StoreError> {
        let write = |store: Arc<dyn Store>| async move { store.write_note(of, note, lasts).await };
        self.nodes.watch(self.slot_of_note(of), write).await
    }

    /// Writes a note of the fleet in place of the one that was read; `false` if another stands there now.
    ///
    /// # Errors
    /// As [`Cache::fleet_note`].
    pub async fn replace_fleet_note(
        &self,
        of: &str,
        read: Option<&[u8]>,
        note: &[u8],
        lasts: Duration,
    ) -> Result<bool, StoreError> {
        let replace =
            |store: Arc<dyn Store>| async move { store.replace_note(of, read, note, lasts).await };
        self.nodes.watch(self.slot_of_note(of), replace).await
    }

    /// Publishes the namings of a policy that may come into force, beside those of the policy in force, for
    /// as long as the policy is expected.
    pub fn prepare_for(&self, coming: Option<PolicyId>) {
        self.stamps.prepare_for(coming);
        self.nodes.hurry();
    }

    /// Whether the namings of all definitions under this policy are published, and every host has had the
    /// time to learn them (race J).
    #[must_use]
    pub fn is_learned(&self, policy: PolicyId) -> bool {
        self.nodes.holds(self.list_slot()) && self.stamps.is_filled(policy, self.clock.now())
    }

    pub(super) fn fleet_card(&self) -> FleetCard {
        let seen_ms = self.fleet_now_ms();
        let seen = self.fleet.lock();
        let cards = seen.alive.iter().filter_map(|card| card.fleet.as_ref());
        let quietest = cards.map(|card| seen.at_ms.saturating_sub(card.seen_ms)).max();
        FleetCard {
            seen_ms,
            listen: seen.listen.clone(),
            digest: self.slot.peek().digest().to_owned(),
            trusts: self.nodes.hold(),
            sees: seen.alive.len(),
            quietest_ms: quietest.unwrap_or_default(),
            part: seen.part.clone(),
        }
    }
}
