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
    epoch: AtomicU64,
}

impl Granted {
    /// Gives trust, or takes it away; to be called by one task at a time. Returns whether there was any before,
    /// even if it has run out. Trust that is renewed over the same link holds without a gap, however long this
    /// task is kept from running.
    pub(super) fn set(&self, grant: Option<Grant>) -> bool {
        let known = (self.link.load(Ordering::Acquire), self.epoch.load(Ordering::Acquire));
        let is_renewed = grant.is_some_and(|grant| (grant.link.0, grant.epoch.0) == known);
        if !is_renewed {
            // While link, epoch and time may belong to two grants, no trust holds.
            self.until.store(0, Ordering::Release);
        }
        if let Some(grant) = grant {
            self.link.store(grant.link.0, Ordering::Release);
            self.epoch.store(grant.epoch.0, Ordering::Release);
        }
        let before = self.grant.swap(grant.map(Arc::new));
        self.until.store(grant.map_or(0, |grant| nanos(grant.until)), Ordering::Release);
        before.is_some()
    }

    /// Whether anything is trusted now.
    pub(super) fn holds(&self, now: Duration) -> bool {
        nanos(now) < self.until.load(Ordering::Acquire)
    }

    /// The epoch under which an answer over this link counts now; `None` if it does not count.
    pub(super) fn counts(&self, link: LinkId, now: Duration) -> Option<Epoch> {
        loop {
            let until = self.until.load(Ordering::Acquire);
            let is_over_it = self.link.load(Ordering::Acquire) == link.0;
            let epoch = Epoch(self.epoch.load(Ordering::Acquire));
            // If the time is the same before and after, link and epoch belong to the same grant.
            if self.until.load(Ordering::Acquire) == until {
                return (is_over_it && nanos(now) < until).then_some(epoch);
            }
        }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    const NOW: Duration = Duration::from_secs(1);
    /// How often trust is renewed, and looked at, at least.
    const TIMES: u64 = 200_000;

    fn grant(link: u64, until: Duration) -> Option<Grant> {
        Some(Grant { link: LinkId(link), epoch: Epoch(1), beat_ms: 0, until })
    }

    /// Whether `is_seen` is false once while another thread sets each grant in turn.
    fn is_missed(
        granted: &Granted,
        grants: impl Fn(u64) -> Option<Grant> + Sync,
        is_seen: impl Fn() -> bool,
    ) -> bool {
        let (renewed, ended) = (AtomicU64::new(0), AtomicBool::new(false));
        granted.set(grants(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let renewal = renewed.fetch_add(1, Ordering::Relaxed) + 1;
                    granted.set(grants(renewal));
                }
            });
            let mut looks = 0;
            let mut seen = true;
            while seen && (looks < TIMES || renewed.load(Ordering::Relaxed) < TIMES) {
                looks += 1;
                seen = is_seen();
            }
            ended.store(true, Ordering::Relaxed);
            !seen
        })
    }

    #[test]
    fn trust_that_is_renewed_has_no_gap() {
        let granted = Granted::default();
        let later = |renewal| NOW + Duration::from_millis(1 + renewal);
        let counts = || granted.counts(LinkId(1), NOW).is_some() && granted.holds(NOW);
        assert!(!is_missed(&granted, |renewal| grant(1, later(renewal)), counts));
        // The control: trust that moves to another link has gaps.
        assert!(is_missed(&granted, |renewal| grant(renewal % 2, later(renewal)), counts));
    }

    #[test]
    fn a_link_never_counts_by_the_time_of_another() {
        let granted = Granted::default();
        // The trust of link 1 has run out, that of link 2 has not.
        let until = |link| if link == 1 { NOW } else { NOW + Duration::from_millis(1) };
        let alternate = |renewal: u64| {
            let link = 1 + renewal % 2;
            grant(link, until(link))
        };
        assert!(!is_missed(&granted, alternate, || granted.counts(LinkId(1), NOW).is_none()));
        assert!(is_missed(&granted, alternate, || granted.counts(LinkId(2), NOW).is_none()));
    }
}
