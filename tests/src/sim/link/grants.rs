//! What a link notes of claims, fills and looks, and how they go wrong without a protection.

use corral_host::store::{Claim, Claimed, Envelope, Mode, Name, Over, Scope, Stamp, Token};

use super::Link;
use crate::sim::history::Event;
use crate::sim::nodes::Node;
use crate::sim::protection::Protection;

impl Link {
    /// A lease for a refresh that the store never hears of.
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

    /// What a grant says of those who had the lease before.
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

    /// Before the load failed, somebody may have looked already.
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

/// What stood under a name before a claim was carried out.
pub(super) struct Before {
    pub(super) newer: Option<u64>,
    pub(super) tenant: bool,
    pub(super) lapsed: Option<Token>,
    /// Who has the lease was told that it is given back.
    pub(super) is_given_back: bool,
}

/// The stamp that a load has which begins at this moment at a node, if its floors are those of a stamp.
pub(super) fn restamped(node: &Node, stamp: Stamp) -> Stamp {
    let floors = &node.shelf.register.read(0).floors;
    let everything = floors.get(&Scope::Everything).copied().unwrap_or_default();
    let of_scopes = floors.values().map(|floor| [everything, *floor]);
    let same = |floors: &[u64; 2]| Stamp::new(stamp.epoch, *floors) == stamp;
    of_scopes.into_iter().find(same).map_or(stamp, |floors| Stamp::new(node.epoch, floors))
}
