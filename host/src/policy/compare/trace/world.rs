//! The model: things, their values and flights, and what accesses make of them.
//!
//! Things touch each other by writes alone, so a flight is brought to its end when its thing is
//! looked at next; no queue of events is needed.

use std::collections::HashMap;

use crate::policy::{
    Action, Event, Memo, Moment, Named, Policy, Report, Request, Scope, Target, Turn, Way,
};

use super::super::entropies;
use super::thing::{Flight, Stored, Thing, millis};
use super::{Prediction, Terms};

/// Size of a value: policies may look at it, the model does not.
const BYTES: u32 = 1_000;

/// Turns from a look to a load; the default policy takes two.
const TURNS: u32 = 32;

pub(super) struct World<'a> {
    policy: &'a dyn Policy,
    terms: &'a Terms<'a>,
    things: HashMap<u32, Thing>,
    by_key: HashMap<String, u32>,
    by_tag: HashMap<String, Vec<u32>>,
    dice: Box<dyn Iterator<Item = u64>>,
    now_us: u64,
    tally: Prediction,
}

impl<'a> World<'a> {
    pub(super) fn new(policy: &'a dyn Policy, terms: &'a Terms<'a>) -> Self {
        Self {
            policy,
            terms,
            things: HashMap::new(),
            by_key: HashMap::new(),
            by_tag: HashMap::new(),
            dice: Box::new(entropies(2)),
            now_us: 0,
            tally: Prediction::default(),
        }
    }

    pub(super) fn end(self) -> Prediction {
        let mut tally = self.tally;
        tally.distinct = self.things.len() as u64;
        tally.hit_ratio = tally.hits as f64 / tally.reads.max(1) as f64;
        tally.seconds = self.now_us as f64 / 1e6;
        tally
    }

    /// One access of the trace: a read, or for their share a write.
    pub(super) fn access(&mut self, id: u32, now_us: u64) {
        self.now_us = now_us;
        let dice = (self.roll() >> 11) as f64 / (1_u64 << 53) as f64;
        let writes = dice < self.terms.writes;
        if let Some(change) = writes.then(|| (self.terms.write)(id)).flatten() {
            self.tally.writes += 1;
            let targets = self.policy.invalidate(&change).unwrap_or_default();
            targets.iter().for_each(|target| self.touch(target));
        } else {
            self.tally.reads += 1;
            self.read(id);
        }
    }

    fn read(&mut self, id: u32) {
        let Some(mut thing) = self.take(id) else {
            // Without a key every read is a load, and none is shared.
            self.tally.undecided += 1;
            self.tally.loads += 1;
            return;
        };
        let event = thing.look(self.now_us);
        let turn = self.step(thing.plan.memo, 0, event);
        let at_hand = thing.stored.filter(|_| matches!(event, Event::Found(_)));
        let refresh = match (turn.map(|turn| turn.action), at_hand) {
            (Some(Action::Answer), Some(_)) => false,
            (Some(Action::AnswerAndRefresh), Some(_)) => true,
            (_, _) => {
                if thing.flight.is_some() {
                    self.tally.collapsed += 1;
                } else {
                    self.fly(&mut thing, turn, false);
                }
                self.things.insert(id, thing);
                return;
            }
        };
        self.tally.hits += 1;
        let stale = at_hand.is_some_and(|stored| !stored.is_fresh(self.now_us));
        self.tally.stale_hits += u64::from(stale);
        if refresh && thing.flight.is_none() {
            let memo = turn.map_or(thing.plan.memo, |turn| turn.memo);
            let turn = self.step(memo, 0, event);
            self.fly(&mut thing, turn, true);
        }
        self.things.insert(id, thing);
    }

    /// From a first turn to the beginning of a load, or to nothing. What a host would not carry
    /// out is a load that is not stored.
    fn fly(&mut self, thing: &mut Thing, first: Option<Turn>, background: bool) {
        let (mut turn, mut leased, mut elapsed_ms) = (first, false, 0_u32);
        for _ in 0..TURNS {
            let Some(Turn { memo, action }) = turn else { break };
            let event = match action {
                Action::Look => thing.look(self.now_us + u64::from(elapsed_ms) * 1_000),
                Action::Claim(_) => {
                    leased = true;
                    Event::LeaseGranted
                }
                Action::Wait(at_most_ms) => {
                    elapsed_ms = elapsed_ms.saturating_add(at_most_ms);
                    Event::Waited
                }
                Action::Load if leased => {
                    return self.load(thing, memo, Some(elapsed_ms), background);
                }
                Action::LoadUncached => return self.load(thing, memo, None, background),
                Action::Answer | Action::Fail if background => return,
                Action::Load
                | Action::Fill(_)
                | Action::Answer
                | Action::AnswerAndRefresh
                | Action::Fail => break,
            };
            turn = self.step(memo, elapsed_ms, event);
        }
        self.tally.undecided += 1;
        self.load(thing, thing.plan.memo, None, background);
    }

