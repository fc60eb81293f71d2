//! What a trace costs the origin while its entries expire: a trace is replayed over HTTP on two
//! hosts, and the loads are compared with the least that its accesses could have cost.
//!
//! The least is known only if lifetimes are: under [`EXACT`] every value lives for its `ttl`, and
//! that line is judged. Jitter and early refresh cost further loads. Their lines are reported
//! beside it, compared with the least for values that all live for the base.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::least::least_loads;
use crate::fleet::Fleet;
use crate::replay::Replay;
use crate::shop::{self, Shop};
use crate::trace::Trace;

/// Hosts over one store.
const HOSTS: usize = 2;

/// Requests under way at a time, half of them at each host, so that both hosts are asked for a hot
/// key that expired.
const CONNECTIONS: usize = 64;

/// The entity: product pages that expire while the trace runs.
const ENTITY: &str = "product.brief";

/// How many more loads than the least are allowed, as a share of the least.
pub const TOLERANCE: f64 = 0.01;

/// A way to keep product pages.
#[derive(Debug, Clone, Copy)]
pub struct Keeping {
    /// Its name in the report.
    pub name: &'static str,
    /// Whether every value lives for its `ttl`, no more and no less.
    pub exact: bool,
    /// Lines of `[policy.settings]`.
    settings: &'static str,
    /// Lines of the entity; `TTL` stands for the lifetime.
    terms: &'static str,
}

/// Lifetimes are exactly the ttl. This line is judged.
pub const EXACT: Keeping = Keeping {
    name: "fresh for the ttl, exactly, never early",
    exact: true,
    settings: "jitter = 0\nearly_refresh = 0\n",
    terms: "",
};

/// A host without settings.
pub const DEFAULTS: Keeping =
    Keeping { name: "the default jitter and early refresh", exact: false, settings: "", terms: "" };

/// The same, and stale for one more lifetime.
pub const STALE: Keeping = Keeping {
    name: "the defaults, and stale while it is refreshed for one ttl more",
    terms: "stale_while_revalidate = \"TTL\"\n",
    ..DEFAULTS
};

/// How a trace is replayed.
#[derive(Debug, Clone, Copy)]
pub struct Loads {
    /// How long product pages are fresh.
    pub ttl: Duration,
    /// Requests in a second; `None` to send each as soon as the one before is answered.
    pub rate: Option<f64>,
}

/// One way to keep product pages, and what it cost.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// How they are kept.
    pub keeping: &'static str,
    /// Whether the line is judged.
    pub exact: bool,
    /// How long the replay took, in seconds.
    pub seconds: f64,
    /// Loads of the origin.
    pub loads: u64,
    /// Loads in the background.
    pub refreshes: u64,
    /// The least that these accesses could have cost. If lifetimes are not exact, the least for
    /// exact ones.
    pub least: u64,
    /// How many more loads than the least there were, as a share of the least.
    pub more: f64,
    /// Claims of a host that found another host loading, or its value just stored.
    pub met: u64,
    /// Hits over reads.
    pub hit_ratio: f64,
    /// Requests without an answer, or answered with another status than 200.
    pub errors: usize,
    /// Answers with another content than the shop has.
    pub wrong_answers: usize,
    /// Half of the requests took at most so long.
    pub p50_ms: f64,
    /// All but a hundredth took at most so long.
    pub p99_ms: f64,
    /// The first errors and wrong answers.
    pub examples: Vec<String>,
}

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Reads of the trace.
    pub reads: usize,
    /// Different keys among them: what they cost if nothing expires.
    pub keys: usize,
    /// How long product pages are fresh.
    pub ttl_ms: u64,
    /// Requests in a second, as planned; `None` if each was sent as soon as the one before was
    /// answered.
    pub rate: Option<f64>,
    /// A line for each way to keep them.
    pub lines: Vec<Line>,
}

impl Report {
    /// Whether every answer was right, values expired, and a cache with exact lifetimes loaded at
    /// most [`TOLERANCE`] more than the least. A cache that loads less than the least has answered
    /// values that were no longer fresh.
    #[must_use]
    pub fn holds(&self) -> bool {
        let exact = || self.lines.iter().filter(|line| line.exact);
        let expired = |line: &Line| line.least > self.keys as u64;
        let near = |line: &Line| (0.0..=TOLERANCE).contains(&line.more);
        exact().next().is_some()
            && exact().all(|line| expired(line) && near(line))
            && self.lines.iter().all(|line| line.errors == 0 && line.wrong_answers == 0)
    }
}

