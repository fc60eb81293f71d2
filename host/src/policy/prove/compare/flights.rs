//! Flights under both policies: the same events to both machines, for as long as their actions
//! agree.
//!
//! The machines are walked breadth first and together, so the first difference that is found has
//! the shortest sequence of events. After a difference the store and the origin would differ too,
//! so the walk does not go on there.

use std::collections::HashSet;
use std::mem::discriminant;

use crate::policy::{
    Action, Cause, Event, Failure, LoadReport, Memo, Moment, Request, Sighting, Turn,
};

use super::ledger::{Aspect, Differences, Example};
use super::{Pair, entropies, words};

/// Events in a row. The longest way of the default policy to an answer is nine without waits; the
/// rest lets patience run out.
const DEPTH: u32 = 16;

/// Traps after which a walk ends: each may have cost a whole deadline.
const TRAPS_LIMIT: u32 = 8;

/// How long a value has been stale, in milliseconds: the windows of most entities end between two
/// of these.
const PAST_MS: [u32; 7] = [1, 500, 5_000, 45_000, 240_000, 2_400_000, 80_000_000];

const COST_MS: u32 = 20;

/// A point to which the same events have led both machines.
struct PairState {
    old: Memo,
    new: Memo,
    path: Vec<Event>,
    next: Vec<Event>,
}

/// Walks both through the flights of `request`.
pub(super) fn compare(
    ledger: &mut Differences,
    pair: Pair<'_>,
    entity: &str,
    request: &Request,
    deadline_ms: u32,
) {
    let [Ok(Ok(old)), Ok(Ok(new))] = [pair.old, pair.new].map(|policy| policy.plan(request)) else {
        return;
    };
    let mut walk = PairWalk { ledger, pair, entity, traps: 0 };
    let mut next = looks();
    next.push(Event::Bypassed);
    let mut layer = vec![PairState { old: old.memo, new: new.memo, path: Vec::new(), next }];
    for (depth, entropy) in (0..DEPTH).zip(entropies(1)) {
        let elapsed_ms = deadline_ms / DEPTH * depth;
        let moment = Moment { elapsed_ms, left_ms: deadline_ms - elapsed_ms, entropy };
        layer = walk.layer(layer, moment);
    }
}

struct PairWalk<'a> {
    ledger: &'a mut Differences,
    pair: Pair<'a>,
    entity: &'a str,
    traps: u32,
}

impl PairWalk<'_> {
    fn layer(&mut self, layer: Vec<PairState>, moment: Moment) -> Vec<PairState> {
        let (mut below, mut met) = (Vec::new(), HashSet::new());
        for node in layer {
            for &event in &node.next {
                if self.traps >= TRAPS_LIMIT {
                    return Vec::new();
                }
                let Some(next) = self.step(&node, moment, event) else { continue };
                let first = next.next.first().copied().map(words::event);
                if met.insert((words_of(next.old), words_of(next.new), first)) {
                    below.push(next);
                }
            }
        }
        below
    }

    /// Gives one event to both; `None` if they do not go on together.
    fn step(&mut self, node: &PairState, moment: Moment, event: Event) -> Option<PairState> {
        let old = self.pair.old.step(node.old, moment, event);
        let new = self.pair.new.step(node.new, moment, event);
        let path: Vec<Event> = node.path.iter().copied().chain([event]).collect();
        let example = || Example::new(words::sequence(&path), words::turn(&old), words::turn(&new));
        let (Ok(before), Ok(after)) = (&old, &new) else {
            self.traps += 1;
            let difference = (old.is_ok() != new.is_ok()).then(example);
            self.ledger.compared(self.entity, Aspect::Answer, difference);
            return None;
        };
        let difference = (!is_alike(before.action, after.action)).then(example);
        self.ledger.compared(self.entity, Aspect::Action, difference);
        if !same_kind(before.action, after.action) {
            return None;
        }
        let next = follow(*before, event);
        (!next.is_empty()).then_some(PairState { old: before.memo, new: after.memo, path, next })
    }
}

/// Whether the two actions are of the same kind, so that the same events may follow.
pub(crate) fn same_kind(old: Action, new: Action) -> bool {
    discriminant(&old) == discriminant(&new)
}

/// Whether the two actions are equal; lifetimes are compared apart.
pub(crate) fn is_alike(old: Action, new: Action) -> bool {
    let fills = matches!((old, new), (Action::Fill(_), Action::Fill(_)));
    fills || old == new
}

/// What may happen after a turn by the contract. Empty after the flight's end. A refresh begins
/// with the event that was found.
fn follow(turn: Turn, event: Event) -> Vec<Event> {
    match turn.action {
        Action::Look => looks(),
        Action::Claim(_) => {
            let mut events = vec![Event::LeaseGranted, Event::LeaseHeld(250)];
            events.extend([Event::StoreUnavailable, Event::Found(FRESH), Event::Found(past(500))]);
            events
        }
        Action::Wait(_) => vec![Event::Waited],
        Action::Load | Action::LoadUncached => loads(),
        Action::Fill(_) => vec![Event::Filled, Event::FillRejected, Event::StoreUnavailable],
        Action::AnswerAndRefresh => vec![event],
        Action::Answer | Action::Fail => Vec::new(),
    }
}

fn looks() -> Vec<Event> {
    let due = Sighting { refresh_ms: 0, ..FRESH };
    let gone = Sighting { negative: true, ..FRESH };
    let mut events = vec![Event::Absent, Event::StoreUnavailable];
    events.extend([FRESH, due, gone].map(Event::Found));
    events.extend(PAST_MS.map(|past_ms| Event::Found(past(past_ms))));
    events.push(Event::Found(Sighting { negative: true, ..past(500) }));
    events
}

fn loads() -> Vec<Event> {
    let report = |negative| Event::Loaded(LoadReport { cost_ms: COST_MS, bytes: 1_000, negative });
    let failed = |cause, at_hand| Event::LoadFailed(Failure { cause, at_hand });
    let mut events = vec![report(false), report(true), failed(Cause::Unavailable, None)];
    events.extend(
        [Cause::Timeout, Cause::Overloaded, Cause::Rejected].map(|cause| failed(cause, None)),
    );
    events.extend(PAST_MS.map(|past_ms| failed(Cause::Unavailable, Some(past(past_ms)))));
    events
}

const FRESH: Sighting = Sighting {
    age_ms: 1_000,
    refresh_ms: 10_000,
    fresh_ms: 20_000,
    past_ms: 0,
    cost_ms: COST_MS,
    negative: false,
};

fn past(past_ms: u32) -> Sighting {
    Sighting { age_ms: 20_000 + past_ms, refresh_ms: 0, fresh_ms: 0, past_ms, ..FRESH }
}

fn words_of(memo: Memo) -> [u32; 4] {
    let Memo { phase, since_ms, terms, note } = memo;
    [phase, since_ms, terms, note]
}
