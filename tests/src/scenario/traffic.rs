//! Readers and writers of versioned rows over several hosts, at full speed, with a ledger of all
//! answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use hyper::{Method, StatusCode};
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use tokio::task::JoinHandle;

use super::ledger::Ledger;
use super::rows;
use crate::client::Client;
use crate::servers::eventually;
use crate::sim::Violation;
use crate::sim::history::Event;
use crate::sim::truth::Subject;

/// Clients. Each writes an item, and the first few write a team too.
const CLIENTS: u8 = 8;
const TEAM_WRITERS: u8 = 4;

/// One request in so many is a write.
const WRITE_EVERY: u32 = 5;

/// The hosts as clients see them.
pub(super) struct Traffic {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<anyhow::Result<()>>>,
}

struct Shared {
    urls: Vec<String>,
    rows: Rows,
    ledger: Ledger,
    over: AtomicBool,
    misses: Mutex<Vec<(Duration, Subject)>>,
}

/// Number of items and of teams. The clients read all of them, and write the first few.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    pub(super) items: u8,
    pub(super) teams: u8,
}

/// The verdict on a stretch of a history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Requests made.
    pub requests: usize,
    /// How many of those had no answer, or a wrong one.
    pub failed: usize,
    /// How many had an answer older than a write that was acknowledged before they began.
    pub stale: usize,
}

/// A moment of a history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    at: Duration,
    requests: usize,
}

impl Rows {
    /// The fewest rows with which every client has something to write.
    pub(super) const FEW: Self = Self { items: CLIENTS, teams: TEAM_WRITERS };

    fn subjects(self) -> impl Iterator<Item = Subject> {
        (0..self.items).map(Subject::Item).chain((0..self.teams).map(Subject::Team))
    }
}

impl Traffic {
    /// Starts clients that read and write through the hosts at `urls`.
    pub(super) fn start(urls: Vec<String>, rows: Rows, seed: u64) -> Self {
        let shared = Self::of(urls, rows).shared;
        let clients = (0..CLIENTS)
            .map(|number| {
                let seed = seed.wrapping_add(u64::from(number) + 1);
                tokio::spawn(client(Arc::clone(&shared), number, seed))
            })
            .collect();
        Self { shared, clients }
    }

    fn of(urls: Vec<String>, rows: Rows) -> Self {
        let shared = Arc::new(Shared {
            urls,
            rows,
            ledger: Ledger::new(),
            over: AtomicBool::new(false),
            misses: Mutex::default(),
        });
        Self { shared, clients: Vec::new() }
    }

    /// Traffic without clients: only the requests that the caller makes.
    pub(super) fn idle(urls: Vec<String>) -> Self {
        Self::of(urls, Rows::FEW)
    }

    /// The present moment.
    pub(super) fn mark(&self) -> Mark {
        Mark { at: self.shared.ledger.elapsed(), requests: self.shared.ledger.requests() }
    }

    /// Waits until `requests` more were made.
    pub(super) async fn more(&self, requests: usize, limit: Duration) -> anyhow::Result<()> {
        let goal = self.shared.ledger.requests() + requests;
        let made = || std::future::ready(Ok((self.shared.ledger.requests() >= goal).then_some(())));
        eventually(&format!("{requests} more requests"), limit, made).await
    }

    /// Makes one more read, which is noted like all others; `None` if it failed.
    pub(super) async fn read(
        &self,
        client: &Client,
        host: usize,
        subject: Subject,
    ) -> anyhow::Result<Option<u64>> {
        self.shared.read(client, host, subject).await
    }

    /// Makes one more write.
    pub(super) async fn write(
        &self,
        client: &Client,
        host: usize,
        subject: Subject,
        version: u64,
    ) -> anyhow::Result<()> {
        self.shared.write(client, host, subject, version, false).await
    }

    /// Lets the requests on their way end.
    pub(super) async fn stop(self) -> anyhow::Result<History> {
        self.shared.over.store(true, Ordering::Relaxed);
        for ended in try_join_all(self.clients).await? {
            ended?;
        }
        let violations = self.shared.ledger.judge(Duration::ZERO);
        let misses = std::mem::take(&mut *self.shared.misses());
        Ok(History { violations, requests: self.shared.ledger.requests(), misses })
    }
}

/// The history of traffic that has ended, for judgement.
pub(super) struct History {
    violations: Vec<Violation>,
    requests: usize,
    misses: Vec<(Duration, Subject)>,
}

