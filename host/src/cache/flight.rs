//! A flight: the work for one read, from its first look to its answer.
//!
//! ```text
//! Begun ─look─► Looked ─claim─► Leased ─load─► Loaded ─fill─► Settled ─► answer
//!                 ▲ │              │              └─ answer (not stored)
//!                 │ └─► Held ─wait─┘ (looks again)
//!                 └── answer        load fails ─► Failed ─► stale answer, or the error
//! ```
//!
//! Each state owns what belongs to it, so there is no lease without a claim and no fill without a lease. The
//! policy says what to do next, the guard checks it, [`steps`] carries it out, and the policy is told what
//! happened. After a trap or a refused answer the conservative rule decides: load, do not store.

mod beside;
mod stand_in;
mod state;
mod steps;
mod tags;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::observe::LoadReason;
use crate::policy::prove::shadow::Trail;
use crate::policy::run::guard::{self, FlightBounds, FlightStage, Spent};
use crate::policy::{Action, Decider, Event, Failure, Generation, Memo, Moment, Named, Sighting};
use crate::store::{Envelope, Mode};

use super::answer::{ReadError, Served, Via, Why};
use super::flights::{Boarding, Observation};
use super::load::{LoadError, Loaded};
use super::near::{NearCandidate, Ticket};
use super::{Cache, CacheRead};
use crate::name::Place;
use state::{FillRight, FlightState};

/// A read on its way. Its public fields are those that `reader` hands to other flights.
pub(super) struct Flight {
    cache: Arc<Cache>,
    pub(super) read: Arc<CacheRead>,
    pub(super) generation: Arc<Generation>,
    pub(super) plan: Arc<Named>,
    memo: Memo,
    began: Instant,
    /// By when the flight's readers are answered.
    deadline: Instant,
    /// By when a load that holds its lease ends: it may outlast its readers, and fills for the next ones.
    until: Instant,
    bounds: FlightBounds,
    state: FlightState,
    /// The first look's ticket, if the near cache may keep what the look brought.
    ticket: Option<Ticket>,
    /// The store's clock at the last look.
    looked_ms: u64,
    /// The `loaded_at_ms` of the newest value that the readers know of or may not be answered: a claim finds
    /// only newer values.
    seen_ms: u64,
    /// Whether an older value was at hand.
    had_value: bool,
    store_failed: bool,
    /// Whether the fill proves that no invalidation came in since the claim.
    is_proven: bool,
    /// Why the loaded value can't be stored, whatever the policy says.
    spoiled: Option<Why>,
    last_error: Option<LoadError>,
    /// Whether the readers want a value that is loaded after they came.
    wants_fresh: bool,
    turns: u32,
    waits: u32,
    /// Records the flight's turns for a shadow policy (one that runs beside the policy in force).
    trail: Option<Trail>,
}

/// What a turn led to.
enum AfterTurn {
    Event(Event),
    End(Result<Served, ReadError>),
}

impl Flight {
    pub(super) fn new(
        cache: Arc<Cache>,
        read: Arc<CacheRead>,
        generation: Arc<Generation>,
        plan: Arc<Named>,
        began: Instant,
    ) -> Self {
        let deadline = began + read.entity().deadline;
        let until = began + read.entity().load_limit;
        let kept_at_most = read.entity().terms().kept_at_most();
        let memo = plan.memo;
        let trail = cache.slot.shadows().follow(|| (read.request(), Arc::clone(&plan)));
        Self {
            cache,
            read,
            generation,
            plan,
            memo,
            began,
            deadline,
            until,
            bounds: FlightBounds { kept_at_most, background: false },
            state: FlightState::Begun,
            ticket: None,
            looked_ms: 0,
            seen_ms: 0,
            had_value: false,
            store_failed: false,
            is_proven: false,
            spoiled: None,
            last_error: None,
            wants_fresh: false,
            turns: 0,
            waits: 0,
            trail,
        }
    }

    /// Where the flight's value lies.
    pub(super) fn place(&self) -> &Place {
        self.read.definition.place(&self.read.name, &self.plan)
    }

    /// A new flight of the same read, under the generation in force: a flight that goes on for ever must not
    /// keep an old generation alive. If the generation in force gives the read another key, the old one
    /// stays: the requests that wait for this flight asked under the old key.
    pub(super) fn again(&self) -> Self {
        let (mut generation, mut plan) = (Arc::clone(&self.generation), Arc::clone(&self.plan));
        let current = self.read.definition.generation(&self.cache.slot);
        if let Ok(Ok(newer)) = self.read.plan(&current)
            && newer.key == plan.key
        {
            (generation, plan) = (current, newer);
        }
        let (cache, read) = (Arc::clone(&self.cache), Arc::clone(&self.read));
        Self::new(cache, read, generation, plan, Instant::now())
    }

