//! The stale value that stands in for a load: while loads of the entity fail, and when a load comes too late.

use super::super::answer::{Served, Via};
use super::{Action, Event, Failure, Flight, Stage, sighting};
use crate::policy::Cause;

impl Flight {
    /// While loads of its entity fail, the stale value that the policy would answer after another failure, at
    /// once; `None`: there is none, or the policy wants none.
    pub(in super::super) async fn stand_in(&mut self, action: Action) -> Option<Served> {
        let cause = self.cache.breaker.open_for(&self.read.entity().name);
        let cause = cause.filter(|_| !self.wants_fresh)?;
        self.after_failure(action, cause).await
    }

    /// For a reader who can't wait for the flight of others any longer: what the store has meanwhile, or the stale
    /// value that the policy would answer if its own load came too late.
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

    /// The policy is told what would happen: a lease, and a load that fails.
    async fn after_failure(&mut self, action: Action, cause: Cause) -> Option<Served> {
        let is_claim = matches!(action, Action::Claim(_) | Action::LoadUncached);
        if !is_claim || self.read.entity().stale_if_error.is_zero() {
            return None;
        }
        let at_hand = self.at_hand().await?;
        let memo = self.memo;
        if matches!(action, Action::Claim(_)) {
            self.decide_at(Stage::Leased, Event::LeaseGranted);
        }
        let now_ms = self.cache.now_ms();
        let failure = Failure { cause, at_hand: Some(sighting(&at_hand, now_ms)) };
        let stage = Stage::Failed { at_hand: true };
        if self.decide_at(stage, Event::LoadFailed(failure)) == Action::Answer {
            return Some(Served::stored(at_hand, now_ms, Via::StaleIfError, &self.generation));
        }
        self.memo = memo;
        // The policy beside this one was told of a load that has not taken place.
        self.trail = None;
        None
    }
}
