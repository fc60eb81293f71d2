//! Flights: everything that a candidate's state machine can be led into, up to a depth.
//!
//! A step learns about its entity from its memo alone, so there is one machine for each memo that
//! plans begin with. Every machine is explored in outline: one event of each kind, at two moments,
//! each asked three times, and its lifetimes over the whole range of entropy. Machines that take
//! the same turns in outline, apart from numbers, share one full exploration. This can miss a
//! machine that goes wrong for one entity alone and only at the limit of a window; the guard still
//! stops such a machine at run time.

mod alphabet;
mod circles;
mod graph;
mod shown;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::super::{Conditions, Finding};
use super::asked::{Unclear, Which};
use super::findings::Rule;
use super::names::{Known, QUERIES};
use super::{Exploration, until};
use crate::policy::prove::USUAL_TTL_MS;
use crate::policy::run::guard::{FlightBounds, FlightStage, Refused, SPARE_TURNS};
use crate::policy::{Action, Event, Memo, Moment, Query, Request, Subject, Terms, Turn};
use alphabet::{Alphabet, Breadth, Happening, Pending};
use circles::Endless;
use graph::{Graph, Situation, Taken};

/// The longest sequence: past the turn at which the guard stops a flight that never waits, so that
/// a flight whose memo keeps counting is found too.
const DEPTH: u32 = SPARE_TURNS + 8;

/// Most situations of one machine; a memo that holds something random has no end of them.
const SITUATIONS: usize = 30_000;

/// In one machine, most situations after a load whose lifetimes are drawn over the whole range of
/// entropy.
const SWEEPS: usize = 3;

/// The entropy of the first turn; that of each further turn is made from the one before.
const ENTROPY: u64 = 0x9e37_79b9_7f4a_7c15;

/// A state machine: a memo that plans begin with, and what its entity allows.
struct Machine {
    at: String,
    memo: Memo,
    terms: Terms,
    deadline: Duration,
}

/// One exploration of one machine.
struct MachineExploration<'m> {
    machine: &'m Machine,
    alphabet: Alphabet,
    breadth: Breadth,
    graph: Graph,
    /// Hash of the turns without their numbers. Machines with the same hash share one full
    /// exploration.
    outline: DefaultHasher,
    sweeps: usize,
    entropy: u64,
    whole: bool,
}

