//! The trust that was given, until it runs out. A hit checks it with three atomic loads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::store::{Epoch, LinkId};

/// Trust in a node, as a good beat gave it.
#[derive(Debug, Clone, Copy)]
pub(in crate::cache) struct Grant {
    pub(in crate::cache) link: LinkId,
    pub(in crate::cache) epoch: Epoch,
    /// The node's clock in the beat, in ms since the Unix epoch.
    pub(in crate::cache) beat_ms: u64,
    /// When trust ends, by the host's clock.
    pub(in crate::cache) until: Duration,
}

/// The last grant, if it was not withdrawn.
#[derive(Default)]
pub(super) struct Granted {
    grant: ArcSwapOption<Grant>,
    /// When the grant ends, by the host's clock, in ns; 0 if there is no grant.
    until: AtomicU64,
    link: AtomicU64,
}

impl Granted {
    /// Gives trust, or takes it away; to be called by one task at a time.
    pub(super) fn set(&self, grant: Option<Grant>) {
        // While link and time may belong to two grants, no trust holds.
        self.until.store(0, Ordering::Release);
        if let Some(grant) = grant {
            self.link.store(grant.link.0, Ordering::Release);
        }
        self.grant.store(grant.map(Arc::new));
        self.until.store(grant.map_or(0, |grant| nanos(grant.until)), Ordering::Release);
    }

    /// Whether anything is trusted now.
    pub(super) fn holds(&self, now: Duration) -> bool {
        nanos(now) < self.until.load(Ordering::Acquire)
    }

    /// Whether an answer over this link counts now.
    pub(super) fn counts(&self, link: LinkId, now: Duration) -> bool {
        let until = self.until.load(Ordering::Acquire);
        let is_over_it = self.link.load(Ordering::Acquire) == link.0;
        // If the time is the same before and after, the link belongs to the same grant.
        let is_of_one = self.until.load(Ordering::Acquire) == until;
        is_over_it && is_of_one && nanos(now) < until
    }

    /// The grant, if trust holds now.
    pub(super) fn get(&self, now: Duration) -> Option<Grant> {
        let grant = **self.grant.load().as_ref()?;
        (now < grant.until).then_some(grant)
    }
}

/// The time in nanoseconds; `u64` has room for centuries of a host's uptime.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
