//! The candidate that is asked: two instances, a clock, and the cost of the calls.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::policy::run::background::patience;
use crate::policy::run::calls::Function;
use crate::policy::run::engine::processor_time;
use crate::policy::{
    Change, Decider, Event, Memo, Moment, Plan, Refusal, Request, Row, Target, Trap, Turn,
};

/// An exploration ends after so many times its time even if its thread hardly ran, since a machine
/// may be starved of processors.
const PATIENCE: u32 = 25;

/// Traps after which the exploration ends: each may have cost a whole deadline.
const TRAPS_LIMIT: u32 = 8;

/// The slowest call of each function, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Slowest {
    /// Of `plan`.
    pub plan_us: u64,
    /// Of `row-tags`.
    pub row_tags_us: u64,
    /// Of `step`.
    pub step_us: u64,
    /// Of `invalidate`.
    pub invalidate_us: u64,
}

/// Two instances of a candidate, which have to agree.
pub(super) struct Twins<'p> {
    pair: [&'p dyn Decider; 2],
    began: Instant,
    /// The thread's processor time at the beginning. Time in which it is preempted does not count
    /// against the candidate.
    used: Duration,
    time: Duration,
    pub(super) decisions: u64,
    pub(super) slowest: Slowest,
    traps: u32,
    left_out: bool,
}

/// Which instance is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    First,
    Second,
}

/// What `row-tags` answers.
type RowTags = Result<Vec<String>, Refusal>;

/// Why a call has no single answer.
pub(super) enum Unclear<R> {
    Trap(Trap),
    /// The same call was made again and had another answer.
    Differs {
        how: &'static str,
        one: R,
        other: R,
    },
}

impl<'p> Twins<'p> {
    pub(super) fn new(pair: [&'p dyn Decider; 2], time: Duration) -> Self {
        Self {
            pair,
            began: Instant::now(),
            used: processor_time(),
            time,
            decisions: 0,
            slowest: Slowest::default(),
            traps: 0,
            left_out: false,
        }
    }

    /// Whether to stop: too many traps, or this share of the time, in hundredths, is used up.
    pub(super) fn is_over(&mut self, hundredths: u32) -> bool {
        let share = self.time * hundredths / 100;
        let used = processor_time().saturating_sub(self.used);
        let over = self.traps >= TRAPS_LIMIT
            || used >= share
            || self.began.elapsed() >= share * patience(PATIENCE);
        self.left_out |= over;
        over
    }

    /// The time for the whole exploration.
    pub(super) fn time(&self) -> Duration {
        self.time
    }

    /// Notes that something was left out, as if there had been no time for it.
    pub(super) fn leave_out(&mut self) {
        self.left_out = true;
    }

    /// Whether something was left out, because the time was over or because too many calls trapped.
    pub(super) fn has_left_out(&self) -> bool {
        self.left_out
    }

    pub(super) fn plan(
        &mut self,
        which: Which,
        request: &Request,
    ) -> Result<Result<Plan, Refusal>, Trap> {
        self.ask(which, Function::Plan, &|policy| policy.plan(request))
    }

    pub(super) fn row_tags(
        &mut self,
        request: &Request,
        rows: &[Row],
    ) -> Result<RowTags, Unclear<RowTags>> {
        self.agreed(Function::RowTags, &|policy| policy.row_tags(request, rows))
    }

    pub(super) fn invalidate(
        &mut self,
        change: &Change,
    ) -> Result<Vec<Target>, Unclear<Vec<Target>>> {
        self.agreed(Function::Invalidate, &|policy| policy.invalidate(change))
    }

    pub(super) fn step(&mut self, memo: Memo, moment: Moment, event: Event) -> Result<Turn, Trap> {
        self.ask(Which::First, Function::Step, &|policy| policy.step(memo, moment, event))
    }

    /// As [`Twins::step`], but also asks twice and asks the other instance: the answers must agree.
    pub(super) fn agreed_step(
        &mut self,
        memo: Memo,
        moment: Moment,
        event: Event,
    ) -> Result<Turn, Unclear<Turn>> {
        self.agreed(Function::Step, &|policy| policy.step(memo, moment, event))
    }

    /// Asks one instance twice and the other one once.
    fn agreed<R: PartialEq>(
        &mut self,
        function: Function,
        call: &dyn Fn(&dyn Decider) -> Result<R, Trap>,
    ) -> Result<R, Unclear<R>> {
        let one = self.ask(Which::First, function, call).map_err(Unclear::Trap)?;
        for (which, how) in
            [(Which::First, "asked twice"), (Which::Second, "asked of another instance")]
        {
            let other = self.ask(which, function, call).map_err(Unclear::Trap)?;
            if other != one {
                return Err(Unclear::Differs { how, one, other });
            }
        }
        Ok(one)
    }

    fn ask<R>(
        &mut self,
        which: Which,
        function: Function,
        call: &dyn Fn(&dyn Decider) -> Result<R, Trap>,
    ) -> Result<R, Trap> {
        self.decisions += 1;
        let began = Instant::now();
        let answer = call(self.pair[which as usize]);
        self.slowest.note(function, began.elapsed());
        self.traps += u32::from(answer.is_err());
        answer
    }
}

impl Slowest {
    fn note(&mut self, function: Function, took: Duration) {
        let slowest = match function {
            Function::Plan => &mut self.plan_us,
            Function::RowTags => &mut self.row_tags_us,
            Function::Step => &mut self.step_us,
            Function::Invalidate => &mut self.invalidate_us,
        };
        *slowest = (*slowest).max(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}