impl History {
    /// The verdict on the stretch from one moment to another; `None` means to the end.
    pub(super) fn between(&self, from: Mark, to: Option<Mark>) -> Verdict {
        let ms = |at: Duration| u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let end_ms = to.map_or(u64::MAX, |to| ms(to.at));
        let within = |violation: &&Violation| (ms(from.at)..end_ms).contains(&violation.at_ms);
        let (stale, failed): (Vec<&Violation>, Vec<&Violation>) =
            self.violations.iter().filter(within).partition(|v| v.what.contains("read version"));
        let requests = to.map_or(self.requests, |to| to.requests) - from.requests;
        Verdict { requests, failed: failed.len(), stale: stale.len() }
    }

    /// Rows whose key was found cold between two moments.
    pub(super) fn cold(&self, from: Mark, to: Mark) -> BTreeSet<Subject> {
        let within = |at: Duration| (from.at..to.at).contains(&at);
        let misses = self.misses.iter().filter(|(at, _)| within(*at));
        misses.map(|(_, subject)| *subject).collect()
    }

    /// The verdict on all requests.
    pub(super) fn whole(&self) -> Verdict {
        self.between(Mark { at: Duration::ZERO, requests: 0 }, None)
    }

    /// The first broken promises.
    pub(super) fn complaints(&self) -> Vec<String> {
        const SHOWN: usize = 10;
        self.violations.iter().take(SHOWN).map(ToString::to_string).collect()
    }
}

/// Reads any row, and writes the rows that belong to this client.
async fn client(shared: Arc<Shared>, number: u8, seed: u64) -> anyhow::Result<()> {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let (client, mut versions) = (Client::new(), BTreeMap::new());
    let own =
        [Some(Subject::Item(number)), (number < TEAM_WRITERS).then_some(Subject::Team(number))];
    let own: Vec<Subject> = own.into_iter().flatten().collect();
    let all: Vec<Subject> = shared.rows.subjects().collect();
    while !shared.over.load(Ordering::Relaxed) {
        let host = random.random_range(0..shared.urls.len());
        if random.random_ratio(1, WRITE_EVERY) {
            let subject = own[random.random_range(0..own.len())];
            let version = versions.entry(subject).or_insert(1);
            *version += 1;
            let through = random.random_bool(0.3);
            shared.write(&client, host, subject, *version, through).await?;
        } else {
            let subject = all[random.random_range(0..all.len())];
            shared.read(&client, host, subject).await?;
        }
    }
    Ok(())
}

impl Shared {
    fn misses(&self) -> MutexGuard<'_, Vec<(Duration, Subject)>> {
        self.misses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(
        &self,
        client: &Client,
        host: usize,
        subject: Subject,
    ) -> anyhow::Result<Option<u64>> {
        let request = self.ledger.asked(host, host, subject);
        let url = format!("{}{}", self.urls[host], rows::read_path(subject));
        let answer = client.get(&url).await;
        let why = match &answer {
            Ok(answer) if answer.status == StatusCode::OK => {
                let body = rows::body(&answer.body)?;
                let near = rows::is_near(answer);
                let event =
                    Event::Answered { request, body: Some(body), stale_if_error: false, near };
                self.ledger.event(event);
                if answer.header("cache-status").contains("fwd=miss") {
                    self.misses().push((self.ledger.elapsed(), subject));
                }
                return Ok(Some(body.version));
            }
            Ok(answer) => format!("{} {:?}", answer.status, answer.body),
            Err(error) => format!("{error:#}"),
        };
        self.ledger.event(Event::Unanswered { request, why, late: false });
        Ok(None)
    }

    async fn write(
        &self,
        client: &Client,
        host: usize,
        subject: Subject,
        version: u64,
        through: bool,
    ) -> anyhow::Result<()> {
        let (path, body) = rows::write_of(subject, version, through);
        let request = self.ledger.wrote(host, subject, version);
        let json = [("content-type", "application/json")];
        let url = format!("{}{path}", self.urls[host]);
        let answer = client.request(Method::POST, &url, &json, Bytes::from(body)).await;
        match &answer {
            Ok(answer) if answer.status == StatusCode::OK => {
                let pending = answer.json()?["cache"] == "pending";
                self.ledger.acknowledged(request, pending);
            }
            Ok(answer) => {
                let why = format!("{} {:?}", answer.status, answer.body);
                self.ledger.event(Event::Failed { request, why, in_doubt: false });
            }
            Err(error) => {
                let why = format!("{error:#}");
                self.ledger.event(Event::Failed { request, why, in_doubt: false });
            }
        }
        Ok(())
    }
}
