//! A read: the first look, and where that is not enough the flight that everybody shares.

use std::sync::Arc;

use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

use crate::config::Entity;
use crate::observe::LoadReason;
use crate::policy::{Action, Generation, Named};

use super::answer::{Answer, ReadError, Served, Why};
use super::flights::{Boarding, Next};
use super::round::Round;
use super::{Cache, Canonical, Read};

impl Cache {
    /// Answers a read, by its entity's deadline.
    ///
    /// # Errors
    /// [`ReadError`] when there is neither a value nor a stale one that may be served.
    pub async fn read(self: &Arc<Self>, read: Read) -> Result<Answer, ReadError> {
        if !read.bypass
            && let Some(answer) = self.read_near(&read.entity, &read.values).await
        {
            return Ok(answer);
        }
        self.read_beyond_near(read).await
    }

    /// The first half of [`Cache::read`]: the answer of the near cache, if it has one. It asks
    /// neither the policy nor the store. The values stand in the order of the entity's parameters.
    pub async fn read_near<V: Canonical>(&self, entity: &Entity, values: &[V]) -> Option<Answer> {
        if entity.near.is_zero() {
            return None;
        }
        let began = Instant::now();
        // A hit in memory is ready at once: without this, a loop of reads would let no other task run.
        consume_budget().await;
        let answer = self.near.look(&entity.name, values, &self.slot.peek(), began)?;
        self.metrics.entity(&entity.name).read(answer.via.outcome(), began.elapsed());
        Some(answer)
    }

    /// The second half of [`Cache::read`].
    ///
    /// # Errors
    /// As [`Cache::read`].
    pub async fn read_beyond_near(self: &Arc<Self>, read: Read) -> Result<Answer, ReadError> {
        let began = Instant::now();
        // As in `read_near`: the store may be in memory too.
        consume_budget().await;
        let read = Arc::new(read);
        let answer = self.answer(&read, began).await;
        let outcome =
            answer.as_ref().map_or(crate::observe::ReadOutcome::Error, |a| a.via.outcome());
        self.metrics.entity(&read.entity.name).read(outcome, began.elapsed());
        answer
    }

    async fn answer(
        self: &Arc<Self>,
        read: &Arc<Read>,
        began: Instant,
    ) -> Result<Answer, ReadError> {
        let generation = self.slot.current();
        let plan = match read.plan(&generation) {
            Ok(Ok(plan)) => plan,
            Ok(Err(refusal)) => {
                // Entity and arguments are as declared, or there would be no read: it is wrong.
                tracing::debug!(?refusal, "a read without a key");
                generation.refused(&format_args!("a read that is declared: {refusal:?}"));
                return self.without_plan(read, generation, began).await;
            }
            Err(undecided) => {
                tracing::debug!(%undecided, "a read without a key");
                return self.without_plan(read, generation, began).await;
            }
        };
        let mut round =
            Round::new(Arc::clone(self), Arc::clone(read), generation, Arc::clone(&plan));
        let action = round.first_look().await;
        match action {
            Action::Answer => {
                let served = round.answer()?;
                round.keep_near();
                Ok(self.finish(read, &plan, served, false))
            }
            Action::AnswerAndRefresh => {
                self.refresh(&round);
                Ok(self.finish(read, &plan, round.answer()?, false))
            }
            Action::Look
            | Action::Claim(_)
            | Action::Wait(_)
            | Action::Load
            | Action::LoadUncached
            | Action::Fill(_)
            | Action::Fail => self.fly(read, &plan, round, action, began).await,
        }
    }

    /// Joins the key's flight, or starts it in a task of its own: a caller that goes away takes
    /// nothing from the others.
    async fn fly(
        self: &Arc<Self>,
        read: &Arc<Read>,
        plan: &Arc<Named>,
        round: Round,
        action: Action,
        began: Instant,
    ) -> Result<Answer, ReadError> {
        let since_ms = read.bypass.then(|| round.seen_ms());
        let joined = self.flights.join(&plan.key, since_ms);
        let collapsed = joined.start.is_none();
        if let Some(boarding) = joined.start {
            self.take_off(round, action, boarding);
        }
        let shared = timeout_at(began + read.entity.deadline, joined.answer).await;
        let served = match shared {
            Ok(Ok(shared)) => shared?,
            Ok(Err(_no_answer)) => return Err(ReadError::Nothing),
            Err(_elapsed) => return Err(ReadError::Deadline),
        };
        Ok(self.finish(read, plan, served, collapsed))
    }

    fn refresh(self: &Arc<Self>, answered: &Round) {
        if let Some(boarding) = self.flights.refresh(&answered.plan.key) {
            let mut round = answered.refresh();
            let action = round.first_refresh();
            self.take_off(round, action, boarding);
        }
    }

    /// Runs a flight in a task of its own, until it ends or every flight is cut off.
    fn take_off(&self, round: Round, action: Action, boarding: Boarding) {
        let mut cut = self.cut.subscribe();
        tokio::spawn(async move {
            let flight = fly(round, action, boarding);
            tokio::select! {
                biased;
                // Without a cache there is nobody left to fly for.
                _ = cut.wait_for(|cut| *cut) => {}
                () = flight => {}
            }
        });
    }

    /// The conservative rule for a read that has no key: load, do not store.
    async fn without_plan(
        &self,
        read: &Read,
        generation: Arc<Generation>,
        began: Instant,
    ) -> Result<Answer, ReadError> {
        let deadline = began + read.entity.deadline;
        let loaded =
            self.load(read, LoadReason::Uncached, deadline).await.map_err(ReadError::Load)?;
        let served = Served::loaded(&loaded, Why::Uncached, &generation);
        Ok(Answer { key: None, ..self.describe(read, served, false) })
    }

    fn finish(&self, read: &Read, plan: &Named, served: Served, collapsed: bool) -> Answer {
        Answer { key: Some(plan.key.clone()), ..self.describe(read, served, collapsed) }
    }

    fn describe(&self, read: &Read, served: Served, collapsed: bool) -> Answer {
        let now_ms = self.store.now_ms();
        Answer {
            etag: served.body.is_some().then_some(served.etag),
            body: served.body,
            via: served.via,
            collapsed,
            bypass: read.bypass,
            age_ms: served.times.map_or(0, |times| now_ms.saturating_sub(times.loaded_at_ms)),
            ttl_ms: served
                .times
                .map(|times| times.fresh_until_ms.cast_signed() - now_ms.cast_signed()),
            key: None,
            generation: served.generation,
            ready: None,
        }
    }
}

/// Rounds, until nobody waits.
async fn fly(mut round: Round, mut action: Action, mut boarding: Boarding) {
    loop {
        let shared = round.drive(action, &mut boarding).await;
        if matches!(shared, Err(ReadError::Deadline)) {
            boarding.disembark();
        }
        let Some(next) = boarding.land(&shared) else { return };
        round = round.again();
        action = match next {
            Next::Any => Action::Look,
            Next::Fresh => round.first_bypass(),
        };
    }
}
