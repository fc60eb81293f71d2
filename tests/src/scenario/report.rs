//! A report that costs the database some 30 ms of processor time, read a thousand times a second
//! over two hosts: what that costs the database with the cache, and what it would cost without.
//!
//! The load without a cache can't be run: at 1,000 a second such a query keeps 30 cores busy. So
//! the query is run some times past the cache, one after the other over one connection and
//! prepared, as a host would at best. The database's cost of one query is multiplied by the
//! requests that the cache answered. The cost with the cache is all that the database's processes
//! spent from the first request to the last: the loads, and its own background work.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use corral_host::bench::{Pace, ResourceUsage};
use serde::Serialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::client::Client;
use crate::fleet::Fleet;
use crate::peers::measure::Load;
use crate::servers::Postgres;
use crate::shop::Shop;

/// Hosts over one store.
const HOSTS: usize = 2;

const CONNECTIONS: usize = 32;

/// The database may spend this share of its cost without the cache.
pub const SHARE: f64 = 0.01;

/// The share of planned requests that must have been answered: a load that falls behind is another
/// load.
const ANSWERED: f64 = 0.99;

/// Orders and their totals by status, of one section of the orders. `SECTION` stands for the number
/// of orders in a section.
const READ: &str = "SELECT status, count(*) AS orders, sum(total_cents)::bigint AS total_cents \
     FROM orders WHERE id > ($1 - 1) * SECTION AND id <= $1 * SECTION GROUP BY status ORDER BY status";

/// How the report is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Orders in the shop.
    pub orders: u32,
    /// Sections of the orders, each a report of its own.
    pub sections: u32,
    /// How long a report is fresh; jitter and early refresh are the defaults.
    pub ttl: Duration,
    /// Requests in a second, each at its time.
    pub rate: f64,
    /// How long the report is read.
    pub lasts: Duration,
    /// How often the query is run past the cache.
    pub direct: u32,
}

/// The cost of a report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Different reports.
    pub sections: u32,
    /// Orders in each section.
    pub orders_each: u32,
    /// How long a report is fresh.
    pub ttl_ms: u64,
    /// Requests in a second, as planned.
    pub rate: f64,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Requests that were answered.
    pub requests: u64,
    /// Requests without an answer, or with a status of 400 and above.
    pub failed: u64,
    /// Reports to which a host gave another answer than the database.
    pub wrong_answers: u64,
    /// The share of answers that the cache gave.
    pub hit_ratio: f64,
    /// Half of the requests took at most so long.
    pub p50_ms: f64,
    /// All but a hundredth took at most so long.
    pub p99_ms: f64,
    /// Loads of the origin.
    pub loads: u64,
    /// What the query takes past the cache, in milliseconds.
    pub query_ms: f64,
    /// The database's processor time for the query, in milliseconds.
    pub query_cpu_ms: f64,
    /// The database's processor time with the cache, in milliseconds per second.
    pub with_cpu_ms_per_second: f64,
    /// The same for these requests without the cache, as calculated.
    pub without_cpu_ms_per_second: f64,
    /// The cost with the cache over the cost without.
    pub share: f64,
}

impl Report {
    /// Whether every answer was right and in time, and the database spent no more than [`SHARE`].
    #[must_use]
    pub fn holds(&self) -> bool {
        let due = self.rate * self.seconds;
        self.failed == 0
            && self.wrong_answers == 0
            && self.requests as f64 >= ANSWERED * due
            && (0.0..=SHARE).contains(&self.share)
    }
}

/// The cost of the query past the cache, and its answers.
struct Direct {
    query_ms: f64,
    query_cpu_ms: f64,
    answers: Vec<Value>,
    /// Open for as long as the database is watched: if the session ended, its processor time would
    /// move to the parent process while the processes are counted.
    _connection: PgConnection,
}

impl Reading {
    /// Makes the shop, runs the query past the cache, and then reads the report through the hosts.
    ///
    /// # Errors
    /// If a server does not come up, or if one of its processes can't be inspected.
    pub async fn run(&self, told: impl Fn(&str)) -> anyhow::Result<Report> {
        ensure!(self.sections > 0 && self.direct > 0, "there must be something to read");
        let shop = Shop { users: 100_000.min(self.orders), orders: self.orders, products: vec![] };
        let fleet = Fleet::start(HOSTS, &shop, &self.config()).await?;
        told("the query past the cache");
        let direct = self.direct(&fleet.postgres).await?;
        told("the query through the cache");
        self.load(&fleet, &direct).await
    }

