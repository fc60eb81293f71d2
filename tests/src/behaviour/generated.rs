//! Generated calls, sensible ones and others, to compare two policies by.

use corral_host::policy::{
    Argument, Cause, Change, Column, ColumnValue, Decider, Event, Failure, LoadReport, Logged,
    Memo, Moment, Operation, Query, Request, Row, RowChange, Sighting, Subject, Trap, Written,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::Value;

use crate::wire::recorded;

/// A call with its arguments.
#[derive(Debug)]
pub enum Call {
    /// A call of `plan`.
    Plan(Request),
    /// A call of `row-tags`.
    RowTags(Request, Vec<Row>),
    /// A call of `step`.
    Step(Memo, Moment, Event),
    /// A call of `invalidate`.
    Invalidate(Change),
}

/// Asks both policies the same `calls`, generated from `seed`. Returns the first call that they
/// answer differently, and how; `None` if there is no such call.
#[must_use]
pub fn first_difference(
    left: &dyn Decider,
    right: &dyn Decider,
    seed: u64,
    calls: usize,
) -> Option<String> {
    let mut generator = Generator::new(seed);
    (0..calls).find_map(|_| {
        let call = generator.call();
        let (left, right) = (call.answer(left), call.answer(right));
        (left != right).then(|| format!("{call:?}\n  {left}\n  {right}"))
    })
}

/// The same without lifetimes and the order of targets: policies may draw lifetimes in ways of
/// their own.
///
/// # Errors
/// When one of them traps.
pub fn first_other_decision(
    left: &dyn Decider,
    right: &dyn Decider,
    seed: u64,
    calls: usize,
) -> Result<Option<String>, Trap> {
    let mut generator = Generator::new(seed);
    for _ in 0..calls {
        let call = generator.call();
        let (left, right) = (recorded(&call, left)?, recorded(&call, right)?);
        let [one, other] = [left, right].map(decided);
        if one != other {
            return Ok(Some(format!("{one}\n{other}")));
        }
    }
    Ok(None)
}

fn decided(mut call: Value) -> Value {
    if let Some(targets) = call["answer"].as_array_mut() {
        targets.sort_by_key(Value::to_string);
    }
    let turn = &mut call["answer"];
    if turn["action"]["tag"] == "fill" {
        turn["action"]["val"].take();
    }
    if let Some(note) = turn.pointer_mut("/memo/note") {
        // What a policy notes for itself is not a decision.
        note.take();
    }
    call
}

impl Call {
    /// The answer as text, traps and refusals included: two answers are alike if their texts are.
    fn answer(&self, policy: &dyn Decider) -> String {
        match self {
            Self::Plan(request) => format!("{:?}", policy.plan(request)),
            Self::RowTags(request, rows) => format!("{:?}", policy.row_tags(request, rows)),
            Self::Step(memo, moment, event) => {
                format!("{:?}", policy.step(*memo, *moment, *event))
            }
            Self::Invalidate(change) => format!("{:?}", policy.invalidate(change)),
        }
    }
}

/// Generates calls, the same for the same seed.
pub struct Generator(StdRng);

impl Generator {
    /// The generator of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// The next call.
    pub fn call(&mut self) -> Call {
        match self.0.random_range(0..4) {
            0 => Call::Plan(self.request()),
            1 => {
                let request = self.request();
                Call::RowTags(request, self.several(|g| g.several(Self::value)))
            }
            2 => Call::Step(self.memo(), self.moment(), self.event()),
            _ => Call::Invalidate(self.change()),
        }
    }

    fn request(&mut self) -> Request {
        if self.0.random_bool(0.2) {
            let (sql, tags) = (self.text(), self.several(Self::text));
            let query = Query { sql, ttl_ms: self.number(), tags };
            return Request { subject: Subject::Query(query), arguments: self.arguments() };
        }
        let (entity, params) = self.entity();
        let mut arguments: Vec<Argument> = params
            .iter()
            .map(|param| Argument { name: (*param).into(), value: self.value() })
            .collect();
        if self.0.random_bool(0.1) {
            arguments = self.arguments();
        }
        if self.0.random_bool(0.5) {
            arguments.reverse();
        }
        Request { subject: Subject::Entity(entity.into()), arguments }
    }

    fn entity(&mut self) -> (&'static str, &'static [&'static str]) {
        self.one(&[
            ("user.profile", &["id"] as &[&str]),
            ("order.list", &["user", "page"]),
            ("catalogue", &[]),
            ("nobody", &["id"]),
            ("", &[]),
        ])
    }

    fn change(&mut self) -> Change {
        let row = |g: &mut Self| RowChange { before: g.columns(), after: g.columns() };
        if self.0.random_bool(0.2) {
            let relation = self.one(&["public.users", "teams", ""]).into();
            let operation = self.one(&[
                Operation::Inserted,
                Operation::Updated,
                Operation::Deleted,
                Operation::Truncated,
            ]);
            return Change::Logged(Logged { relation, operation, rows: self.several(row) });
        }
        Change::Written(Written {
            entity: self.entity().0.into(),
            write: self.one(&["rename", "move", "remove"]).into(),
            arguments: self.arguments(),
            rows: self.several(row),
        })
    }

    fn columns(&mut self) -> Vec<Column> {
        self.arguments()
            .into_iter()
            .map(|Argument { name, value }| {
                let known = value.map_or(ColumnValue::Null, ColumnValue::Text);
                let value = if self.0.random_bool(0.1) { ColumnValue::Unknown } else { known };
                Column { name, value }
            })
            .collect()
    }

    fn arguments(&mut self) -> Vec<Argument> {
        self.several(|g| Argument {
            name: g.one(&["id", "name", "team", "team_id", "user", "page", "é", ""]).into(),
            value: g.value(),
        })
    }

    /// Any phase and a few that do not exist, any entity and a few that do not exist.
    fn memo(&mut self) -> Memo {
        let terms = match self.0.random_range(0..4) {
            0 => self.0.random_range(65_530..65_600),
            1 => self.number(),
            _ => self.0.random_range(0..4),
        };
        Memo {
            phase: self.0.random_range(0..13) | self.0.random_range(0..5) << 4,
            since_ms: self.number(),
            terms,
            note: self.number(),
        }
    }

    fn moment(&mut self) -> Moment {
        let (elapsed_ms, left_ms) = (self.number(), self.number());
        Moment { elapsed_ms, left_ms, entropy: self.0.next_u64() }
    }

    fn event(&mut self) -> Event {
        match self.0.random_range(0..11) {
            0 => Event::Absent,
            1 => Event::Found(self.sighting()),
            2 => Event::Bypassed,
            3 => Event::StoreUnavailable,
            4 => Event::LeaseGranted,
            5 => Event::LeaseHeld(self.number()),
            6 => Event::Waited,
            7 => {
                let (cost_ms, bytes) = (self.number(), self.number());
                Event::Loaded(LoadReport { cost_ms, bytes, negative: self.0.random() })
            }
            8 => {
                let causes =
                    [Cause::Unavailable, Cause::Timeout, Cause::Overloaded, Cause::Rejected];
                let at_hand = self.0.random_bool(0.7).then(|| self.sighting());
                Event::LoadFailed(Failure { cause: self.one(&causes), at_hand })
            }
            9 => Event::Filled,
            _ => Event::FillRejected,
        }
    }

    fn sighting(&mut self) -> Sighting {
        Sighting {
            age_ms: self.number(),
            refresh_ms: self.number(),
            fresh_ms: self.number(),
            past_ms: self.number(),
            cost_ms: self.number(),
            negative: self.0.random(),
        }
    }

    /// Limits of the type, usual numbers, and any number.
    fn number(&mut self) -> u32 {
        match self.0.random_range(0..4) {
            0 => self.one(&[0, 1, u32::MAX - 1, u32::MAX]),
            1 => self.0.random(),
            _ => self.0.random_range(0..100_000),
        }
    }

    fn value(&mut self) -> Option<String> {
        self.0.random_bool(0.9).then(|| self.text())
    }

    fn text(&mut self) -> String {
        match self.0.random_range(0..4) {
            0 => self.0.random_range(0..1_000).to_string(),
            1 => {
                let length = self.0.random_range(0..600);
                "xé:~".chars().cycle().take(length).collect()
            }
            2 => self.several(|g| g.0.random::<char>()).into_iter().collect(),
            _ => self.one(&["", "42:admin", "{x}", "a b", "\n", "~", "%7E", "\0", "😀"]).into(),
        }
    }

    fn several<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.0.random_range(0..4)).map(|_| make(self)).collect()
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        // No list here is empty.
        *of.choose(&mut self.0).unwrap_or(&of[0])
    }
}
