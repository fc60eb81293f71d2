//! Where a flight stands. Each state owns what belongs to it.

use std::collections::BTreeMap;

use super::super::lease::Lease;
use super::super::load::Loaded;
use super::super::nodes::Grants;
use crate::policy::run::guard::FlightStage;
use crate::store::{Envelope, Epoch, HashSlot, Stamp};

/// The epochs of the slots of a value's tags, as their index writes were answered; empty where one node has
/// all slots.
pub(super) type TagEpochs = BTreeMap<HashSlot, Epoch>;

/// A lease as it was granted, with what is known of the value's tags.
pub(super) struct LeaseGrant {
    /// The epoch of the value's slot.
    pub(super) epoch: Epoch,
    /// The node's clock.
    pub(super) at_ms: u64,
    pub(super) tagged: TagEpochs,
}

impl LeaseGrant {
    /// The stamp of a value under this word of floors.
    pub(super) fn stamped(self, word: u64) -> Stamped {
        let epoch = self.tagged.values().fold(self.epoch, |epoch, of_tag| epoch.with(*of_tag));
        Stamped { stamp: Stamp { epoch, word }, tag_slots: self.tagged.into_keys().collect() }
    }
}

/// What is trusted and in force when a load begins.
pub(super) struct BeforeLoad {
    pub(super) grants: Grants,
    /// The word of the floors.
    pub(super) word: u64,
}

/// A value's stamp, and the slots of its tags that the stamp's epoch rests on.
pub(super) struct Stamped {
    pub(super) stamp: Stamp,
    pub(super) tag_slots: Vec<HashSlot>,
}

/// Where a flight stands, with what it holds.
pub(super) enum FlightState {
    /// Nothing is known yet.
    Begun,
    /// The store was asked; holds what it had, if that is believed.
    Looked(Option<Envelope>),
    /// Another flight, on any host, holds the lease.
    Held,
    /// This flight holds the lease; with the epochs of the slots of the tags in whose indexes the name stands.
    Leased(Lease, TagEpochs),
    /// A value was loaded.
    Loaded(Loaded, FillRight),
    /// A load failed; holds the stale value that was looked up after the failure, if there is one.
    Failed(Option<Envelope>),
    /// A fill was tried; holds the loaded value, and its envelope if it was stored.
    Settled(Loaded, Option<Envelope>),
}

/// What may be done with a loaded value.
pub(super) enum FillRight {
    /// The value may be filled: under this lease, with the stamp that was in force when its load
    /// began.
    Fill(Lease, Stamped),
    /// The value was loaded under a lease and still can't be stored, because its tags or its stamp
    /// are not certain. The policy is not told, and a fill is answered as rejected.
    Spoiled,
    /// The value was loaded without a lease and may only be answered.
    Answer,
}

impl FlightState {
    /// The stage that the guard checks an action against.
    pub(super) fn stage(&self) -> FlightStage {
        match self {
            Self::Begun => FlightStage::Begun,
            Self::Looked(at_hand) => FlightStage::Looked { at_hand: at_hand.is_some() },
            Self::Held => FlightStage::Held,
            Self::Leased(..) => FlightStage::Leased,
            Self::Loaded(_, right) => {
                FlightStage::Loaded { under_lease: !matches!(right, FillRight::Answer) }
            }
            Self::Failed(at_hand) => FlightStage::Failed { at_hand: at_hand.is_some() },
            Self::Settled(..) => FlightStage::Settled,
        }
    }
}
