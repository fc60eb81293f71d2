//! The plain flight: claim, wait for whoever was first, load, fill, answer.

use crate::settings::Settings;
use crate::{Action, Event, Lifetime, Memo, Moment, Report, Sighting, Turn};

const LEASE_MS: u32 = 1_000;

/// Claims that bring a value of no use before the flight goes around the store.
const USELESS_CLAIMS: u32 = 3;

/// Where a flight is, as [`Memo::phase`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was loaded.
    Looking,
    /// A load under the lease is on its way.
    Loading,
    /// A load without one.
    LoadingUncached,
    /// What was loaded is being stored.
    Filling,
}

impl Settings {
    /// The plain transition.
    pub fn step(&self, memo: Memo, moment: Moment, event: Event) -> Turn {
        let to = |phase: Phase, action| Turn { memo: Memo { phase: phase as u32, ..memo }, action };
        let at = |phase: Phase| memo.phase == phase as u32;
        match event {
            Event::Found(seen) if seen.fresh_ms > 0 => to(Phase::Looking, Action::Answer),
            Event::Found(_) if memo.attempts >= USELESS_CLAIMS => {
                to(Phase::LoadingUncached, Action::LoadUncached)
            }
            Event::Found(_) => {
                let memo = Memo { attempts: memo.attempts + 1, ..memo };
                Turn { memo, action: Action::Claim(LEASE_MS) }
            }
            Event::Absent | Event::Bypassed | Event::Waited => {
                to(Phase::Looking, Action::Claim(LEASE_MS))
            }
            Event::LeaseHeld(held_ms) if moment.left_ms > 0 => {
                to(Phase::Looking, Action::Wait(held_ms.clamp(1, moment.left_ms)))
            }
            Event::LeaseHeld(_) => to(Phase::LoadingUncached, Action::LoadUncached),
            Event::LeaseGranted => to(Phase::Loading, Action::Load),
            Event::Loaded(report) if at(Phase::Loading) => {
                to(Phase::Filling, Action::Fill(self.lifetime(memo, moment, report)))
            }
            Event::Loaded(_) | Event::Filled | Event::FillRejected => {
                to(Phase::Looking, Action::Answer)
            }
            Event::StoreUnavailable if at(Phase::Filling) => to(Phase::Looking, Action::Answer),
            Event::StoreUnavailable => to(Phase::LoadingUncached, Action::LoadUncached),
            Event::LoadFailed(failure) => {
                let will_do = failure.at_hand.is_some_and(|seen| self.tolerates(memo, seen));
                to(Phase::Looking, if will_do { Action::Answer } else { Action::Fail })
            }
        }
    }

    fn tolerates(&self, memo: Memo, seen: Sighting) -> bool {
        let stale_if_error_ms = self.terms(memo).2;
        seen.fresh_ms > 0 || !seen.negative && seen.past_ms < stale_if_error_ms
    }

    fn lifetime(&self, memo: Memo, moment: Moment, report: Report) -> Lifetime {
        let (ttl_ms, negative_ttl_ms, stale_if_error_ms) = self.terms(memo);
        if report.negative {
            return lifetime(negative_ttl_ms, 0, moment.entropy);
        }
        lifetime(ttl_ms, stale_if_error_ms, moment.entropy)
    }

    /// Lifetime, negative lifetime, and how long a stale value may stand in for a failed load.
    fn terms(&self, memo: Memo) -> (u32, u32, u32) {
        let index = usize::try_from(memo.spare).unwrap_or(usize::MAX);
        self.entities.get(index).map_or((self.query_ttl_ms, self.query_ttl_ms, 0), |entity| {
            (entity.ttl_ms, entity.negative_ttl_ms, entity.stale_if_error_ms)
        })
    }
}

/// `base_ms` ± 20 %, never refreshed early.
pub fn lifetime(base_ms: u32, stale_ms: u32, entropy: u64) -> Lifetime {
    let reach = u64::from(base_ms / 5) * 2 + 1;
    let offset = u32::try_from(entropy % reach).unwrap_or(0);
    let fresh_ms = (base_ms - base_ms / 5).saturating_add(offset).max(1);
    Lifetime { fresh_ms, stale_ms, refresh_ms: fresh_ms }
}