    /// A load begins; under a lease, after so many milliseconds of its flight.
    fn load(&mut self, thing: &mut Thing, memo: Memo, leased: Option<u32>, background: bool) {
        self.tally.loads += 1;
        self.tally.refreshes += u64::from(background);
        let began_us = self.now_us + u64::from(leased.unwrap_or(0)) * 1_000;
        let cost_ms = self.cost_ms();
        let ends_us = began_us + u64::from(cost_ms) * 1_000;
        let leased = leased.is_some();
        thing.flight = Some(Flight { memo, began_us, ends_us, cost_ms, leased });
    }

    /// The thing as it is now: a load that has ended was filled when it ended.
    fn take(&mut self, id: u32) -> Option<Thing> {
        let mut thing = match self.things.remove(&id) {
            Some(thing) => thing,
            None => self.meet(id)?,
        };
        if let Some(flight) = thing.flight.take_if(|flight| flight.ends_us <= self.now_us)
            && flight.leased
        {
            let cost_ms = flight.cost_ms;
            let report = Report { cost_ms, bytes: BYTES, negative: false };
            let elapsed_ms = millis(flight.ends_us - flight.began_us);
            match self.step(flight.memo, elapsed_ms, Event::Loaded(report)) {
                Some(Turn { action: Action::Fill(lifetime), .. }) => {
                    thing.stored = Some(Stored::new(&flight, lifetime));
                }
                Some(_) | None => {}
            }
        }
        Some(thing)
    }

    fn meet(&mut self, id: u32) -> Option<Thing> {
        let plan = self.name(&(self.terms.read)(id))?;
        self.by_key.insert(plan.key.to_string(), id);
        for tag in &plan.tags {
            self.by_tag.entry(tag.to_string()).or_default().push(id);
        }
        Some(Thing::new(plan))
    }

    fn name(&self, request: &Request) -> Option<std::sync::Arc<Named>> {
        Named::try_new(self.policy.plan(request).ok()?.ok()?).ok()
    }

    fn touch(&mut self, target: &Target) {
        let ids = match &target.scope {
            Scope::Key(key) => self.by_key.get(key).copied().into_iter().collect(),
            Scope::Tag(tag) => self.by_tag.get(tag).cloned().unwrap_or_default(),
            Scope::Read(request) => {
                let named = self.name(request);
                let id = named.and_then(|named| self.by_key.get(named.key.as_str()).copied());
                id.into_iter().collect::<Vec<u32>>()
            }
        };
        let refreshed = target.way == Way::Refreshed && !matches!(target.scope, Scope::Tag(_));
        for id in ids {
            let Some(mut thing) = self.take(id) else { continue };
            thing.invalidate();
            if refreshed {
                // Write-through takes the lease over, whoever flies.
                let turn = self.step(thing.plan.memo, 0, Event::Bypassed);
                self.fly(&mut thing, turn, true);
            }
            self.things.insert(id, thing);
        }
    }

    fn step(&mut self, memo: Memo, elapsed_ms: u32, event: Event) -> Option<Turn> {
        let left_ms = self.terms.deadline_ms.saturating_sub(elapsed_ms);
        let moment = Moment { elapsed_ms, left_ms, entropy: self.roll() };
        self.policy.step(memo, moment, event).ok()
    }

    fn cost_ms(&mut self) -> u32 {
        let count = self.terms.costs_ms.len().max(1) as u64;
        // The remainder: a bias that some dozens of costs do not feel.
        let at = usize::try_from(self.roll() % count).unwrap_or(0);
        self.terms.costs_ms.get(at).copied().unwrap_or(0)
    }

    fn roll(&mut self) -> u64 {
        self.dice.next().unwrap_or(0)
    }
}
