//! Stand-ins: stale values that are answered in place of a load, while the entity's loads fail or when a load
//! comes too late.

use super::super::answer::{Served, Via};
use super::{Action, Event, Failure, Flight, FlightStage, sighting};
use crate::policy::Cause;

impl Flight {
    /// While the entity's loads fail, the stale value that the policy would answer after another failure.
    /// `None` if there is no such value, if the policy wants none, or if loads are answered.
    pub(in super::super) async fn stand_in(&mut self, action: Action) -> Option<Served> {
        let cause = self.cache.breaker.open_for(&self.read.entity().name);
        let cause = cause.filter(|_| !self.wants_fresh)?;
        self.after_failure(action, cause).await
    }

    /// For a reader that can't wait any longer for a flight: what the store has meanwhile, or the stale value
    /// that the policy would answer if a load came too late.
    pub(in super::super) async fn instead_of_a_late_one(&mut self) -> Option<Served> {
        let action = self.first_look().await;
        match action {
            Action::Answer | Action::AnswerAndRefresh => self.answer().ok(),
            Action::Look
            | Action::Claim(_)
            | Action::Wait(_)
            | Action::Load
            | Action::LoadUncached
            | Action::Fill(_)
            | Action::Fail => self.after_failure(action, Cause::Timeout).await,
        }
    }

    /// Tells the policy what would happen, a granted lease and a failed load, and returns the stale value if
    /// the policy answers it.
    async fn after_failure(&mut self, action: Action, cause: Cause) -> Option<Served> {
        let is_claim = matches!(action, Action::Claim(_) | Action::LoadUncached);
        if !is_claim || self.read.entity().stale_if_error.is_zero() {
            return None;
        }
        let at_hand = self.at_hand().await?;
        let memo = self.memo;
        if matches!(action, Action::Claim(_)) {
            self.decide_at(FlightStage::Leased, Event::LeaseGranted);
        }
        let now_ms = self.now_ms();
        let failure = Failure { cause, at_hand: Some(sighting(&at_hand, now_ms)) };
        let stage = FlightStage::Failed { at_hand: true };
        if self.decide_at(stage, Event::LoadFailed(failure)) == Action::Answer {
            return Some(Served::stored(at_hand, now_ms, Via::StaleIfError, &self.generation));
        }
        self.memo = memo;
        // The trail ends here: its last turns tell of a load that did not take place, and the flight goes on
        // from the memo before them.
        self.trail = None;
        None
    }
}
