//! The disturbances in force: what keeps a message from getting through.

use std::time::Duration;

/// How one way (a host's link to the store, or everybody's way to the origin) behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Way {
    /// As the climate says.
    #[default]
    Open,
    /// Refused at once.
    Refuses,
    /// Nothing comes back; what was sent arrives late or never.
    Frozen,
    /// Every message takes so much longer.
    Slow(Duration),
}

/// The disturbances in force.
#[derive(Debug, Default)]
pub(super) struct Weather {
    /// Of the store itself.
    pub(super) store: Way,
    /// Of each host's link, by host.
    pub(super) links: Vec<Way>,
    /// Of the origin.
    pub(super) origin: Way,
}

impl Weather {
    pub(super) fn clear(hosts: usize) -> Self {
        Self { links: vec![Way::Open; hosts], ..Self::default() }
    }

    /// What a host's exchange with the store meets.
    pub(super) fn link(&self, host: usize) -> Way {
        match self.store {
            Way::Open => self.links[host],
            disturbed @ (Way::Refuses | Way::Frozen | Way::Slow(_)) => disturbed,
        }
    }
}
