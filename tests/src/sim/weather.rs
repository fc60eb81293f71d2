//! The weather: the disturbances in force, which keep messages from getting through.

use std::time::Duration;

/// How one way behaves: a host's link to the store, or the way of all hosts to the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Way {
    /// Messages pass, as the climate says.
    #[default]
    Open,
    /// Messages are refused at once.
    Refuses,
    /// No answer comes back; messages arrive late or never.
    Frozen,
    /// Every message takes so much longer.
    Slow(Duration),
}

/// The disturbances in force.
#[derive(Debug, Default)]
pub(super) struct Weather {
    /// The way to the store itself.
    pub(super) store: Way,
    /// Each host's link.
    pub(super) links: Vec<Way>,
    /// The way to the origin.
    pub(super) origin: Way,
}

impl Weather {
    pub(super) fn clear(hosts: usize) -> Self {
        Self { links: vec![Way::Open; hosts], ..Self::default() }
    }

    /// How a host's exchanges with the store behave.
    pub(super) fn link(&self, host: usize) -> Way {
        match self.store {
            Way::Open => self.links[host],
            disturbed @ (Way::Refuses | Way::Frozen | Way::Slow(_)) => disturbed,
        }
    }
}