impl Loads {
    /// Replays the trace once for each way to keep product pages, each time on servers of its own.
    /// `told` is called with each line.
    ///
    /// # Errors
    /// When a server does not come up, or its metrics can't be read.
    pub async fn run(
        &self,
        trace: &Trace,
        keepings: &[Keeping],
        told: impl Fn(&Line),
    ) -> anyhow::Result<Report> {
        let keys = trace.distinct();
        let mut report = Report {
            reads: trace.accesses().len(),
            keys: keys.len(),
            ttl_ms: u64::try_from(self.ttl.as_millis())?,
            rate: self.rate,
            lines: Vec::new(),
        };
        let shop = Shop { users: 1, orders: 1, products: keys.into_iter().collect() };
        for keeping in keepings {
            let line = self.replay(trace, &shop, keeping).await.context(keeping.name)?;
            told(&line);
            report.lines.push(line);
        }
        Ok(report)
    }

    async fn replay(&self, trace: &Trace, shop: &Shop, keeping: &Keeping) -> anyhow::Result<Line> {
        let fleet = Fleet::start(HOSTS, shop, &self.config(keeping)?).await?;
        let replay = Replay {
            urls: fleet.urls(),
            admin_urls: fleet.admin_urls(),
            connections: CONNECTIONS,
            entity: ENTITY.to_owned(),
            rate: self.rate,
        };
        let (summary, accesses) = replay.run_seen(trace.clone(), || ()).await?;
        let loads = summary.origin_loads.context("the hosts count loads")?;
        let least = least_loads(&accesses, self.ttl);
        let (mut refreshes, mut met) = (0.0, 0.0);
        for host in &fleet.hosts {
            let metrics = host.metrics().await?;
            let of_entity = [("entity", ENTITY), ("reason", "refresh")];
            refreshes += metrics.sum_where("corral_origin_loads_total", &of_entity);
            for result in ["held", "found"] {
                met += metrics.sum_where("corral_lease_total", &[("result", result)]);
            }
        }
        Ok(Line {
            keeping: keeping.name,
            exact: keeping.exact,
            seconds: summary.seconds,
            loads,
            refreshes: refreshes.round() as u64,
            least,
            more: beyond(loads, least),
            met: met.round() as u64,
            hit_ratio: summary.hit_ratio,
            errors: summary.errors,
            wrong_answers: summary.wrong_answers,
            p50_ms: summary.p50_ms,
            p99_ms: summary.p99_ms,
            examples: summary.examples,
        })
    }

    fn config(&self, keeping: &Keeping) -> anyhow::Result<String> {
        let Keeping { settings, terms, .. } = keeping;
        let ttl = format!("{}ms", self.ttl.as_millis());
        let terms = terms.replace("TTL", &ttl);
        let read = shop::statement("product.page")?;
        Ok(format!(
            "\n[policy.settings]\n{settings}\n[entity.\"{ENTITY}\"]\nparams = [\"id:int8\"]\n\
             read = \"{read}\"\nttl = \"{ttl}\"\n{terms}deadline = \"10s\"\n"
        ))
    }
}

/// How many more than the least `loads` are, as a share of the least; negative if they are fewer.
fn beyond(loads: u64, least: u64) -> f64 {
    (loads as f64 - least as f64) / least.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(exact: bool, loads: u64) -> Line {
        Line {
            keeping: "as made up",
            exact,
            seconds: 10.0,
            loads,
            refreshes: 0,
            least: 2_000,
            more: beyond(loads, 2_000),
            met: 0,
            hit_ratio: 0.8,
            errors: 0,
            wrong_answers: 0,
            p50_ms: 1.0,
            p99_ms: 2.0,
            examples: Vec::new(),
        }
    }

    fn report(lines: Vec<Line>) -> Report {
        Report { reads: 10_000, keys: 500, ttl_ms: 2_000, rate: None, lines }
    }

    #[test]
    fn a_hundredth_more_than_the_least_is_allowed_and_no_load_beyond_it() {
        assert!(report(vec![line(true, 2_000)]).holds());
        assert!(report(vec![line(true, 2_020)]).holds());
        assert!(!report(vec![line(true, 2_021)]).holds());
    }

    #[test]
    fn fewer_loads_than_the_least_were_answers_past_their_lifetime() {
        assert!(!report(vec![line(true, 1_999)]).holds());
    }

    #[test]
    fn lifetimes_that_are_drawn_are_told_and_not_judged() {
        assert!(report(vec![line(true, 2_010), line(false, 2_500), line(false, 1_900)]).holds());
        assert!(!report(vec![line(false, 2_000)]).holds(), "nothing was judged");
    }

    #[test]
    fn a_replay_in_which_nothing_expired_shows_nothing() {
        let keys = 2_000;
        assert!(!Report { keys, ..report(vec![line(true, 2_000)]) }.holds());
    }

    #[test]
    fn one_wrong_answer_or_error_is_too_many_on_any_line() {
        let (right, wrong) = (line(true, 2_000), line(false, 2_000));
        assert!(!report(vec![right.clone(), Line { wrong_answers: 1, ..wrong.clone() }]).holds());
        assert!(!report(vec![right, Line { errors: 1, ..wrong }]).holds());
    }
}
