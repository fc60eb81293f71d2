//! One entity whose loads take longer than any deadline, as many at once as its limit allows: what
//! the readers of another entity notice, compared with the same readers without it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tokio::time::sleep;

use super::{median, millis};
use crate::load::{Load, Outcome, Turn};
use crate::servers::{Host, Postgres};
use crate::shop::Shop;

/// Readers of the slow entity, and of the other one.
const SLOW: usize = 8;
const OTHERS: usize = 2;

const USERS: usize = 100;

/// How many times longer the others' p99 may be beside the slow entity than without it.
pub const BAR: f64 = 1.5;

/// The entities. `max_loads = 4` is put before them, half as many loads as there are slow readers.
const CONFIG: &str = r#"
[entity."report.slow"]
params = ["id:int8"]
read = "SELECT $1::bigint AS id FROM pg_sleep(5)"
ttl = "5m"

[entity."user.profile"]
params = ["id:int8"]
read = "SELECT id, name, email FROM users WHERE id = $1"
ttl = "1ms"
"#;

/// One run of the other entity's readers.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Run {
    /// Whether the slow entity is read beside them.
    pub beside_the_slow: bool,
    /// Requests of the other entity's readers.
    pub requests: usize,
    /// How many of those failed.
    pub failed: usize,
    /// The median.
    pub p50_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// All runs, alternating.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The runs in their order.
    pub runs: Vec<Run>,
    /// The median of the 99th percentiles without the slow entity.
    pub p99_without_ms: f64,
    /// The same beside the slow entity.
    pub p99_beside_ms: f64,
    /// The second over the first.
    pub ratio: f64,
}

impl Report {
    /// Whether no request failed and the ratio is within [`BAR`].
    #[must_use]
    pub fn holds(&self) -> bool {
        self.runs.iter().all(|run| run.failed == 0) && self.ratio <= BAR
    }
}

/// Runs so many rounds of both, each for `lasts`.
///
/// # Errors
/// When a server does not come up.
pub async fn run(rounds: usize, lasts: Duration, told: impl Fn(&Run)) -> anyhow::Result<Report> {
    let postgres = Postgres::start().await?;
    Shop::small().load(&postgres.url()).await?;
    let origin = format!("[origin]\nurl = {:?}\nmax_loads = 4\n", postgres.url());
    let host = Host::start(&format!("{origin}{CONFIG}")).await?;
    let mut runs = Vec::new();
    for round in 0..rounds {
        // Both in turn, and each of them first in every other round.
        let order = if round.is_multiple_of(2) { [false, true] } else { [true, false] };
        for beside_the_slow in order {
            let run = one(&host, beside_the_slow, lasts).await?;
            told(&run);
            runs.push(run);
        }
    }
    let p99 = |beside| {
        let of = runs.iter().filter(|run| run.beside_the_slow == beside);
        median(of.map(|run| run.p99_ms).collect())
    };
    let (p99_without_ms, p99_beside_ms) = (p99(false), p99(true));
    Ok(Report { p99_without_ms, p99_beside_ms, ratio: p99_beside_ms / p99_without_ms, runs })
}

async fn one(host: &Host, beside_the_slow: bool, lasts: Duration) -> anyhow::Result<Run> {
    let slow = beside_the_slow.then(|| saturate(host));
    // By then the slow entity has all the loads that it gets.
    sleep(Duration::from_millis(500)).await;
    let root = host.url("/read/user.profile");
    let others = Load::start(OTHERS, move |client, turn: Turn| {
        let user = (turn.connection * USERS / OTHERS + turn.nth) % USERS + 1;
        let url = format!("{root}?id={user}");
        async move {
            let outcome = Outcome::of(&client, &url).await;
            (outcome.took(), outcome.content().is_ok())
        }
    });
    sleep(lasts).await;
    let asked = others.stop().await?;
    if let Some(slow) = slow {
        let slow = slow.stop().await?;
        ensure!(!slow.is_empty(), "the slow entity was not read");
    }
    let mut took: Vec<f64> = asked.iter().map(|(took, _)| millis(*took)).collect();
    took.sort_by(f64::total_cmp);
    let at = |part: f64| took.get((took.len() as f64 * part) as usize).copied();
    Ok(Run {
        beside_the_slow,
        requests: asked.len(),
        failed: asked.iter().filter(|(_, ok)| !ok).count(),
        p50_ms: at(0.5).context("nothing was asked")?,
        p99_ms: at(0.99).context("nothing was asked")?,
        max_ms: took.last().copied().unwrap_or(0.0),
    })
}

/// Reads the slow entity, with another key each time.
fn saturate(host: &Host) -> Load<Instant> {
    let root = host.url("/read/report.slow");
    Load::start(SLOW, move |client, turn: Turn| {
        let url = format!("{root}?id={}", turn.nth * SLOW + turn.connection);
        async move {
            let outcome = Outcome::of(&client, &url).await;
            if outcome.answer.is_ok_and(|answer| answer.status.is_server_error()) {
                // The host refused at once; without a pause a reader would ask again a thousand
                // times a second.
                sleep(Duration::from_millis(20)).await;
            }
            outcome.began
        }
    })
}