impl Exploration<'_> {
    /// The flights of every entity and of ad-hoc queries.
    pub(super) fn flights(&mut self, conditions: &Conditions, known: &[Known]) {
        let machines = self.machines(conditions, known);
        self.progress.machines.of = machines.len();
        let mut outlines = HashSet::new();
        let mut different = Vec::new();
        for machine in &machines {
            if self.asked.is_over(until::OUTLINES) {
                break;
            }
            let flight = self.fly(machine, Breadth::Outline, until::OUTLINES);
            self.progress.machines.done += usize::from(flight.whole);
            if outlines.insert(flight.outline.finish()) {
                different.push(machine);
            }
        }
        for machine in different {
            if self.asked.is_over(until::FLIGHTS) {
                break;
            }
            let flight = self.fly(machine, Breadth::Full, until::FLIGHTS);
            self.progress.in_full += usize::from(flight.whole);
        }
    }

    fn machines(&mut self, conditions: &Conditions, known: &[Known]) -> Vec<Machine> {
        let mut machines: Vec<Machine> = Vec::new();
        for (entity, known) in conditions.entities().iter().zip(known) {
            machines.extend(known.memos.iter().map(|&memo| Machine {
                at: entity.name.clone(),
                memo,
                terms: entity.terms,
                deadline: conditions.deadline(&entity.name),
            }));
        }
        if let Some(query) = conditions.query {
            machines.extend(self.query(query.ttl_ms, query.deadline));
            machines.extend(self.query(USUAL_TTL_MS, query.deadline));
        }
        machines
    }

    /// The machine of an ad-hoc query whose answer is to be kept for so long.
    fn query(&mut self, ttl_ms: u32, deadline: Duration) -> Option<Machine> {
        let query = Query { sql: "SELECT 1".into(), ttl_ms, tags: Vec::new() };
        let request = Request { subject: Subject::Query(query), arguments: Vec::new() };
        let plan = self.plan(Which::First, QUERIES, &request)?;
        let terms = Terms::of_query(ttl_ms);
        Some(Machine { at: QUERIES.into(), memo: plan.memo, terms, deadline })
    }

    fn fly<'m>(
        &mut self,
        machine: &'m Machine,
        breadth: Breadth,
        until: u32,
    ) -> MachineExploration<'m> {
        let mut flight = MachineExploration::new(machine, breadth);
        while let Some(at) = flight.graph.next_open() {
            let node = &flight.graph.nodes[at];
            if node.turns >= DEPTH {
                flight.graph.nodes[at].may_end = true;
                continue;
            }
            self.progress.depth = self.progress.depth.max(node.turns + 1);
            let room = flight.graph.nodes.len() < SITUATIONS;
            if !room {
                self.asked.leave_out();
            }
            if !room || !self.situation(&mut flight, at, until) {
                flight.whole = false;
                break;
            }
        }
        self.progress.situations += flight.graph.nodes.len();
        if flight.whole {
            self.endless(&flight);
        }
        flight
    }

    /// Takes every turn that can be taken in one situation; `false` if there was no time for all of
    /// them.
    fn situation(&mut self, flight: &mut MachineExploration<'_>, at: usize, until: u32) -> bool {
        let state = flight.graph.nodes[at].state;
        for happening in flight.alphabet.after(state.pending).to_vec() {
            for moment in state.moment..flight.alphabet.left_ms.len() {
                if self.asked.is_over(until) {
                    return false;
                }
                self.turn(flight, at, moment, happening);
            }
        }
        let sweep = flight.breadth == Breadth::Outline && flight.sweeps < SWEEPS;
        if sweep && state.pending == Pending::Load {
            flight.sweeps += 1;
            self.lifetimes(flight, at);
        }
        true
    }

    fn turn(
        &mut self,
        flight: &mut MachineExploration<'_>,
        at: usize,
        moment: usize,
        now: Happening,
    ) {
        let entropy = flight.next_entropy();
        let state = flight.graph.nodes[at].state;
        let when = flight.moment(moment, entropy);
        let turn = match flight.breadth {
            Breadth::Full => self.asked.step(state.memo, when, now.event).map_err(Unclear::Trap),
            Breadth::Outline => self.asked.agreed_step(state.memo, when, now.event),
        };
        let turn = match turn {
            Ok(turn) => turn,
            Err(unclear) => return self.unclear(flight, at, when, now, unclear),
        };
        let taken = Taken { moment: when, event: now.event, action: turn.action };
        flight.sketch(at, taken);
        if self.passes(flight, at, now.stage, taken) {
            let next = Situation { memo: turn.memo, moment, ..state };
            flight.graph.take(&flight.alphabet, at, taken, next);
        } else {
            // The host decides instead, and its decisions end the flight.
            flight.graph.nodes[at].may_end = true;
        }
    }

    /// The lifetimes that a load under the lease leads to, over the whole range of entropy. They
    /// end at the first trap, since each trap may cost a whole deadline.
    fn lifetimes(&mut self, flight: &mut MachineExploration<'_>, at: usize) {
        let state = flight.graph.nodes[at].state;
        let stage = FlightStage::Loaded { under_lease: true };
        for report in flight.alphabet.reports.clone() {
            let event = Event::Loaded(report);
            for entropy in entropies() {
                let moment = flight.moment(state.moment, entropy);
                match self.asked.step(state.memo, moment, event) {
                    Ok(Turn { action, .. }) => {
                        self.passes(flight, at, stage, Taken { moment, event, action });
                    }
                    Err(trap) => {
                        let now = Happening { event, stage };
                        return self.unclear(flight, at, moment, now, Unclear::Trap(trap));
                    }
                }
            }
        }
    }

    /// Whether the guard lets an action pass.
    fn passes(
        &mut self,
        flight: &MachineExploration<'_>,
        at: usize,
        stage: FlightStage,
        taken: Taken,
    ) -> bool {
        let spent = flight.graph.spent(at, taken.moment.left_ms);
        let background = flight.graph.nodes[at].state.background;
        let kept_at_most = flight.machine.terms.kept_at_most();
        let bounds = FlightBounds { kept_at_most, background };
        let Err(refused) = bounds.check(stage, spent, taken.action) else { return true };
        let (action, event) = (taken.action.name(), taken.event.name());
        let message = format!("{action} after {event}: {refused}");
        self.sequence(flight, at, &[taken], refused.into(), message);
        false
    }

    fn unclear(
        &mut self,
        flight: &mut MachineExploration<'_>,
        at: usize,
        moment: Moment,
        now: Happening,
        unclear: Unclear<Turn>,
    ) {
        flight.graph.nodes[at].may_end = true;
        let event = now.event.name();
        let (rule, message, action) = match unclear {
            Unclear::Trap(trap) => (Rule::Steps, format!("after {event}, {trap}"), Action::Fail),
            Unclear::Differs { how, one, other } if alike(one.action, other.action) => {
                let action = one.action.name();
                let message = format!("after {event}, {how}, {action} has another memo or number");
                (Rule::Stable, message, one.action)
            }
            Unclear::Differs { how, one, other } => {
                let [was, is] = [one, other].map(|turn| turn.action.name());
                (Rule::Stable, format!("after {event}, {how}, {was} became {is}"), one.action)
            }
        };
        self.sequence(flight, at, &[Taken { moment, event: now.event, action }], rule, message);
    }

    /// Finds a flight that no event ends, or one that goes on for as long as events allow it.
    fn endless(&mut self, flight: &MachineExploration<'_>) {
        let Some(Endless { at, round, hopeless }) = circles::find(&flight.graph) else { return };
        let (rule, message) = if hopeless {
            (Rule::Ends, "a flight comes to a point from which no event ends it".to_owned())
        } else {
            (Rule::Circles, Refused::Circling.to_string())
        };
        self.sequence(flight, at, &round, rule, message);
    }

    fn sequence(
        &mut self,
        flight: &MachineExploration<'_>,
        at: usize,
        last: &[Taken],
        rule: Rule,
        message: String,
    ) {
        let way = flight.graph.way_to(at);
        let sequence = way.iter().chain(last).map(Taken::shown).collect();
        let found = Finding { sequence, ..Finding::new(&flight.machine.at, message) };
        self.findings.keep(rule, found);
    }
}