    async fn load(&self, fleet: &Fleet, direct: &Direct) -> anyhow::Result<Report> {
        let urls = fleet.urls();
        let load = Load {
            urls: urls.iter().map(|url| format!("{url}{}{{n}}", path())).collect(),
            keys: self.sections.into(),
            connections: CONNECTIONS,
            pace: Pace::Open { per_second: self.rate },
            time: self.lasts,
        };
        let before = cpu_ms(&fleet.postgres)?;
        let seen = load.run_whatever_fails().await?;
        let with_cpu_ms = cpu_ms(&fleet.postgres)? - before;
        let loads = fleet.sum("corral_origin_loads_total").await?;
        let latency = seen.latency.context("nothing was answered")?;
        let without_cpu_ms = direct.query_cpu_ms * seen.requests as f64;
        Ok(Report {
            sections: self.sections,
            orders_each: self.section(),
            ttl_ms: u64::try_from(self.ttl.as_millis())?,
            rate: self.rate,
            seconds: seen.seconds,
            requests: seen.requests,
            failed: seen.failed,
            wrong_answers: wrong_answers(&urls, &direct.answers).await?,
            hit_ratio: seen.hit_ratio.unwrap_or(0.0),
            p50_ms: latency.p50_us / 1000.0,
            p99_ms: latency.p99_us / 1000.0,
            loads: loads.round() as u64,
            query_ms: direct.query_ms,
            query_cpu_ms: direct.query_cpu_ms,
            with_cpu_ms_per_second: with_cpu_ms / seen.seconds,
            without_cpu_ms_per_second: without_cpu_ms / seen.seconds,
            share: with_cpu_ms / without_cpu_ms,
        })
    }

    /// Runs the query past the cache, each section in turn.
    async fn direct(&self, postgres: &Postgres) -> anyhow::Result<Direct> {
        let sql = format!(
            "SELECT coalesce(json_agg(row_to_json(r)), '[]'::json)::text FROM ({}) AS r",
            self.read()
        );
        let mut connection = postgres.connect().await?;
        // The first reader after a write tidies up, and so does a background process; both would be
        // measured.
        sqlx::raw_sql("VACUUM").execute(&mut connection).await?;
        let times = self.direct.max(self.sections);
        let mut answers = Vec::new();
        let (before, began) = (cpu_ms(postgres)?, Instant::now());
        for nth in 0..times {
            let query = sqlx::query_scalar(AssertSqlSafe(sql.clone()));
            let section = 1 + i64::from(nth % self.sections);
            let answer: String = query.bind(section).fetch_one(&mut connection).await?;
            if nth < self.sections {
                answers.push(serde_json::from_str(&answer)?);
            }
        }
        let query_ms = began.elapsed().as_secs_f64() * 1000.0 / f64::from(times);
        let query_cpu_ms = (cpu_ms(postgres)? - before) / f64::from(times);
        Ok(Direct { query_ms, query_cpu_ms, answers, _connection: connection })
    }

    fn section(&self) -> u32 {
        self.orders / self.sections
    }

    fn read(&self) -> String {
        READ.replace("SECTION", &self.section().to_string())
    }

    fn config(&self) -> String {
        let (read, ttl) = (self.read(), self.ttl.as_millis());
        format!(
            "\n[entity.\"report.status\"]\nparams = [\"section:int8\"]\nread = \"{read}\"\n\
             rows = \"many\"\nttl = \"{ttl}ms\"\ndeadline = \"10s\"\n"
        )
    }
}

/// The path of a report, up to its section.
fn path() -> &'static str {
    "/read/report.status?section="
}

/// Processor time that the database has used so far, in all its processes.
fn cpu_ms(postgres: &Postgres) -> anyhow::Result<f64> {
    let pid = postgres.pid().context("Postgres was killed")?;
    Ok(ResourceUsage::of_families(&[pid])?.cpu_seconds * 1000.0)
}

/// How many reports each host answers differently from the database, which is not written to.
async fn wrong_answers(urls: &[String], answers: &[Value]) -> anyhow::Result<u64> {
    let client = Client::new();
    let mut wrong = 0;
    for url in urls {
        for (section, expected) in (1..).zip(answers) {
            let answer = client.get(&format!("{url}{}{section}", path())).await?;
            wrong += u64::from(!answer.json().is_ok_and(|found| found == *expected));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(share: f64) -> Report {
        Report {
            sections: 5,
            orders_each: 200_000,
            ttl_ms: 10_000,
            rate: 1_000.0,
            seconds: 30.0,
            requests: 30_000,
            failed: 0,
            wrong_answers: 0,
            hit_ratio: 0.999,
            p50_ms: 0.3,
            p99_ms: 1.0,
            loads: 20,
            query_ms: 31.0,
            query_cpu_ms: 30.0,
            with_cpu_ms_per_second: 30_000.0 * share,
            without_cpu_ms_per_second: 30_000.0,
            share,
        }
    }

    #[test]
    fn a_hundredth_of_the_cost_is_allowed_and_no_more() {
        assert!(report(0.0007).holds());
        assert!(report(0.01).holds());
        assert!(!report(0.0101).holds());
        assert!(!report(0.99).holds());
    }

    #[test]
    fn what_could_not_be_measured_does_not_hold() {
        // A query without a measurable cost: 0 / 0, or a number over 0.
        assert!(!report(f64::NAN).holds());
        assert!(!report(f64::INFINITY).holds());
    }

    #[test]
    fn failures_wrong_answers_and_a_load_that_fell_behind_do_not_hold() {
        assert!(!Report { failed: 1, ..report(0.001) }.holds());
        assert!(!Report { wrong_answers: 1, ..report(0.001) }.holds());
        assert!(!Report { requests: 29_000, ..report(0.001) }.holds());
    }
}
