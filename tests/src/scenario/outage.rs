//! The store is black-holed under load: what readers notice before, during and after.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Serialize;
use tokio::time::sleep;

use super::millis;
use crate::load::{Load, Outcome, Turn};
use crate::servers::{Host, Postgres, Redis};
use crate::shop::{self, Shop};

const CONNECTIONS: usize = 8;
const USERS: usize = 50;

/// Upper bounds of the histogram's buckets, in milliseconds.
const BUCKETS: [f64; 9] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, f64::INFINITY];

/// One phase.
#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    /// Before, during or after the outage; or the blow to the server.
    pub name: &'static str,
    /// Requests that began in it.
    pub requests: usize,
    /// How many of those failed.
    pub failed: usize,
    /// The median.
    pub p50_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// How many took at least the store's budget, or another bound that they had to keep.
    pub paid_the_budget: usize,
    /// How many requests took at most so many milliseconds, and more than the bucket before.
    pub histogram: Vec<(String, usize)>,
}

/// Runs the three phases, each for `lasts`, with this budget for the store.
///
/// # Errors
/// When a server does not come up.
pub async fn run(lasts: Duration, budget: Duration) -> anyhow::Result<Vec<Phase>> {
    let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
    Shop::small().load(&postgres.url()).await?;
    let store = format!("[store]\ntimeout = \"{}ms\"\n", budget.as_millis());
    let config = shop::config(Some(&redis.url()), &postgres.url());
    let host = Host::start(&config.replacen("[store]\n", &store, 1)).await?;
    for user in 1..=USERS {
        let answer = host.get(&format!("/read/user.profile?id={user}")).await?;
        ensure!(answer.status.is_success(), "{answer:?}");
    }
    let root = host.url("/read/user.profile");
    let load = Load::start(CONNECTIONS, move |client, turn: Turn| {
        let user = (turn.connection + turn.nth) % USERS + 1;
        let url = format!("{root}?id={user}");
        async move {
            let outcome = Outcome::of(&client, &url).await;
            (outcome.began, outcome.took(), outcome.content().is_ok())
        }
    });
    sleep(lasts).await;
    let frozen = Instant::now();
    redis.stop()?;
    sleep(lasts).await;
    redis.cont()?;
    let thawed = Instant::now();
    sleep(lasts).await;
    let asked = load.stop().await?;
    let phase = |name, from: Option<Instant>, to: Option<Instant>| {
        let within = |began: Instant| {
            from.is_none_or(|from| began >= from) && to.is_none_or(|to| began < to)
        };
        let asked = asked.iter().filter(|(began, ..)| within(*began));
        Phase::of(name, asked.map(|(_, took, ok)| (*took, *ok)).collect(), budget)
    };
    Ok(vec![
        phase("before", None, Some(frozen)),
        phase("black-holed", Some(frozen), Some(thawed)),
        phase("after", Some(thawed), None),
    ])
}

impl Phase {
    /// Whether something was read in it, and no read failed.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.requests > 0 && self.failed == 0
    }

    pub(super) fn of(name: &'static str, asked: Vec<(Duration, bool)>, budget: Duration) -> Self {
        let mut took: Vec<f64> = asked.iter().map(|(took, _)| millis(*took)).collect();
        took.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let index = (took.len() as f64 * part) as usize;
            took.get(index.min(took.len().saturating_sub(1))).copied().unwrap_or(0.0)
        };
        let mut histogram = Vec::new();
        let mut from = 0;
        for bound in BUCKETS {
            let to = took.partition_point(|took| *took <= bound);
            let name =
                if bound.is_finite() { format!("≤ {bound} ms") } else { "more".to_owned() };
            histogram.push((name, to - from));
            from = to;
        }
        Self {
            name,
            requests: asked.len(),
            failed: asked.iter().filter(|(_, ok)| !ok).count(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            max_ms: at(1.0),
            paid_the_budget: asked.iter().filter(|(took, _)| *took >= budget).count(),
            histogram,
        }
    }
}
