//! The desk: sends clients' requests to hosts, records the answers, and judges them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

use super::Verdict;
use super::scene::SOON;
use crate::client::{Answer, Client};
use crate::scenario::ledger::Ledger;
use crate::scenario::rows;
use crate::servers::{Host, eventually};
use crate::sim::history::{Event, Life};
use crate::sim::truth::Subject;

/// Rows of each kind.
pub(super) const ITEMS: u8 = 8;
pub(super) const TEAMS: u8 = 4;

/// How many complaints are kept.
const SHOWN: usize = 10;

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// A row.
    Row(Subject),
    /// An item, by a statement that takes so many milliseconds.
    Slow(u8, u64),
}

/// How a row is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Invalidate,
    Through,
}

/// An answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) version: u64,
    /// Whether it came from the store.
    pub(super) hit: bool,
}

/// What a writer was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// Every host knows of the write.
    Done,
    /// The host that took the write knows of it.
    Pending,
    /// It may have been written or not; with the answer.
    Unknown(String),
}

/// An answer to a read, for reports about a stretch of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) asked: Instant,
    pub(super) at: Instant,
    pub(super) host: usize,
    pub(super) hit: bool,
}

/// Sends requests to hosts and records what they answer.
pub(super) struct Desk {
    seats: Vec<Seat>,
    client: Client,
    ledger: Ledger,
    versions: Mutex<BTreeMap<Subject, u64>>,
    looks: Mutex<Vec<Look>>,
    failed: Mutex<Vec<String>>,
    refused: Mutex<Vec<String>>,
    pending: AtomicUsize,
    over: AtomicBool,
}

/// A host as clients see it.
struct Seat {
    url: String,
    /// The number of its present life: its own number, and as many more with each life as there are hosts.
    life: AtomicUsize,
    /// The form of its answers: the number in their column `format`, or 1 if they have no such
    /// column.
    format: AtomicU64,
    /// Clients must not ask it now.
    away: AtomicBool,
    /// Requests on their way.
    busy: AtomicUsize,
}

