//! What a link notes about claims, fills and looks, and how they go wrong without a protection.

use corral_host::store::{Claim, Claimed, Envelope, LeaseToken, Mode, Name, Over, Stamp};

use super::Link;
use crate::sim::history::Event;
use crate::sim::nodes::Node;
use crate::sim::protection::Protection;

impl Link {
    /// Grants a lease for a refresh without asking the store.
    pub(super) fn grant_unheard(&self, claim: Claim<'_>) -> Option<Over<Claimed>> {
        if !self.lacks(Protection::RefreshTakesLease) {
            return None;
        }
        let end = self.open().end;
        let (now_ms, has_value) =
            self.world.at_node(end.node, Some(end.life), |node, now_ms| {
                (now_ms, node.shelf.get(claim.name, now_ms).is_some())
            })?;
        if claim.mode != Mode::IfFree || claim.seen_ms == 0 || !has_value {
            return None;
        }
        self.sabotage().privileged.insert(claim.token);
        Some(Over { link: self.open().id, answer: Claimed::Granted { now_ms } })
    }

    /// Notes what is wrong with a grant, given the leases and the value before it.
    pub(super) fn note_grant(&self, claim: Claim<'_>, before: &Before) {
        let (host, key) = (self.host, claim.name.to_string());
        if before.newer.is_some_and(|loaded_ms| loaded_ms > claim.seen_ms) {
            self.world.note(Event::ClaimedInVain { host, key: key.clone() });
        }
        if before.tenant {
            self.world.note(Event::LeasedTwice { host, key: key.clone() });
        }
        let keeps = self.world.climate.keeps_leases();
        if keeps && before.lapsed.is_some_and(|token| self.world.tokens().is_held(token)) {
            self.world.note(Event::LeaseLapsed { host, key });
        }
    }

    /// Without the protection, a look after a failed load returns what the first look saw.
    pub(super) fn first_look(&self, name: &Name, found: Option<Envelope>) -> Option<Envelope> {
        if !self.lacks(Protection::LooksAgainAfterFailure) {
            return found;
        }
        let mut sabotage = self.sabotage();
        let after_failure = self.world.take_failure(self.host);
        if after_failure && let Some(seen) = sabotage.seen.get(name) {
            return Some(seen.clone());
        }
        if let Some(found) = &found {
            sabotage.seen.insert(name.clone(), found.clone());
        }
        found
    }
}

/// What was stored under a name before a claim was carried out.
pub(super) struct Before {
    pub(super) newer: Option<u64>,
    pub(super) tenant: bool,
    pub(super) lapsed: Option<LeaseToken>,
    /// Whether the holder of the lease was told that it is given back.
    pub(super) is_given_back: bool,
}

/// The stamp of a load that begins at this moment at a node, under the floors of `stamp`.
pub(super) fn restamped(node: &Node, stamp: Stamp) -> Stamp {
    Stamp { epoch: node.epoch, ..stamp }
}
