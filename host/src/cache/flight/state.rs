//! Where a flight stands. Each state owns what belongs to it.

use super::super::lease::Lease;
use super::super::load::Loaded;
use crate::policy::run::guard::Stage;
use crate::store::{Envelope, Stamp};

/// Where a flight stands, with what it has in its hands.
pub(super) enum State {
    /// Nothing is known.
    Begun,
    /// The store was asked; perhaps it had something that is believed.
    Looked(Option<Envelope>),
    /// Somebody else holds the lease.
    Held,
    /// The lease is ours.
    Leased(Lease),
    /// A value was loaded.
    Loaded(Loaded, Right),
    /// A load failed; an envelope, looked up after the failure, is at hand perhaps.
    Failed(Option<Envelope>),
    /// A fill was tried, so there is a value to answer.
    Settled(Loaded, Option<Envelope>),
}

/// What may be done with a loaded value.
pub(super) enum Right {
    /// It may be filled: under this lease, with what was in force when its load began.
    Fill(Lease, Stamp),
    /// It was loaded under a lease, and can't be stored all the same: its tags or its stamp can't be relied
    /// upon. The policy does not know of it, and a fill is rejected.
    Spoiled,
    /// It was loaded without a lease.
    Answer,
}

impl State {
    /// As the guard sees it.
    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Begun => Stage::Begun,
            Self::Looked(at_hand) => Stage::Looked { at_hand: at_hand.is_some() },
            Self::Held => Stage::Held,
            Self::Leased(_) => Stage::Leased,
            Self::Loaded(_, right) => {
                Stage::Loaded { under_lease: !matches!(right, Right::Answer) }
            }
            Self::Failed(at_hand) => Stage::Failed { at_hand: at_hand.is_some() },
            Self::Settled(..) => Stage::Settled,
        }
    }
}