    /// The clock of the value's node, as this host estimates it.
    fn now_ms(&self) -> u64 {
        self.cache.nodes.now_ms(self.place().name.slot())
    }

    /// The first look, which answers only the request that makes it.
    pub(super) async fn first_look(&mut self) -> Action {
        if self.read.bypass {
            return self.first_bypass(0);
        }
        let event = self.look_tracked().await;
        self.decide(event)
    }

    /// The first decision of a flight for readers that want a value loaded from now on and that came by
    /// `since_ms`. The maximum guards against a clock that was set back: a claim would find values that were
    /// loaded before the readers came, again and again.
    pub(super) fn first_bypass(&mut self, since_ms: u64) -> Action {
        self.seen_ms = self.now_ms().max(since_ms);
        self.wants_fresh = true;
        self.decide(Event::Bypassed)
    }

    /// Lets the near cache answer what the first look brought.
    pub(super) fn keep_near(&self) {
        let (Some(ticket), FlightState::Looked(Some(envelope))) = (self.ticket, &self.state) else {
            return;
        };
        let found = NearCandidate {
            key: &self.plan.key,
            slot: self.place().name.slot(),
            envelope,
            generation: &self.generation,
            now_ms: self.now_ms(),
            at_most: self.read.entity().near,
        };
        self.cache.near.keep(ticket, &self.read.name, &found);
    }

    /// When the newest value was loaded that the readers know of or may not be answered, by the store's
    /// clock.
    pub(super) fn seen_ms(&self) -> u64 {
        self.seen_ms
    }

    /// Carries out `action` and all that follow it, by the deadline. A load that holds its lease, and the
    /// fill after it, have the load's own limit.
    pub(super) async fn drive(
        &mut self,
        mut action: Action,
        boarding: &mut Boarding,
    ) -> Result<Served, ReadError> {
        let mut has_loaded = false;
        loop {
            has_loaded |= action == Action::Load;
            let limit = if has_loaded { self.until } else { self.deadline };
            let Ok(next) = timeout_at(limit, self.carry_out(action, boarding)).await else {
                return Err(ReadError::Deadline);
            };
            match next {
                AfterTurn::Event(event) => action = self.decide(event),
                AfterTurn::End(end) => return end,
            }
        }
    }

    /// Write-through: takes the lease over, reads the row back, fills; whether the value was stored.
    pub(super) async fn write_through(&mut self) -> bool {
        let deadline = self.deadline;
        // The writer waits for the load, so it must not outlast the deadline.
        self.until = deadline;
        timeout_at(deadline, self.take_over_and_fill()).await.unwrap_or(false)
    }

    async fn take_over_and_fill(&mut self) -> bool {
        let Action::Claim(lease_ms) = self.decide(Event::Bypassed) else {
            return false;
        };
        let claimed = self.claim(lease_ms, Mode::TakeOver).await;
        if claimed != Event::LeaseGranted || self.decide(claimed) != Action::Load {
            return false;
        }
        let loaded = self.load_leased(LoadReason::WriteThrough).await;
        let Action::Fill(lifetime) = self.decide(loaded) else {
            return false;
        };
        self.fill(lifetime).await == Event::Filled
    }

    /// Ends the flight with the value at hand, or with the error.
    pub(super) fn answer(&mut self) -> Result<Served, ReadError> {
        let state = mem::replace(&mut self.state, FlightState::Begun);
        let served = |envelope: Envelope, now_ms, via| {
            Served::stored(envelope, now_ms, via, &self.generation)
        };
        match state {
            FlightState::Looked(Some(envelope)) => {
                let fresh = envelope.fresh_until_ms > self.looked_ms;
                let via = match (fresh, self.waits > 0 || self.turns > 1) {
                    (true, false) => Via::Store,
                    (true, true) => Via::Peer,
                    (false, _) => Via::Stale,
                };
                Ok(served(envelope, self.looked_ms, via))
            }
            FlightState::Failed(Some(envelope)) => {
                Ok(served(envelope, self.now_ms(), Via::StaleIfError))
            }
            FlightState::Settled(_, Some(envelope)) => {
                let via = Via::Loaded { stale: self.had_value };
                Ok(served(envelope, self.now_ms(), via))
            }
            FlightState::Loaded(loaded, _) => Ok(self.unstored(&loaded, Why::Uncached)),
            FlightState::Settled(loaded, None) => {
                Ok(self.unstored(&loaded, self.spoiled.unwrap_or(Why::FillRejected)))
            }
            FlightState::Begun
            | FlightState::Looked(None)
            | FlightState::Held
            | FlightState::Leased(..)
            | FlightState::Failed(None) => Err(self.error()),
        }
    }

    /// A loaded value that was not stored, because of `why` unless the store failed.
    fn unstored(&self, loaded: &Loaded, why: Why) -> Served {
        let why = if self.store_failed { Why::StoreUnavailable } else { why };
        Served::loaded(loaded, why, &self.generation)
    }