impl<'m> MachineExploration<'m> {
    fn new(machine: &'m Machine, breadth: Breadth) -> Self {
        Self {
            machine,
            alphabet: Alphabet::new(&machine.terms, machine.deadline, breadth),
            breadth,
            graph: Graph::beginning_with(machine.memo),
            outline: DefaultHasher::new(),
            sweeps: 0,
            entropy: ENTROPY,
            whole: true,
        }
    }

    fn moment(&self, at: usize, entropy: u64) -> Moment {
        let left_ms = self.alphabet.left_ms.get(at).copied().unwrap_or(0);
        Moment { elapsed_ms: self.alphabet.deadline_ms - left_ms, left_ms, entropy }
    }

    /// New random bits for every turn, the same in every examination.
    fn next_entropy(&mut self) -> u64 {
        self.entropy = mix(self.entropy);
        self.entropy
    }

    fn sketch(&mut self, at: usize, taken: Taken) {
        (at, std::mem::discriminant(&taken.action)).hash(&mut self.outline);
        if let Action::Claim(ms) = taken.action {
            ms.hash(&mut self.outline);
        }
    }
}

fn alike(one: Action, other: Action) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

/// No bits, all bits, each bit alone, and a few dozen random ones.
fn entropies() -> impl Iterator<Item = u64> {
    let random = std::iter::successors(Some(mix(ENTROPY)), |entropy| Some(mix(*entropy)));
    [0, u64::MAX].into_iter().chain((0..u64::BITS).map(|bit| 1 << bit)).chain(random.take(32))
}

/// SplitMix64's output function, so that two entropies in a row have nothing in common.
fn mix(entropy: u64) -> u64 {
    let mut z = entropy.wrapping_add(ENTROPY);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