impl Desk {
    pub(super) fn new(hosts: &[Host]) -> Self {
        Self {
            seats: hosts.iter().enumerate().map(Seat::new).collect(),
            client: Client::new(),
            ledger: Ledger::new(),
            versions: Mutex::default(),
            looks: Mutex::default(),
            failed: Mutex::default(),
            refused: Mutex::default(),
            pending: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// Makes clients end after their current request.
    pub(super) fn close(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// Reads; `None` if there was no answer, which the verdict counts against the host.
    pub(super) async fn read(&self, host: usize, read: Read) -> anyhow::Result<Option<Seen>> {
        let (subject, path) = match read {
            Read::Row(subject) => (subject, rows::read_path(subject)),
            Read::Slow(id, ms) => (Subject::Item(id), format!("/read/slow?id={id}&ms={ms}")),
        };
        let request = self.ledger.asked(host, self.life(host), subject);
        let asked = Instant::now();
        let answer = self.client.get(&format!("{}{path}", self.seats[host].url)).await;
        let answer = match answer {
            Ok(answer) if answer.status == StatusCode::OK => answer,
            other => {
                self.fail(&format!("a read of {subject} through host {host}"), &other);
                return Ok(None);
            }
        };
        let body = rows::body(&answer.body)?;
        let format = answer.json()?["format"].as_u64().unwrap_or(1);
        let expected = self.seats[host].format.load(Ordering::SeqCst);
        if format != expected {
            let what = format!("host {host} answers {read:?} in form {format}, not {expected}");
            lock(&self.failed).push(what);
        }
        let answered =
            Event::Answered { request, body: Some(body), stale_if_error: false, near: false };
        self.ledger.event(answered);
        let hit = answer.is_hit();
        lock(&self.looks).push(Look { asked, at: Instant::now(), host, hit });
        Ok(Some(Seen { version: body.version, hit }))
    }

    /// Gives a row its next version.
    pub(super) async fn write(
        &self,
        host: usize,
        subject: Subject,
        way: Way,
    ) -> anyhow::Result<Told> {
        let version = self.next_version(subject);
        let (path, body) = rows::write_of(subject, version, way == Way::Through);
        let request = self.ledger.wrote(self.life(host), subject, version);
        let answer = self.post(host, path, body).await;
        match &answer {
            Ok(answer) if answer.status == StatusCode::OK => {
                let pending = answer.json()?["cache"] == "pending";
                self.ledger.acknowledged(request, pending);
                self.pending.fetch_add(usize::from(pending), Ordering::Relaxed);
                Ok(if pending { Told::Pending } else { Told::Done })
            }
            other => Ok(Told::Unknown(describe(other))),
        }
    }

    /// `POST` of a JSON text to a host.
    async fn post(&self, host: usize, path: &str, body: String) -> anyhow::Result<Answer> {
        let json = [("content-type", "application/json")];
        let url = format!("{}{path}", self.seats[host].url);
        self.client.request(Method::POST, &url, &json, Bytes::from(body)).await
    }

    /// Waits until a host answers every row from the store, one after the other.
    pub(super) async fn until_hits(&self, host: usize, limit: Duration) -> anyhow::Result<()> {
        let what = format!("every row is a hit through host {host}");
        eventually(&what, limit, || async {
            for read in all() {
                if !self.read(host, read).await?.is_some_and(|seen| seen.hit) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    /// The answers to reads that ended between two moments.
    pub(super) fn looks(&self, from: Instant, to: Instant) -> Vec<Look> {
        let within = |look: &&Look| (from..to).contains(&look.at);
        lock(&self.looks).iter().filter(within).copied().collect()
    }

    pub(super) fn verdict(&self) -> Verdict {
        let violations = self.ledger.judge(Duration::ZERO);
        let old = violations.iter().filter(|one| one.what.contains("read version"));
        // An answer with two old rows is one answer; both complaints begin with its request.
        let stale: BTreeSet<_> = old.filter_map(|one| one.what.split(' ').next()).collect();
        let (failed, refused) = (lock(&self.failed), lock(&self.refused));
        let words = violations.iter().map(ToString::to_string).chain(failed.iter().cloned());
        Verdict {
            requests: self.ledger.requests(),
            hits: lock(&self.looks).iter().filter(|look| look.hit).count(),
            pending: self.pending.load(Ordering::Relaxed),
            stale: stale.len(),
            failed: failed.len(),
            refused: refused.len(),
            complaints: words.take(SHOWN).collect(),
            refusals: refused.iter().take(SHOWN).cloned().collect(),
        }
    }

    /// Keeps clients away from a host, and waits until its requests are answered.
    pub(super) async fn leave(&self, host: usize) -> anyhow::Result<()> {
        let seat = &self.seats[host];
        seat.away.store(true, Ordering::SeqCst);
        eventually("a host is left alone", SOON, || async {
            Ok((seat.busy.load(Ordering::SeqCst) == 0).then_some(()))
        })
        .await
    }

    /// Notes that a host was killed: what it owed to the store is lost.
    pub(super) fn killed(&self, host: usize) {
        let hosts = self.seats.len();
        let life = self.seats[host].life.fetch_add(hosts, Ordering::SeqCst);
        self.ledger.crashed(host, life);
    }

    fn life(&self, host: usize) -> Life {
        self.seats[host].life.load(Ordering::SeqCst)
    }

    /// Lets clients ask a host again, which now answers in this form.
    pub(super) fn come_back(&self, host: usize, format: u64) {
        self.seats[host].format.store(format, Ordering::SeqCst);
        self.seats[host].away.store(false, Ordering::SeqCst);
    }

    /// How many rows a host does not answer from the store.
    pub(super) async fn misses(&self, host: usize) -> anyhow::Result<usize> {
        let mut misses = 0;
        for read in all() {
            misses += usize::from(!self.read(host, read).await?.is_some_and(|seen| seen.hit));
        }
        Ok(misses)
    }

    /// Any host that clients may ask, counted as busy.
    fn choose(&self, random: &mut StdRng) -> Option<Chosen<'_>> {
        let host = random.random_range(0..self.seats.len());
        let seat = &self.seats[host];
        seat.busy.fetch_add(1, Ordering::SeqCst);
        let chosen = Chosen { host, seat };
        (!seat.away.load(Ordering::SeqCst)).then_some(chosen)
    }

    fn next_version(&self, subject: Subject) -> u64 {
        let mut versions = lock(&self.versions);
        let version = versions.entry(subject).or_insert(1);
        *version += 1;
        *version
    }

    fn fail(&self, what: &str, answer: &anyhow::Result<Answer>) {
        lock(&self.failed).push(format!("{what}: {}", describe(answer)));
    }
}

/// A host that a client is about to ask.
struct Chosen<'a> {
    host: usize,
    seat: &'a Seat,
}

impl Drop for Chosen<'_> {
    fn drop(&mut self) {
        self.seat.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Seat {
    fn new((life, host): (Life, &Host)) -> Self {
        Self {
            url: host.url(""),
            life: AtomicUsize::new(life),
            format: AtomicU64::new(1),
            away: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
        }
    }
}

/// Every row.
pub(super) fn subjects() -> impl Iterator<Item = Subject> {
    (0..ITEMS).map(Subject::Item).chain((0..TEAMS).map(Subject::Team))
}

/// Every read that is answered at once.
pub(super) fn all() -> impl Iterator<Item = Read> {
    subjects().map(Read::Row)
}

/// Reads and writes any rows, with slow reads among them.
pub(super) async fn client(desk: Arc<Desk>, pause: Duration, seed: u64) -> anyhow::Result<()> {
    /// A lease lives for a second or two, so some of these renew it and some do not.
    const SLOW_MS: [u64; 3] = [100, 400, 1_600];
    let mut random = StdRng::seed_from_u64(seed);
    let subjects: Vec<Subject> = subjects().collect();
    while !desk.over.load(Ordering::SeqCst) {
        sleep(pause.mul_f64(random.random())).await;
        let Some(chosen) = desk.choose(&mut random) else { continue };
        let host = chosen.host;
        let subject = subjects[random.random_range(0..subjects.len())];
        match (random.random_range(0..100), subject) {
            (0..10, _) => {
                let way = if random.random() { Way::Invalidate } else { Way::Through };
                if let Told::Unknown(why) = desk.write(host, subject, way).await? {
                    let what = format!("a write of {subject} through host {host}: {why}");
                    lock(&desk.refused).push(what);
                }
            }
            (10..20, Subject::Item(id)) => {
                let ms = SLOW_MS[random.random_range(0..SLOW_MS.len())];
                desk.read(host, Read::Slow(id, ms)).await?;
            }
            _ => drop(desk.read(host, Read::Row(subject)).await?),
        }
    }
    Ok(())
}

fn describe(answer: &anyhow::Result<Answer>) -> String {
    match answer {
        Ok(answer) => format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
        Err(error) => format!("{error:#}"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