    fn error(&self) -> ReadError {
        self.last_error.clone().map_or(ReadError::Nothing, ReadError::Load)
    }

    /// Asks the policy for the next action, and checks it.
    fn decide(&mut self, event: Event) -> Action {
        self.decide_at(self.state.stage(), event)
    }

    fn decide_at(&mut self, stage: FlightStage, event: Event) -> Action {
        self.turns += 1;
        let now = Instant::now();
        let elapsed_ms = millis(now.saturating_duration_since(self.began));
        let left_ms = millis(self.deadline.saturating_duration_since(now));
        #[expect(clippy::cast_possible_truncation, reason = "half of the bits are enough")]
        let entropy = self.cache.entropy.bits() as u64;
        let moment = Moment { elapsed_ms, left_ms, entropy };
        let turn = self.generation.step(self.memo, moment, event);
        if let Some(trail) = &mut self.trail {
            trail.turn(moment, event, turn.as_ref().ok().map(|turn| turn.action));
        }
        let turn = match turn {
            Ok(turn) => turn,
            Err(trap) => {
                tracing::debug!(%trap, "decided conservatively");
                return guard::conservative(stage);
            }
        };
        self.memo = turn.memo;
        let spent = Spent { turns: self.turns, waits: self.waits, left_ms };
        match self.bounds.check(stage, spent, turn.action) {
            Ok(action) => action,
            Err(refused) => {
                tracing::debug!(%refused, action = ?turn.action, "decided conservatively");
                self.generation.refused(&format_args!("{:?}: {refused}", turn.action));
                guard::conservative(stage)
            }
        }
    }

    async fn carry_out(&mut self, action: Action, boarding: &mut Boarding) -> AfterTurn {
        if let Some(observation) = self.observation(action)
            && !self.board(observation, boarding)
        {
            return AfterTurn::End(Err(ReadError::Nothing));
        }
        if !self.bounds.background
            && let Some(served) = self.stand_in(action).await
        {
            return AfterTurn::End(Ok(served));
        }
        AfterTurn::Event(match action {
            Action::Look => self.look().await,
            Action::Claim(lease_ms) => self.claim(lease_ms, Mode::IfFree).await,
            Action::Wait(at_most_ms) => self.wait(at_most_ms).await,
            Action::Load => {
                let background = self.bounds.background;
                let reason = if background { LoadReason::Refresh } else { LoadReason::Miss };
                self.load_leased(reason).await
            }
            Action::LoadUncached => self.load_uncached().await,
            Action::Fill(lifetime) => {
                boarding.admit_late();
                let event = self.fill(lifetime).await;
                boarding.settle(self.is_proven && self.is_stored_in_force());
                event
            }
            Action::Answer | Action::AnswerAndRefresh => return AfterTurn::End(self.answer()),
            Action::Fail => return AfterTurn::End(Err(self.error())),
        })
    }

    /// Whether the stamp of the filled value is in force at this moment: a floor that was raised since the
    /// load began revokes no lease (race V).
    fn is_stored_in_force(&self) -> bool {
        let FlightState::Settled(_, Some(envelope)) = &self.state else { return false };
        self.is_in_force(envelope, self.cache.nodes.epoch(self.place().name.slot()))
    }

    /// An observation begins, and the waiting requests board it. A refresh may end with nothing to answer, so
    /// requests that wait for it share only its accepted fill. `false` if no request wants the answer any
    /// more.
    fn board(&self, observation: Observation, boarding: &mut Boarding) -> bool {
        if self.bounds.background {
            return true;
        }
        boarding.board(observation);
        boarding.is_wanted()
    }

    /// The observation that an action begins: what the action brings was true at some moment after its
    /// beginning. `None` for an action that observes nothing.
    fn observation(&self, action: Action) -> Option<Observation> {
        match action {
            Action::Look => Some(Observation::Look),
            Action::Claim(_) => Some(Observation::Claim { seen_ms: self.seen_ms }),
            Action::Load | Action::LoadUncached => Some(Observation::Load),
            Action::Wait(_)
            | Action::Fill(_)
            | Action::Answer
            | Action::AnswerAndRefresh
            | Action::Fail => None,
        }
    }
}

pub(crate) fn sighting(envelope: &Envelope, now_ms: u64) -> Sighting {
    let until = |at_ms: u64| u32::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(u32::MAX);
    let since = |at_ms: u64| u32::try_from(now_ms.saturating_sub(at_ms)).unwrap_or(u32::MAX);
    Sighting {
        age_ms: since(envelope.loaded_at_ms),
        refresh_ms: until(envelope.refresh_at_ms),
        fresh_ms: until(envelope.fresh_until_ms),
        past_ms: since(envelope.fresh_until_ms),
        cost_ms: envelope.cost_ms,
        negative: envelope.body.is_none(),
    }
}

pub(crate) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
