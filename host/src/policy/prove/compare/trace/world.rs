//! The model: things, their values and flights, and the accesses that change them.
//!
//! Only writes make one thing change another. So a flight needs to be brought to its end only when
//! its thing is looked at next, and no queue of events is needed.

use std::collections::HashMap;

use crate::policy::{Action, Decider, Event, LoadReport, Named, Request, Scope, Target, Way};

use super::super::{Course, Decided, entropies};
use super::thing::{Thing, TracedLoad, TracedValue};
use super::{Prediction, TraceTerms};

/// Size of a value. Policies may look at it, the model does not.
const BYTES: u32 = 1_000;

pub(super) struct TraceWorld<'a> {
    policy: &'a dyn Decider,
    terms: &'a TraceTerms<'a>,
    things: HashMap<u32, Thing>,
    by_key: HashMap<String, u32>,
    by_tag: HashMap<String, Vec<u32>>,
    dice: Box<dyn Iterator<Item = u64>>,
    now_us: u64,
    tally: Prediction,
}

impl<'a> TraceWorld<'a> {
    pub(super) fn new(policy: &'a dyn Decider, terms: &'a TraceTerms<'a>) -> Self {
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

    /// One access of the trace: a read or, with the probability `writes`, a write.
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
        let mut course = self.course(&thing);
        let event = thing.look(self.now_us);
        match self.decide(&mut course, event) {
            Action::Answer => self.hit(&thing),
            Action::AnswerAndRefresh => {
                self.hit(&thing);
                if thing.flight.is_none() {
                    let mut refresh = course.refresh();
                    let first = self.decide(&mut refresh, event);
                    self.fly(&mut thing, refresh, first);
                }
            }
            Action::Look
            | Action::Claim(_)
            | Action::Wait(_)
            | Action::Load
            | Action::LoadUncached
            | Action::Fill(_)
            | Action::Fail
                if thing.flight.is_some() =>
            {
                self.tally.collapsed += 1;
            }
            first @ (Action::Look
            | Action::Claim(_)
            | Action::Wait(_)
            | Action::Load
            | Action::LoadUncached
            | Action::Fill(_)
            | Action::Fail) => self.fly(&mut thing, course, first),
        }
        self.things.insert(id, thing);
    }

    fn hit(&mut self, thing: &Thing) {
        self.tally.hits += 1;
        let stale = thing.stored.is_some_and(|stored| !stored.is_fresh(self.now_us));
        self.tally.stale_hits += u64::from(stale);
    }

    /// From a first decision to the beginning of a load, or to an end without a load. The guard
    /// ends a flight that turns in circles.
    fn fly(&mut self, thing: &mut Thing, mut course: Course, first: Action) {
        let mut action = first;
        loop {
            let event = match action {
                Action::Look => thing.look(self.now_us + u64::from(course.elapsed_ms) * 1_000),
                Action::Claim(_) => Event::LeaseGranted,
                Action::Wait(_) => Event::Waited,
                Action::Load | Action::LoadUncached => return self.load(thing, course),
                Action::Fill(_) | Action::Answer | Action::AnswerAndRefresh | Action::Fail => {
                    return;
                }
            };
            action = self.decide(&mut course, event);
        }
    }

    fn load(&mut self, thing: &mut Thing, mut course: Course) {
        self.tally.loads += 1;
        self.tally.refreshes += u64::from(course.is_background());
        let cost_ms = self.cost_ms();
        let began_us = self.now_us + u64::from(course.elapsed_ms) * 1_000;
        let ends_us = began_us + u64::from(cost_ms) * 1_000;
        course.elapsed_ms = course.elapsed_ms.saturating_add(cost_ms);
        thing.flight = Some(TracedLoad { course, began_us, ends_us, cost_ms });
    }

    /// The thing as it is now: a load that has ended by now has been filled at its end.
    fn take(&mut self, id: u32) -> Option<Thing> {
        let mut thing = match self.things.remove(&id) {
            Some(thing) => thing,
            None => self.meet(id)?,
        };
        if let Some(mut flight) = thing.flight.take_if(|flight| flight.ends_us <= self.now_us) {
            let report = LoadReport { cost_ms: flight.cost_ms, bytes: BYTES, negative: false };
            let decided = self.decide(&mut flight.course, Event::Loaded(report));
            if let Action::Fill(lifetime) = decided {
                thing.stored = Some(TracedValue::new(&flight, lifetime));
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
                // Write-through takes the lease over, even from a flight that holds it.
                let mut course = self.course(&thing);
                let first = self.decide(&mut course, Event::Bypassed);
                self.fly(&mut thing, course, first);
            }
            self.things.insert(id, thing);
        }
    }

    fn course(&self, thing: &Thing) -> Course {
        let TraceTerms { deadline_ms, kept_at_most, .. } = self.terms;
        Course::new(thing.plan.memo, *deadline_ms, *kept_at_most)
    }

    fn decide(&mut self, course: &mut Course, event: Event) -> Action {
        let Decided { action, instead_of } = course.decide(self.policy, self.roll(), event);
        self.tally.undecided += u64::from(instead_of.is_some());
        action
    }

    fn cost_ms(&mut self) -> u32 {
        let count = self.terms.costs_ms.len().max(1) as u64;
        // The remainder favours small numbers, by too little to matter for some dozens of costs.
        let at = usize::try_from(self.roll() % count).unwrap_or(0);
        self.terms.costs_ms.get(at).copied().unwrap_or(0)
    }

    fn roll(&mut self) -> u64 {
        self.dice.next().unwrap_or(0)
    }
}
