//! A read: the first look and, where that is not enough, a flight that all readers of the value share.

use std::sync::Arc;

use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

use crate::observe::{LoadReason, ReadOutcome};
use crate::policy::{Action, Generation, Named};

use super::answer::{Answer, ReadError, Served, Why};
use super::flight::Flight;
use super::flights::{Boarding, Joined, NextRound};
use super::load::{Within, late};
use super::{Cache, CacheRead};

impl Cache {
    /// Answers a read, by its entity's deadline.
    ///
    /// # Errors
    /// [`ReadError`] when there is neither a value nor a stale one that may be served.
    pub async fn read(self: &Arc<Self>, read: CacheRead) -> Result<Answer, ReadError> {
        let began = Instant::now();
        // A hit in memory is ready at once: without this, a loop of reads would let no other task run.
        consume_budget().await;
        let definition = Arc::clone(&read.definition);
        let answer = match self.read_near(&read, began) {
            Some(answer) => Ok(answer),
            // Boxed, so that a near hit does not carry the state of the slower ways.
            None => Box::pin(self.answer(&Arc::new(read), began)).await,
        };
        let outcome = answer.as_ref().map_or(ReadOutcome::Error, |answer| answer.via.outcome());
        definition.metrics(&self.metrics).read(outcome, began.elapsed());
        answer
    }

    /// The answer of the near cache, if it has one: neither the policy nor the store is asked.
    fn read_near(&self, read: &CacheRead, now: Instant) -> Option<Answer> {
        let may = !read.bypass && !read.entity().near.is_zero() && !read.definition.varies();
        // Checked after the look: a host that does not trust the node may have missed a change (race K).
        let is_in_force = |slot, word| read.definition.is_in_force(self.nodes.range_of(slot), word);
        let look = || self.near.look(&read.name, &self.slot.peek(), is_in_force, now);
        let (answer, slot) = may.then(look).flatten()?;
        self.nodes.holds(slot).then_some(answer)
    }

    async fn answer(
        self: &Arc<Self>,
        read: &Arc<CacheRead>,
        began: Instant,
    ) -> Result<Answer, ReadError> {
        let generation = read.definition.generation(&self.slot);
        if read.definition.varies() {
            return Box::pin(self.without_plan(read, generation, began)).await;
        }
        let plan = match read.plan(&generation) {
            Ok(Ok(plan)) => plan,
            Ok(Err(refusal)) => {
                // Entity and arguments are as declared, or there would be no read: the policy is wrong.
                tracing::debug!(?refusal, "a read without a key");
                generation.refused(&format_args!("it refuses a declared read: {refusal:?}"));
                return Box::pin(self.without_plan(read, generation, began)).await;
            }
            Err(undecided) => {
                tracing::debug!(%undecided, "a read without a key");
                return Box::pin(self.without_plan(read, generation, began)).await;
            }
        };
        let (cache, read_too, plan_too) = (Arc::clone(self), Arc::clone(read), Arc::clone(&plan));
        let mut flight = Flight::new(cache, read_too, generation, plan_too, began);
        let action = flight.first_look().await;
        match action {
            Action::Answer => {
                flight.keep_near();
                Ok(finish(read, &plan, flight.answer()?, false))
            }
            Action::AnswerAndRefresh => {
                self.refresh(&flight);
                Ok(finish(read, &plan, flight.answer()?, false))
            }
            Action::Look
            | Action::Claim(_)
            | Action::Wait(_)
            | Action::Load
            | Action::LoadUncached
            | Action::Fill(_)
            | Action::Fail => Box::pin(self.go_on(read, &plan, flight, action, began)).await,
        }
    }

    /// Answers what the first look could not: with a stale value while loads fail, or else by a flight.
    async fn go_on(
        self: &Arc<Self>,
        read: &Arc<CacheRead>,
        plan: &Arc<Named>,
        mut flight: Flight,
        action: Action,
        began: Instant,
    ) -> Result<Answer, ReadError> {
        match flight.stand_in(action).await {
            Some(served) => {
                self.probe(&flight);
                Ok(finish(read, plan, served, false))
            }
            None => self.fly(read, plan, flight, action, began).await,
        }
    }

