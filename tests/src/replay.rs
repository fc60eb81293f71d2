//! Replays a trace over HTTP, checks every answer, and counts the origin's loads.
//!
//! Workers take requests in the order of the trace from one counter; each keeps one connection. At
//! a rate, a request is sent at its time and not before (open loop), and its latency counts from
//! that time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hyper::StatusCode;
use serde::Serialize;
use serde_json::Value;

use crate::client::Client;
use crate::servers::Metrics;
use crate::shop::expected_product;
use crate::trace::Trace;

/// How many wrong answers a worker describes: one shows what is wrong, and more show whether it is
/// always the same.
const EXAMPLES: usize = 3;

/// Ranks at which the times of loads are reported.
const RANKS: usize = 20;

/// What is replayed, and on which hosts.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The hosts (`http://127.0.0.1:7070`); connections are spread over them in turn.
    pub urls: Vec<String>,
    /// Their admin faces, for the count of loads. Empty if the count is not wanted.
    pub admin_urls: Vec<String>,
    /// How many requests are under way at a time.
    pub connections: usize,
    /// The entity that is read, with the trace's number as `id`.
    pub entity: String,
    /// Requests in a second; `None` to send each as soon as the one before is answered.
    pub rate: Option<f64>,
}

/// The result of a replay.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Requests sent.
    pub requests: usize,
    /// Distinct keys among them.
    pub distinct_keys: usize,
    /// How much the hosts loaded from the origin meanwhile; `None` if that is not known.
    pub origin_loads: Option<u64>,
    /// Requests without an answer, or answered with another status than 200.
    pub errors: usize,
    /// Answers with another content than the shop has.
    pub wrong_answers: usize,
    /// The first requests of both kinds, described.
    pub examples: Vec<String>,
    /// Requests in a second, as planned; `None` if each was sent as soon as the one before was
    /// answered.
    pub rate: Option<f64>,
    /// The share of answers that the cache gave, by their `Cache-Status`: 0 to 1.
    pub hit_ratio: f64,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Requests over seconds.
    pub requests_per_second: f64,
    /// Half of the requests took at most so long.
    pub p50_ms: f64,
    /// All but a hundredth took at most so long.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// How long answers took that were loaded and stored for their request, at evenly spaced ranks.
    pub load_ms: Vec<f64>,
}

/// One access as its client saw it; times are microseconds since the replay began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The trace's number.
    pub id: u32,
    /// When it was sent. At a rate, this may be later than its time.
    pub began_us: u64,
    /// When its answer was complete.
    pub ended_us: u64,
}

impl Summary {
    /// Whether every answer was right and each distinct key was loaded exactly once, if the loads
    /// are known. At a rate, a replay may outlast the lifetimes of its values, so loads are not
    /// judged.
    #[must_use]
    pub fn holds(&self) -> bool {
        let once = |loads| usize::try_from(loads) == Ok(self.distinct_keys);
        let loads_hold = self.rate.is_some() || self.origin_loads.is_none_or(once);
        self.errors == 0 && self.wrong_answers == 0 && loads_hold
    }
}

impl Replay {
    /// Replays `trace`. `progress` is called after every answer, from any worker.
    ///
    /// # Errors
    /// If there is no host to ask, or metrics can't be read. A request that fails is counted
    /// instead.
    pub async fn run(
        &self,
        trace: Trace,
        progress: impl Fn() + Send + Sync + 'static,
    ) -> anyhow::Result<Summary> {
        Ok(self.run_seen(trace, progress).await?.0)
    }

    /// The same, and also returns every access that was answered with 200, in no particular order.
    ///
    /// # Errors
    /// As [`Replay::run`].
    pub async fn run_seen(
        &self,
        trace: Trace,
        progress: impl Fn() + Send + Sync + 'static,
    ) -> anyhow::Result<(Summary, Vec<Access>)> {
        ensure!(!self.urls.is_empty(), "a replay needs a host");
        ensure!(self.connections > 0, "a replay needs a connection");
        let distinct_keys = trace.distinct().len();
        let loads_before = self.loads().await?;
        let began = Instant::now();
        let pace = self.rate.map(|rate| Pace { began, rate });
        let next = AtomicUsize::new(0);
        let shared = Arc::new(Shared { trace, next, began, pace, progress });
        let workers: Vec<_> = (0..self.connections)
            .map(|index| {
                let url = &self.urls[index % self.urls.len()];
                let read = format!("{}/read/{}?id=", url.trim_end_matches('/'), self.entity);
                tokio::spawn(work(shared.clone(), read))
            })
            .collect();
        let mut tally = Tally::default();
        for worker in workers {
            tally.add(worker.await.context("a worker failed")?);
        }
        let took = began.elapsed();
        let loads = match (loads_before, self.loads().await?) {
            (Some(before), Some(after)) => Some(after.saturating_sub(before)),
            (None, _) | (_, None) => None,
        };
        let accesses = std::mem::take(&mut tally.accesses);
        let summary = tally.summary(distinct_keys, loads, took);
        Ok((Summary { rate: self.rate, ..summary }, accesses))
    }

