//! The list of hosts that are alive, in the store.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Cache;
use super::nodes::NodeNumber;
use super::stamps::LEARNED_WITHIN;
use crate::store::{HashSlot, HostCard, Layout, StoreError};

/// Since when this host has been on the list of hosts without a break, by its own clock; `None` if it may not
/// be on the list.
#[derive(Debug, Default)]
pub(super) struct Listed(Mutex<Option<Duration>>);

impl Listed {
    /// The list was emptied.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    /// The host is listed now; since when without a break.
    fn since(&self, was_listed: bool, now: Duration) -> Duration {
        let mut listed = self.lock();
        let since = listed.filter(|_| was_listed).unwrap_or(now);
        *listed = Some(since);
        since
    }

    pub(super) fn is_known(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// Puts this host on the list; whether it is alone, so that no other host can know less than the store
    /// says. A list that may have been emptied is believed once every host has had the time to return to it.
    ///
    /// The list counts only if `beating`, whose beat was good just now, keeps it. Other nodes are of use without
    /// the one that does.
    pub(super) async fn enlist(&self, beating: NodeNumber) -> Result<bool, StoreError> {
        let asked = async {
            let node = self.nodes.node_of(self.list_slot())?;
            Ok((node.number, node.trust.store().enlist(&self.card()).await?))
        };
        let (keeper, listing) = match asked.await {
            Ok(listed) => listed,
            Err(_) if self.nodes.layout() == Layout::Slots => return Ok(false),
            Err(error) => return Err(error),
        };
        self.note_hosts(&listing.alive);
        self.fleet.seen(&listing.alive, self.nodes.now_ms(self.list_slot()));
        let since = self.listed.since(listing.was_listed, self.clock.now());
        let is_alone = listing.is_alone && self.clock.now() >= since + LEARNED_WITHIN;
        Ok(is_alone && keeper == beating)
    }

    /// The slot of the list of hosts.
    pub(super) fn list_slot(&self) -> HashSlot {
        HashSlot::of(&format!("{}hosts", self.prefix.as_str()))
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

    /// Takes this host off the list of those that are alive.
    pub async fn leave(&self) {
        if let Ok(node) = self.nodes.node_of(self.list_slot()) {
            // A host that is not taken off the list is forgotten after half a minute.
            let _ = node.trust.store().delist(&self.host.id).await;
        }
    }
}
