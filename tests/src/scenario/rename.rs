//! Every key gets another name, on two hosts, under load with writes. The gate says beforehand how
//! many hot reads go cold, and no read may be stale.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use corral_host::policy::builtin;
use hyper::StatusCode;
use serde::Serialize;
use serde_json::Value;
use tokio::time::sleep;

use super::hosts::{SOON, Seat};
use super::traffic::{Rows, Traffic, Verdict};
use super::{millis, rows};
use crate::client::Client;
use crate::policies::component;
use crate::servers::{Postgres, Redis};
use crate::sim::truth::Subject;

/// Most of these rows are not written, so they are hot when the policy is exchanged.
const ROWS: Rows = Rows { items: 200, teams: 100 };

/// Requests for each row before the exchange, and again after it: enough that hardly a row is left
/// that was not read.
const REQUESTS_OF_A_ROW: usize = 20;

/// How many rows more or fewer may be found cold than the gate foretold. A row is drawn at random for
/// each request, so now and then one was not read before the exchange by the host whose gate is
/// asked, or is not read after it.
const UNREAD: u64 = 3;

/// Reads and writes of the part in which one host can't make the new names.
const ROUNDS: u64 = 10;

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Hot reads that the gate asked the candidate to name.
    pub hot: u64,
    /// How many of them would go cold, as the gate said.
    pub would_go_cold: u64,
    /// The host's answer to the exchange before the exchange was asked for by name.
    pub refused: String,
    /// Rows that were read and found cold in a stretch before the exchange, because they were
    /// written.
    pub cold_before: usize,
    /// The same from the exchange on.
    pub cold_after: usize,
    /// How many of those had not been written.
    pub went_cold: usize,
    /// From the first host's exchange to the second's.
    pub between_hosts_ms: f64,
    /// The verdict on all requests.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The first broken promises.
    pub complaints: Vec<String>,
    /// Keys in the store without a lifetime.
    pub immortal: Vec<String>,
    /// The same with one host that has not learned the policy: it raises the floor of names that it
    /// can't make.
    pub unlearned: Verdict,
}

/// Two hosts over one store.
struct Stage {
    redis: Redis,
    _postgres: Postgres,
    seats: [Seat; 2],
}

/// Runs the scenario, with stretches of `lasts` before and after the exchange, and then the
/// control.
///
/// # Errors
/// When a server does not come up, or a host does not take the candidate.
pub async fn run(lasts: Duration, told: impl Fn(&str)) -> anyhow::Result<Report> {
    let candidate = tokio::task::spawn_blocking(|| component("good/renamed")).await??;
    told("two hosts, every one of which knows both namings before any fills under the new one");
    let stage = Stage::set().await?;
    let traffic = Traffic::start(stage.urls(), ROWS, rand::random());
    traffic.more(requests_of_all(), SOON).await?;
    sleep(lasts).await;
    let quiet = traffic.mark();
    sleep(lasts).await;
    let quiet_ends = traffic.mark();
    let refused = stage.refused(&candidate).await?;
    let [first, second] = &stage.seats;
    for seat in &stage.seats {
        seat.learn(&candidate).await?;
    }
    let exchanged = traffic.mark();
    let answer = first.put_renaming(&candidate).await?;
    let began = Instant::now();
    second.put_renaming(&candidate).await?;
    let between = began.elapsed();
    sleep(lasts).await;
    traffic.more(requests_of_all(), SOON).await?;
    let over = traffic.mark();
    let history = traffic.stop().await?;
    let hot = &answer["report"]["hot"];
    let number = |name: &str| hot[name].as_u64().with_context(|| format!("{name}: {answer}"));
    told("two hosts, of which one can't make the new names");
    let unlearned = unlearned(&candidate).await?;
    let (before, after) = (history.cold(quiet, quiet_ends), history.cold(exchanged, over));
    Ok(Report {
        hot: number("asked")?,
        would_go_cold: number("renamed")?,
        refused,
        cold_before: before.len(),
        cold_after: after.len(),
        went_cold: after.difference(&before).count(),
        between_hosts_ms: millis(between),
        verdict: history.whole(),
        complaints: history.complaints(),
        immortal: rows::immortal(&stage.redis).await?,
        unlearned,
    })
}

/// So many requests that hardly a row is left that was not read.
fn requests_of_all() -> usize {
    REQUESTS_OF_A_ROW * (usize::from(ROWS.items) + usize::from(ROWS.teams))
}

