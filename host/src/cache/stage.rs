//! Where a flight stands, with what it has in its hands.

use crate::policy::guard;
use crate::store::Envelope;

use super::load::Loaded;

/// A stage of the [guard](guard::Stage)'s, with what belongs to it.
#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing is known.
    Begun,
    /// The store was asked; perhaps it had something.
    Looked(Option<Envelope>),
    /// Somebody else holds the lease.
    Held,
    /// The lease is ours.
    Leased,
    /// A value was loaded.
    Loaded { loaded: Loaded, under_lease: bool },
    /// A load failed; an envelope, looked up after the failure, is at hand perhaps.
    Failed(Option<Envelope>),
    /// A fill was tried, so there is a value to answer.
    Settled { loaded: Loaded, stored: Option<Envelope> },
}

impl Stage {
    /// As the guard sees it.
    pub(super) fn outline(&self) -> guard::Stage {
        match self {
            Self::Begun => guard::Stage::Begun,
            Self::Looked(at_hand) => guard::Stage::Looked { at_hand: at_hand.is_some() },
            Self::Held => guard::Stage::Held,
            Self::Leased => guard::Stage::Leased,
            Self::Loaded { under_lease, .. } => guard::Stage::Loaded { under_lease: *under_lease },
            Self::Failed(at_hand) => guard::Stage::Failed { at_hand: at_hand.is_some() },
            Self::Settled { .. } => guard::Stage::Settled,
        }
    }
}
