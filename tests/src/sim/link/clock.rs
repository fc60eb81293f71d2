//! A host's estimate of its node's clock, as a real link keeps it.

use std::sync::{Mutex, PoisonError};

/// If a node's clock goes back by more than this, the estimate follows, since the clock was set.
const STEP_MS: u64 = 1_000;

/// The estimate.
#[derive(Debug, Default)]
pub(super) struct Estimate(Mutex<State>);

#[derive(Debug, Default, Clone, Copy)]
struct State {
    /// The node's clock minus the schedule's, at its last answer.
    offset_ms: i64,
    latest_ms: u64,
}

impl Estimate {
    /// Notes the clock in a node's answer.
    pub(super) fn observe(&self, offset_ms: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).offset_ms = offset_ms;
    }

    /// The estimate does not move for a small step back and follows a large one. If `forward_only`,
    /// it does not follow either.
    pub(super) fn now_ms(&self, schedule_ms: u64, forward_only: bool) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let estimate_ms = schedule_ms.saturating_add_signed(state.offset_ms);
        let ahead_ms = state.latest_ms.saturating_sub(estimate_ms);
        if ahead_ms == 0 || (ahead_ms > STEP_MS && !forward_only) {
            state.latest_ms = estimate_ms;
        }
        state.latest_ms
    }
}
