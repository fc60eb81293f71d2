//! Where a flight stands. Each state owns what belongs to it.

use super::super::lease::Lease;
use super::super::load::Loaded;
use crate::policy::run::guard::FlightStage;
use crate::store::{Envelope, Stamp};

/// Where a flight stands, with what it holds.
pub(super) enum FlightState {
    /// Nothing is known yet.
    Begun,
    /// The store was asked; holds what it had, if that is believed.
    Looked(Option<Envelope>),
    /// Another flight, on any host, holds the lease.
    Held,
    /// This flight holds the lease.
    Leased(Lease),
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
    Fill(Lease, Stamp),
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
            Self::Leased(_) => FlightStage::Leased,
            Self::Loaded(_, right) => {
                FlightStage::Loaded { under_lease: !matches!(right, FillRight::Answer) }
            }
            Self::Failed(at_hand) => FlightStage::Failed { at_hand: at_hand.is_some() },
            Self::Settled(..) => FlightStage::Settled,
        }
    }
}