    /// Joins the read's flight, or starts it in a task of its own: a caller that goes away does not cancel it
    /// for the others.
    async fn fly(
        self: &Arc<Self>,
        read: &Arc<CacheRead>,
        plan: &Arc<Named>,
        flight: Flight,
        action: Action,
        began: Instant,
    ) -> Result<Answer, ReadError> {
        let since_ms = read.bypass.then(|| flight.seen_ms());
        let generation = Arc::clone(&flight.generation);
        let Joined { mut answer, start } = self.flights.join(flight.place(), since_ms);
        let collapsed = start.is_none();
        if let Some(boarding) = start {
            self.take_off(flight, action, boarding);
        }
        let (deadline, late) =
            (began + read.entity().deadline, began + late(read.entity().deadline));
        let shared = match timeout_at(late, &mut answer).await {
            Ok(shared) => shared,
            Err(_late) => match self.instead(read, plan, generation, began).await {
                Some(served) => return Ok(finish(read, plan, served, false)),
                None => timeout_at(deadline, answer).await.map_err(|_over| ReadError::Deadline)?,
            },
        };
        let served = shared.unwrap_or(Err(ReadError::Nothing))?;
        Ok(finish(read, plan, served, collapsed))
    }

    /// A stand-in for an answer that comes too late: a flight has the time of the request that began it, and
    /// may go on with another round. So a reader uses the end of its own time to look for a value itself.
    async fn instead(
        self: &Arc<Self>,
        read: &Arc<CacheRead>,
        plan: &Arc<Named>,
        generation: Arc<Generation>,
        began: Instant,
    ) -> Option<Served> {
        if read.entity().stale_if_error.is_zero() {
            return None;
        }
        let (cache, read_too, plan_too) = (Arc::clone(self), Arc::clone(read), Arc::clone(plan));
        let mut own = Flight::new(cache, read_too, generation, plan_too, began);
        let deadline = began + read.entity().deadline;
        timeout_at(deadline, own.instead_of_a_late_one()).await.ok().flatten()
    }

    /// Begins a load in the background after a reader was answered with a stale value because loads fail: one
    /// such probe at a time finds out whether loads are answered again.
    fn probe(self: &Arc<Self>, answered: &Flight) {
        if !self.breaker.may_probe(&answered.read.entity().name) {
            return;
        }
        if let Some(boarding) = self.flights.refresh(answered.place()) {
            let (flight, action) = answered.probe();
            self.take_off(flight, action, boarding);
        }
    }

    fn refresh(self: &Arc<Self>, answered: &Flight) {
        let entity = &answered.read.entity().name;
        let is_away = || self.breaker.open_for(entity).is_some() && !self.breaker.may_probe(entity);
        if self.pauses.holds(&answered.place().name) || is_away() {
            return;
        }
        if let Some(boarding) = self.flights.refresh(answered.place()) {
            let (flight, action) = answered.refresh();
            self.take_off(flight, action, boarding);
        }
    }

    /// Runs a flight in a task of its own, until it ends or every flight is cut off.
    fn take_off(&self, flight: Flight, action: Action, boarding: Boarding) {
        let mut cut = self.cut.subscribe();
        tokio::spawn(async move {
            let flying = fly(flight, action, boarding);
            tokio::select! {
                biased;
                // An error of `wait_for` means that the cache is gone: no request is left to answer.
                _ = cut.wait_for(|cut| *cut) => {}
                () = flying => {}
            }
        });
    }

    /// The conservative rule, load and do not store, for a read without a key or with an answer for one
    /// reader only.
    async fn without_plan(
        &self,
        read: &CacheRead,
        generation: Arc<Generation>,
        began: Instant,
    ) -> Result<Answer, ReadError> {
        let deadline = began + read.entity().deadline;
        let within = Within { deadline, until: deadline };
        let loaded =
            self.load(read, &[], LoadReason::Uncached, within).await.map_err(ReadError::Load)?;
        let served = Served::loaded(&loaded, Why::Uncached, &generation);
        Ok(Answer { key: None, ..describe(read, served, false) })
    }
}

fn finish(read: &CacheRead, plan: &Named, served: Served, collapsed: bool) -> Answer {
    Answer { key: Some(plan.key.clone()), ..describe(read, served, collapsed) }
}

fn describe(read: &CacheRead, served: Served, collapsed: bool) -> Answer {
    Answer {
        etag: served.body.is_some().then_some(served.etag),
        body: served.body,
        via: served.via,
        collapsed,
        bypass: read.bypass,
        age_ms: served.stored.map_or(0, |stored| stored.age_ms),
        ttl_ms: served.stored.map(|stored| stored.ttl_ms),
        key: None,
        generation: served.generation,
        ready: None,
    }
}

/// Runs one round of the flight after another until no request waits.
async fn fly(mut flight: Flight, mut action: Action, mut boarding: Boarding) {
    loop {
        let shared = flight.drive(action, &mut boarding).await;
        flight.note_refresh(&shared);
        if matches!(shared, Err(ReadError::Deadline)) {
            boarding.disembark();
        }
        let Some(next) = boarding.land(&shared) else { return };
        flight = flight.again();
        action = match next {
            NextRound::Any => Action::Look,
            NextRound::Fresh { since_ms } => flight.first_bypass(since_ms),
        };
    }
}
