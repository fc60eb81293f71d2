//! What a link notes of claims, fills and looks, and how they go wrong without a protection.

use std::collections::HashMap;

use corral_host::store::{Claim, Claimed, Envelope, Mode, Name, Over, Stamp, Token};

use super::Link;
use crate::sim::history::Event;
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

    /// The stamp of the moment at which a fill arrives, where the lease's is not kept.
    pub(super) fn restamped(&self, name: &Name, envelope: &Envelope, token: Token) -> Envelope {
        let naming: String = name.as_str().splitn(5, ':').take(4).collect();
        let newest = remember(&mut self.sabotage().stamps, naming, envelope.stamp);
        let mut envelope = envelope.clone();
        if self.lacks(Protection::StampIsTheClaims) {
            envelope.stamp = newest;
        }
        self.world.tokens().ended(token);
        envelope
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

/// The newest of the stamps of one naming.
fn remember(stamps: &mut HashMap<String, Stamp>, naming: String, stamp: Stamp) -> Stamp {
    let known = stamps.entry(naming).or_insert(stamp);
    std::mem::replace(known, stamp)
}