/// A row without other writers is filled under the new name by the host that knows it, and written
/// through the host that does not. The next read must see the write all the same.
async fn unlearned(candidate: &[u8]) -> anyhow::Result<Verdict> {
    let stage = Stage::set().await?;
    let traffic = Traffic::start(stage.urls(), ROWS, rand::random());
    let [first, second] = &stage.seats;
    first.put_renaming(candidate).await?;
    let (client, subject) = (Client::new(), Subject::Item(ROWS.items - 1));
    for version in 2..2 + ROUNDS {
        traffic.read(&client, 0, subject).await?;
        traffic.write(&client, 1, subject, version).await?;
        traffic.read(&client, 0, subject).await?;
    }
    second.put_renaming(candidate).await?;
    Ok(traffic.stop().await?.whole())
}

/// A host that has stored nothing takes the new names first, and then a write. Returns what the
/// other host, which still has the old names, answers then.
///
/// # Errors
/// When a host does not take the candidate, or a request fails.
pub async fn answered_under_old_names() -> anyhow::Result<Option<u64>> {
    let candidate = tokio::task::spawn_blocking(|| component("good/renamed")).await??;
    let stage = Stage::set().await?;
    let traffic = Traffic::idle(stage.urls());
    let (client, subject) = (Client::new(), Subject::Item(0));
    traffic.read(&client, 0, subject).await?;
    for seat in &stage.seats {
        seat.learn(&candidate).await?;
    }
    stage.seats[1].put_renaming(&candidate).await?;
    traffic.write(&client, 1, subject, 2).await?;
    traffic.read(&client, 0, subject).await
}

impl Stage {
    async fn set() -> anyhow::Result<Self> {
        let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
        rows::make(&postgres, ROWS.items, ROWS.teams).await?;
        let config = rows::config(&redis.url(), &postgres, "timeout = \"2s\"", Duration::ZERO);
        let first = Seat::take(&config, builtin()).await?;
        let second = Seat::take(&config, builtin()).await?;
        Ok(Self { redis, _postgres: postgres, seats: [first, second] })
    }

    fn urls(&self) -> Vec<String> {
        self.seats.iter().map(|seat| seat.host.url("")).collect()
    }

    /// A host's answer to a candidate that renames keys and was not asked for by name.
    async fn refused(&self, candidate: &[u8]) -> anyhow::Result<String> {
        let answer = self.seats[0].put(candidate).await?;
        ensure!(answer.status != StatusCode::OK, "it is taken: {answer:?}");
        let problem: Value = answer.json()?;
        Ok(problem["detail"].as_str().context("a reason")?.to_owned())
    }
}

impl Report {
    /// Whether no request failed, no answer was stale, and as many rows were cold as the gate
    /// foretold.
    #[must_use]
    pub fn holds(&self) -> bool {
        let Verdict { failed, stale, .. } = self.verdict;
        (failed, stale) == (0, 0)
            && self.immortal.is_empty()
            && self.would_go_cold > 0
            && self.would_go_cold.abs_diff(self.cold_after as u64) <= UNREAD
            && self.went_cold > 0
            && (self.unlearned.failed, self.unlearned.stale) == (0, 0)
    }

    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// When it does not hold.
    pub fn expect(&self) -> anyhow::Result<()> {
        ensure!(self.holds(), "{self}\n{:#?}\n{:?}", self.complaints, self.immortal);
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { requests, failed, stale } = self.verdict;
        writeln!(f, "hot reads that the gate asked for       {:>8}", self.hot)?;
        writeln!(f, "of those, would go cold                 {:>8}", self.would_go_cold)?;
        writeln!(f, "rows found cold before the exchange     {:>8}", self.cold_before)?;
        writeln!(f, "rows found cold after it                {:>8}", self.cold_after)?;
        writeln!(f, "of those, rows without a write          {:>8}", self.went_cold)?;
        writeln!(f, "between the two hosts' exchanges        {:>8} ms", self.between_hosts_ms)?;
        writeln!(f, "requests / failed / stale               {requests:>8} / {failed} / {stale}")?;
        let Verdict { requests, failed, stale } = self.unlearned;
        writeln!(f, "one host unaware: requests/failed/stale {requests:>8} / {failed} / {stale}")?;
        write!(f, "without being asked for by name: {}", self.refused)
    }
}
