//! How long values live under both policies, over the whole range of entropy.

use serde::Serialize;

use crate::policy::{Action, Decider, Event, Lifetime, LoadReport, Memo, Moment, Request};

use super::ledger::{Aspect, Differences, Example};
use super::{Pair, entropies, words};

/// Draws of each lifetime, so many that the mean of a jitter of 20 % is right to half a per cent.
const DRAWS: usize = 1_000;

/// Steps within which an undisturbed flight has filled; the default policy takes four.
const STEPS: usize = 16;

/// Size of the value that is loaded.
const BYTES: u32 = 1_000;

/// The conditions of a load.
#[derive(Debug, Clone, Copy)]
pub(super) struct LoadTerms {
    pub(super) deadline_ms: u32,
    pub(super) cost_ms: u32,
}

/// The lifetimes of one entity, if they differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shift {
    /// The entity.
    pub entity: String,
    /// Whether the lifetimes are those of a row that does not exist.
    pub negative: bool,
    /// Under the old policy; `None` if it never filled.
    pub old: Option<Spread>,
    /// Under the new policy; `None` if it never filled.
    pub new: Option<Spread>,
}

/// How lifetimes spread over entropy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// How long it is fresh.
    pub fresh_ms: Extent,
    /// How long it is kept after that.
    pub stale_ms: Extent,
    /// The moment from which a hit refreshes it early.
    pub refresh_ms: Extent,
}

/// The range of many draws.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Extent {
    /// Their mean, rounded.
    pub mean: u32,
    /// The smallest.
    pub min: u32,
    /// The largest.
    pub max: u32,
}

/// Compares draw by draw, and sums up the differences apart for a row that exists and for one that
/// does not.
pub(super) fn compare(
    ledger: &mut Differences,
    pair: Pair<'_>,
    entity: &str,
    request: &Request,
    terms: LoadTerms,
) -> Vec<Shift> {
    let mut shifts = Vec::new();
    for negative in [false, true] {
        let report = LoadReport { cost_ms: terms.cost_ms, bytes: BYTES, negative };
        let [old, new] = [pair.old, pair.new].map(|policy| draws(policy, request, terms, report));
        let mut moved = old.len() != new.len();
        for (before, after) in old.iter().zip(&new) {
            let differs = before != after;
            let row = if negative { "no row" } else { "a row" };
            let difference = differs.then(|| {
                let at = format!("{row} of {}", words::request(request));
                Example::new(at, words::lifetime(*before), words::lifetime(*after))
            });
            ledger.compared(entity, Aspect::Lifetime, difference);
            moved |= differs;
        }
        if moved {
            let (old, new) = (Spread::of(&old), Spread::of(&new));
            shifts.push(Shift { entity: entity.to_owned(), negative, old, new });
        }
    }
    shifts
}

/// The lifetimes that a fill at this point draws with many different random bits; `turn` leads to
/// the fill.
pub(crate) fn spread(
    policy: &dyn Decider,
    memo: Memo,
    moment: Moment,
    event: Event,
) -> Vec<Lifetime> {
    let draw = |entropy| {
        let turn = policy.step(memo, Moment { entropy, ..moment }, event).ok()?;
        turn.action.lifetime()
    };
    entropies(0).take(DRAWS).map_while(draw).collect()
}

/// Lifetimes of a read whose flight is not disturbed. Empty if the flight never fills.
fn draws(
    policy: &dyn Decider,
    request: &Request,
    terms: LoadTerms,
    report: LoadReport,
) -> Vec<Lifetime> {
    let Ok(Ok(plan)) = policy.plan(request) else { return Vec::new() };
    let moment = Moment { elapsed_ms: 0, left_ms: terms.deadline_ms, entropy: 0 };
    let (mut memo, mut event) = (plan.memo, Event::Absent);
    for _ in 0..STEPS {
        let Ok(turn) = policy.step(memo, moment, event) else { break };
        let next = match turn.action {
            Action::Look => Event::Absent,
            Action::Claim(_) => Event::LeaseGranted,
            Action::Wait(_) => Event::Waited,
            Action::Load | Action::LoadUncached => Event::Loaded(report),
            Action::Fill(_) => return spread(policy, memo, moment, event),
            Action::Answer | Action::AnswerAndRefresh | Action::Fail => break,
        };
        (memo, event) = (turn.memo, next);
    }
    Vec::new()
}

impl Spread {
    /// `None` if there are no draws.
    pub(crate) fn of(draws: &[Lifetime]) -> Option<Self> {
        Some(Self {
            fresh_ms: Extent::of(draws.iter().map(|draw| draw.fresh_ms))?,
            stale_ms: Extent::of(draws.iter().map(|draw| draw.stale_ms))?,
            refresh_ms: Extent::of(draws.iter().map(|draw| draw.refresh_ms))?,
        })
    }
}

impl Extent {
    fn of(values: impl ExactSizeIterator<Item = u32> + Clone) -> Option<Self> {
        let count = u64::try_from(values.len()).ok().filter(|count| *count > 0)?;
        let sum: u64 = values.clone().map(u64::from).sum();
        let mean = u32::try_from((sum + count / 2) / count).unwrap_or(u32::MAX);
        Some(Self { mean, min: values.clone().min()?, max: values.max()? })
    }
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.min == self.max {
            return write!(f, "{}", self.mean);
        }
        write!(f, "{} ({} to {})", self.mean, self.min, self.max)
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { fresh_ms, stale_ms, refresh_ms } = self;
        write!(f, "fresh {fresh_ms}, stale {stale_ms}, refresh at {refresh_ms}")
    }
}
