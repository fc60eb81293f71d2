//! What must hold between the lines of one comparison.

use serde::Serialize;

use super::compare::{Comparison, Line, Outcome, Scenario};
use super::peer::{Peer, threads};

/// One thing that must hold.
#[derive(Debug, Clone, Serialize)]
pub struct Claim {
    /// The claim in words.
    pub what: String,
    /// What was measured.
    pub value: f64,
    /// What it must be.
    pub bar: Bar,
    /// Whether the value meets the bar.
    pub holds: bool,
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bar {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

impl Bar {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bar) => value >= bar,
            Self::AtMost(bar) => value <= bar,
        }
    }
}

/// Judges a comparison; figures that were not measured are not judged. Servers that can choose
/// their threads are compared with servers of as many threads.
#[must_use]
pub fn claims(comparison: &Comparison) -> Vec<Claim> {
    let mut claims = Vec::new();
    for threads in threads() {
        let with = |what| match threads {
            1 => format!("{what}, one thread"),
            more => format!("{what}, {more} threads"),
        };
        let on = on_threads(comparison, threads).into_iter();
        claims.extend(on.map(|(what, value, bar)| (with(what), value, bar)));
    }
    let whatever = beside_others(comparison).into_iter();
    claims.extend(whatever.map(|(what, value, bar)| (what.to_owned(), value, bar)));
    let judged = claims.into_iter().filter_map(|(what, value, bar)| {
        let value = value?;
        Some(Claim { what, value, bar, holds: bar.holds(value) })
    });
    judged.collect()
}

type Unjudged = (&'static str, Option<f64>, Bar);

fn on_threads(comparison: &Comparison, threads: usize) -> [Unjudged; 5] {
    let near = Side::of(comparison, |peer| peer == Peer::CorralNear(threads));
    let store = Side::of(comparison, |peer| peer == Peer::CorralStore(threads));
    let constant = Side::of(comparison, |peer| peer == Peer::Constant(threads));
    let by_hand = Side::of(comparison, |peer| peer == Peer::HandWritten(threads));
    let (least, most) = (Bar::AtLeast, Bar::AtMost);
    [
        (
            "near hits per second, of the constant's",
            ratio(near.rate(), constant.rate()),
            least(0.9),
        ),
        (
            "store hits per second, of the hand-written one's",
            ratio(store.rate(), by_hand.rate()),
            least(1.0),
        ),
        (
            "CPU of a store hit, of the hand-written one's",
            ratio(store.cpu(), by_hand.cpu()),
            most(1.0),
        ),
        (
            "p50 of a store hit, of the hand-written one's",
            ratio(store.p50(), by_hand.p50()),
            most(1.1),
        ),
        ("p50 of a near hit, of the constant's", ratio(near.p50(), constant.p50()), most(1.1)),
    ]
}

fn beside_others(comparison: &Comparison) -> [Unjudged; 6] {
    let near = Side::of(comparison, |peer| matches!(peer, Peer::CorralNear(_)));
    let store = Side::of(comparison, |peer| matches!(peer, Peer::CorralStore(_)));
    let nginx = Side::of(comparison, |peer| peer == Peer::Nginx);
    let varnish = Side::of(comparison, |peer| peer == Peer::Varnish);
    let (least, most) = (Bar::AtLeast, Bar::AtMost);
    let start = comparison.start.as_ref();
    let (ready, first) =
        (start.map(|start| start.ready_ms.median), start.map(|start| start.first_ms.median));
    [
        ("near hits per second, of nginx's", ratio(near.rate(), nginx.rate()), least(1.0)),
        ("near hits per second, of Varnish's", ratio(near.rate(), varnish.rate()), least(2.0)),
        (
            "policy for a store hit, microseconds",
            store.most(|line| line.policy_us_per_request),
            most(1.0),
        ),
        (
            "policy calls for a near hit",
            near.most(|line| line.policy_calls_per_request),
            most(0.001),
        ),
        ("start to first answer, milliseconds", ready, most(50.0)),
        ("the same where it never ran before", first, most(50.0)),
    ]
}

fn ratio(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? / other?)
}

/// The lines of one kind of server; the best of them is compared.
struct Side<'a>(Vec<&'a Line>);

impl<'a> Side<'a> {
    fn of(comparison: &'a Comparison, is: impl Fn(Peer) -> bool) -> Self {
        Self(comparison.lines.iter().filter(|line| is(line.peer())).collect())
    }

    fn rate(&self) -> Option<f64> {
        self.best(Scenario::Full, f64::max, |outcome| outcome.requests_per_second.median)
    }

    fn cpu(&self) -> Option<f64> {
        self.best(Scenario::Full, f64::min, |outcome| outcome.cpu_us.median)
    }

    fn p50(&self) -> Option<f64> {
        self.best(Scenario::Single, f64::min, |outcome| outcome.p50_us.median)
    }

    fn best(
        &self,
        scenario: Scenario,
        better: fn(f64, f64) -> f64,
        of: fn(&Outcome) -> f64,
    ) -> Option<f64> {
        let outcomes = self.0.iter().filter_map(|line| line.outcome(scenario));
        outcomes.map(of).reduce(better)
    }

    fn most(&self, of: impl Fn(&Line) -> Option<f64>) -> Option<f64> {
        self.0.iter().filter_map(|line| of(line)).reduce(f64::max)
    }
}
