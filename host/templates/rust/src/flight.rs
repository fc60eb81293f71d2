//! One read's way through the stampede, as a state machine: where the flight is (`memo.phase`) and
//! what happened (`event`) give the next phase and the action to take.
//!
//! A fill needs a load under a lease, a load needs a granted lease, and whoever does not get one
//! waits for its holder. What can't have happened asks the origin and stores nothing.

use crate::bindings::exports::corral::policy::types::{
    Action, Event, Memo, Moment, Report, Sighting, Turn,
};
use crate::lifetime::lifetime;
use crate::settings::{Settings, Terms};

/// How often a claim may find a value that is of no use before the flight goes around the store.
const USELESS_CLAIMS_MAX: u32 = 3;

const LOOKING: u32 = 0;
const CLAIMING: u32 = 1;
const WAITING: u32 = 2;
const LOADING: u32 = 3;
const FILLING: u32 = 4;
const LOADING_UNCACHED: u32 = 5;
const REFRESHING: u32 = 6;
const REFRESH_CLAIMING: u32 = 7;
const REFRESH_LOADING: u32 = 8;
const REFRESH_FILLING: u32 = 9;
const DONE: u32 = 10;

pub fn begin(spare: u32) -> Memo {
    Memo {
        phase: LOOKING,
        attempts: 0,
        since_ms: 0,
        spare,
    }
}

pub fn step(settings: &Settings, memo: Memo, moment: Moment, event: Event) -> Turn {
    let Some(terms) = settings.terms(memo.spare) else {
        return astray(memo, event);
    };
    let flight = Flight {
        settings,
        terms: &terms,
        memo,
        moment,
    };
    flight.on(event).unwrap_or_else(|| astray(memo, event))
}

struct Flight<'a> {
    settings: &'a Settings,
    terms: &'a Terms,
    memo: Memo,
    moment: Moment,
}

impl Flight<'_> {
    fn on(&self, event: Event) -> Option<Turn> {
        use Event as E;
        Some(match (self.memo.phase, event) {
            (LOOKING, E::Absent | E::Bypassed) | (WAITING, E::Waited) => self.claim(CLAIMING),
            (LOOKING, E::Found(seen)) => self.usable(seen).unwrap_or_else(|| self.claim(CLAIMING)),
            (LOOKING | CLAIMING, E::StoreUnavailable) => self.load_uncached(),
            (CLAIMING, E::LeaseGranted) => to(self.memo, LOADING, Action::Load),
            (CLAIMING, E::LeaseHeld(held_ms)) => self.wait(held_ms),
            (CLAIMING, E::Found(seen)) => self.usable(seen).unwrap_or_else(|| self.claim_again()),
            (LOADING, E::Loaded(report)) => self.fill(FILLING, report),
            (LOADING | LOADING_UNCACHED, E::LoadFailed(failure)) => self.settle(failure.at_hand),
            (LOADING_UNCACHED, E::Loaded(_)) => to(self.memo, DONE, Action::Answer),
            (FILLING | REFRESH_FILLING, E::Filled | E::FillRejected | E::StoreUnavailable) => {
                to(self.memo, DONE, Action::Answer)
            }

            // A refresh in the background waits for nobody: who holds the lease does what it is for.
            (REFRESHING, E::Found(_) | E::Absent) => self.claim(REFRESH_CLAIMING),
            (REFRESH_CLAIMING, E::LeaseGranted) => to(self.memo, REFRESH_LOADING, Action::Load),
            (REFRESHING | REFRESH_CLAIMING, E::StoreUnavailable)
            | (REFRESH_CLAIMING, E::LeaseHeld(_) | E::Found(_)) => {
                to(self.memo, DONE, Action::Answer)
            }
            (REFRESH_LOADING, E::Loaded(report)) => self.fill(REFRESH_FILLING, report),
            (REFRESH_LOADING, E::LoadFailed(_)) => to(self.memo, DONE, Action::Fail),
            _ => return None,
        })
    }

    fn claim(&self, phase: u32) -> Turn {
        to(self.memo, phase, Action::Claim(self.settings.lease_ms))
    }

    fn claim_again(&self) -> Turn {
        let attempts = self.memo.attempts.saturating_add(1);
        if attempts >= USELESS_CLAIMS_MAX {
            return self.load_uncached();
        }
        Flight {
            memo: Memo {
                attempts,
                ..self.memo
            },
            ..*self
        }
        .claim(CLAIMING)
    }

    fn load_uncached(&self) -> Turn {
        to(self.memo, LOADING_UNCACHED, Action::LoadUncached)
    }

    fn fill(&self, phase: u32, report: Report) -> Turn {
        let lifetime = lifetime(self.settings, self.terms, report, self.moment.entropy);
        to(self.memo, phase, Action::Fill(lifetime))
    }

    /// The end of the flight, if what was seen may be answered.
    fn usable(&self, seen: Sighting) -> Option<Turn> {
        let fresh = seen.fresh_ms > 0;
        let due = seen.refresh_ms == 0 && self.settings.early_refresh > 0.0;
        if fresh && !due {
            return Some(to(self.memo, DONE, Action::Answer));
        }
        let memo = Memo {
            attempts: 0,
            ..self.memo
        };
        (fresh || stale_within(seen, self.terms.stale_while_revalidate_ms))
            .then(|| to(memo, REFRESHING, Action::AnswerAndRefresh))
    }

    /// As long as the lease may last: while its holder renews it, waiting is right.
    fn wait(&self, held_ms: u32) -> Turn {
        let wait_ms = held_ms.max(1).min(self.moment.left_ms);
        if wait_ms == 0 {
            return self.load_uncached();
        }
        to(self.memo, WAITING, Action::Wait(wait_ms))
    }

    /// The load failed: what is at hand will do if it is fresh, or stale as far as allowed.
    fn settle(&self, at_hand: Option<Sighting>) -> Turn {
        let will_do =
            |seen: Sighting| seen.fresh_ms > 0 || stale_within(seen, self.terms.stale_if_error_ms);
        let action = if at_hand.is_some_and(will_do) {
            Action::Answer
        } else {
            Action::Fail
        };
        to(self.memo, DONE, action)
    }
}

/// That a row did not exist a while ago is no answer.
fn stale_within(seen: Sighting, window_ms: u32) -> bool {
    seen.fresh_ms == 0 && seen.past_ms < window_ms && !seen.negative
}

fn astray(memo: Memo, event: Event) -> Turn {
    match event {
        Event::Loaded(_) | Event::Filled | Event::FillRejected => to(memo, DONE, Action::Answer),
        Event::LoadFailed(_) => to(memo, DONE, Action::Fail),
        _ => to(memo, LOADING_UNCACHED, Action::LoadUncached),
    }
}

fn to(memo: Memo, phase: u32, action: Action) -> Turn {
    Turn {
        memo: Memo { phase, ..memo },
        action,
    }
}