    /// What all hosts together have loaded so far; `None` if their admin faces are not known.
    async fn loads(&self) -> anyhow::Result<Option<u64>> {
        let client = Client::new();
        let mut loads = None;
        for url in &self.admin_urls {
            let url = format!("{}/metrics", url.trim_end_matches('/'));
            let answer = client.get(&url).await?;
            ensure!(answer.status == StatusCode::OK, "{url} answers {}", answer.status);
            let entity = [("entity", self.entity.as_str())];
            let of_host = Metrics::parse(answer.text()?)?
                .sum_where("corral_origin_loads_total", &entity)
                .round() as u64;
            loads = Some(loads.unwrap_or(0) + of_host);
        }
        Ok(loads)
    }
}

/// What all workers share.
struct Shared<P> {
    trace: Trace,
    next: AtomicUsize,
    began: Instant,
    pace: Option<Pace>,
    progress: P,
}

/// When each request is to be sent.
struct Pace {
    began: Instant,
    rate: f64,
}

impl<P> Shared<P> {
    /// The access of a request that was sent at `sent` and is answered now.
    fn access(&self, id: u32, sent: Instant) -> Access {
        let us = |since: Duration| u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let (began_us, ended_us) = (us(sent - self.began), us(self.began.elapsed()));
        Access { id, began_us, ended_us }
    }
}

impl Pace {
    /// Waits until a request is due, and returns that time.
    async fn due(&self, index: usize) -> Instant {
        let due = self.began + Duration::from_secs_f64(index as f64 / self.rate);
        tokio::time::sleep_until(due.into()).await;
        due
    }
}

async fn work<P: Fn()>(shared: Arc<Shared<P>>, read: String) -> Tally {
    let client = Client::new();
    let mut tally = Tally::default();
    loop {
        let index = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(&id) = shared.trace.accesses().get(index) else { return tally };
        let due = match &shared.pace {
            Some(pace) => Some(pace.due(index).await),
            None => None,
        };
        let sent = Instant::now();
        let answer = client.get(&format!("{read}{id}")).await;
        let took = due.unwrap_or(sent).elapsed();
        tally.latencies.push(took);
        match answer {
            Ok(answer) if answer.status == StatusCode::OK => {
                tally.accesses.push(shared.access(id, sent));
                tally.hits += usize::from(answer.is_hit());
                tally.loads.extend((answer.is_stored()).then_some(took));
                let found = answer.json().unwrap_or(Value::Null);
                if found != expected_product(id) {
                    tally.wrong_answers += 1;
                    tally.example(|| format!("request {index}, id {id}: {found}"));
                }
            }
            Ok(answer) => {
                tally.errors += 1;
                tally.example(|| {
                    format!("request {index}, id {id}: {} {:?}", answer.status, answer.body)
                });
            }
            Err(error) => {
                tally.errors += 1;
                tally.example(|| format!("request {index}, id {id}: {error:#}"));
            }
        }
        (shared.progress)();
    }
}

/// What one worker saw, or all workers together.
#[derive(Default)]
struct Tally {
    latencies: Vec<Duration>,
    loads: Vec<Duration>,
    accesses: Vec<Access>,
    hits: usize,
    errors: usize,
    wrong_answers: usize,
    examples: Vec<String>,
}

impl Tally {
    fn example(&mut self, describe: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(describe());
        }
    }

    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.loads.extend(other.loads);
        self.accesses.extend(other.accesses);
        self.hits += other.hits;
        self.errors += other.errors;
        self.wrong_answers += other.wrong_answers;
        for example in other.examples {
            self.example(|| example);
        }
    }

    fn summary(mut self, distinct_keys: usize, loads: Option<u64>, took: Duration) -> Summary {
        self.latencies.sort_unstable();
        self.loads.sort_unstable();
        let requests = self.latencies.len();
        let percentile = |share: f64| at_rank(&self.latencies, share);
        let ranks = (0..RANKS).map(|rank| (rank as f64 + 0.5) / RANKS as f64);
        let seconds = took.as_secs_f64();
        Summary {
            requests,
            distinct_keys,
            origin_loads: loads,
            errors: self.errors,
            wrong_answers: self.wrong_answers,
            rate: None,
            hit_ratio: self.hits as f64 / requests.max(1) as f64,
            seconds,
            requests_per_second: requests as f64 / seconds,
            p50_ms: percentile(0.5),
            p99_ms: percentile(0.99),
            max_ms: percentile(1.0),
            load_ms: ranks.map(|share| at_rank(&self.loads, share)).collect(),
            examples: self.examples,
        }
    }
}

/// The time that this share of them did not exceed, in milliseconds; 0 if there are none.
fn at_rank(sorted: &[Duration], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}
