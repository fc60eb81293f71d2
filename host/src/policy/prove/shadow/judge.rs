//! Asks the shadow what the policy in force was asked, and compares.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::policy::prove::compare::{
    Aspect, Difference, Differences, Example, compare_plans, compare_targets, entity_of, is_alike,
    same_kind, words,
};
use crate::policy::{Action, Change, Decider, Event, Generation, Memo, Named, Plan, Trap, Turn};

use super::TRAPS_LIMIT;
use super::trail::{Flown, RecordedTurn};

/// Examples that are kept of each finding.
const EXAMPLES: usize = 3;

pub(super) struct Judge {
    policy: Arc<dyn Decider>,
    state: Mutex<JudgeState>,
}

struct JudgeState {
    ledger: Differences,
    tally: ShadowTally,
}

/// What has been counted.
#[derive(Debug, Clone, Default)]
pub(super) struct ShadowTally {
    pub(super) flights: u64,
    pub(super) changes: u64,
    pub(super) calls: u64,
    pub(super) traps: u64,
    pub(super) spent: Duration,
    pub(super) slowest: Duration,
    pub(super) ended: Option<String>,
    pub(super) findings: Vec<Difference>,
}

impl Judge {
    pub(super) fn new(policy: Arc<dyn Decider>) -> Self {
        let state =
            JudgeState { ledger: Differences::new(EXAMPLES), tally: ShadowTally::default() };
        Self { policy, state: Mutex::new(state) }
    }

    /// What was found until now.
    pub(super) fn tally(&self) -> ShadowTally {
        let state = self.state();
        ShadowTally { findings: state.ledger.findings().cloned().collect(), ..state.tally.clone() }
    }

    /// Whether the shadow trapped too often to go on.
    pub(super) fn gives_up(&self) -> bool {
        self.state().tally.ended.is_some()
    }

    /// Gives the same change to both policies.
    pub(super) fn change(&self, change: &Change, generation: &Generation) {
        let old = generation.uncounted().invalidate(change);
        let new = self.call(|policy| policy.invalidate(change));
        let mut state = self.state();
        state.tally.changes += 1;
        compare_targets(&mut state.ledger, change, &old, &new);
    }

    /// Gives the shadow the same events for as long as its actions are of the same kind. After a
    /// different action other events would have happened.
    pub(super) fn flight(&self, flown: &Flown) {
        self.follow(flown);
        // A refresh belongs to the flight that began it.
        self.state().tally.flights += u64::from(flown.before.is_empty());
    }

    fn follow(&self, flown: &Flown) {
        let plan = self.call(|policy| policy.plan(&flown.request));
        if flown.before.is_empty() {
            let mut state = self.state();
            compare_plans(&mut state.ledger, &flown.request, &Ok(Ok(as_plan(&flown.plan))), &plan);
        }
        let Ok(Ok(plan)) = plan else { return };
        let mut memo = plan.memo;
        for turned in &flown.before {
            match self.step(memo, turned) {
                Ok(turn) if follows(turned, &turn) => memo = turn.memo,
                // This difference is found when the flight that began the refresh is compared.
                Ok(_) | Err(_) => return,
            }
        }
        for (at, turned) in flown.turns.iter().enumerate() {
            let answer = self.step(memo, turned);
            self.compare(flown, at, turned, &answer);
            match answer {
                Ok(turn) if follows(turned, &turn) => memo = turn.memo,
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn compare(
        &self,
        flown: &Flown,
        at: usize,
        turned: &RecordedTurn,
        answer: &Result<Turn, Trap>,
    ) {
        let entity = entity_of(&flown.request);
        let events: Vec<Event> = flown.turns[..=at].iter().map(|turned| turned.event).collect();
        let refresh = if flown.before.is_empty() { "" } else { "refresh: " };
        let example = |old: String, new: String| {
            Example::new(format!("{refresh}{}", words::sequence(&events)), old, new)
        };
        let mut state = self.state();
        match (turned.action, answer) {
            (None, Err(_)) => state.ledger.compared(entity, Aspect::Answer, None),
            (None, Ok(_)) | (Some(_), Err(_)) => {
                let old = turned.action.map_or("a trap".to_owned(), words::action);
                let difference = Some(example(old, words::turn(answer)));
                state.ledger.compared(entity, Aspect::Answer, difference);
            }
            (Some(old), Ok(Turn { action: new, .. })) => {
                let (old_shown, new_shown) = (words::action(old), words::action(*new));
                let differs = !is_alike(old, *new);
                let action = differs.then(|| example(old_shown.clone(), new_shown.clone()));
                state.ledger.compared(entity, Aspect::Action, action);
                if let (Action::Fill(before), Action::Fill(after)) = (old, *new) {
                    let moved = (before != after).then(|| example(old_shown, new_shown));
                    state.ledger.compared(entity, Aspect::Lifetime, moved);
                }
            }
        }
    }

    fn step(&self, memo: Memo, turned: &RecordedTurn) -> Result<Turn, Trap> {
        self.call(|policy| policy.step(memo, turned.moment, turned.event))
    }

    fn call<R>(&self, call: impl FnOnce(&dyn Decider) -> Result<R, Trap>) -> Result<R, Trap> {
        let began = Instant::now();
        let answer = call(&*self.policy);
        let took = began.elapsed();
        let tally = &mut self.state().tally;
        tally.calls += 1;
        tally.spent += took;
        tally.slowest = tally.slowest.max(took);
        if let Err(trap) = &answer {
            tally.traps += 1;
            if tally.traps >= TRAPS_LIMIT {
                tally.ended = Some(format!("it trapped {} times, at last: {trap}", tally.traps));
            }
        }
        answer
    }

    /// A panic leaves nothing in the state half done.
    fn state(&self) -> MutexGuard<'_, JudgeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn follows(turned: &RecordedTurn, turn: &Turn) -> bool {
    turned.action.is_some_and(|action| same_kind(action, turn.action))
}

fn as_plan(named: &Named) -> Plan {
    Plan {
        key: named.key.to_string(),
        tags: named.tags.iter().map(ToString::to_string).collect(),
        row_columns: named.row_columns.clone(),
        memo: named.memo,
    }
}
