//! Clients read and write through three hosts over real servers, one of them an hour ahead of the
//! others, while something breaks every second. No read may be stale, no acknowledged write may be
//! lost, and no read may fail while the origin is up.

mod strike;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use hyper::{Method, StatusCode};
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use self::strike::FAULTS;
use self::windows::Windows;
use super::ledger::Ledger;
use super::rows;
use crate::client::{Answer, Client};
use crate::servers::{Host, Postgres, Redis, eventually};
use crate::sim::history::{Event, Life};
use crate::sim::truth::Subject;

const HOSTS: usize = 3;
const CLIENTS: u8 = 8;
const TEAMS: u8 = 4;

/// The longest pause of a client: a disturbance strikes every second, and clients shall not be done
/// before all had their turn.
const PAUSE: Duration = Duration::from_millis(60);

/// Disturbances that a run has at least: fewer would show nothing, and one may last as long as a
/// thousand requests.
const STRIKES: usize = 6;

/// For so long after a disturbance of the origin, reads that began during it may still fail: their
/// own deadline, and the time until a connection notices.
const ORIGIN_GRACE: Duration = Duration::from_secs(4);

/// Far longer than any wait.
const SOON: Duration = Duration::from_secs(60);

/// Long enough for intents to be carried out and pending invalidations to be applied.
const REST: Duration = Duration::from_secs(4);

/// How the scenario is run.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// Requests of all clients together, at least.
    pub requests: usize,
    /// The pause between two disturbances.
    pub every: Duration,
    /// Seed of the disturbances.
    pub seed: u64,
    /// How long near caches may answer; zero for no near caches.
    pub near: Duration,
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Requests made, the last reading of everything included.
    pub requests: usize,
    /// Requests without an answer that have an excuse: their host was killed, or the origin
    /// disturbed.
    pub excused: usize,
    /// Answers from near caches.
    pub near: usize,
    /// Writes acknowledged as pending.
    pub pending: usize,
    /// Rows whose newest write a killed host had not yet told the store.
    pub lost_rows: usize,
    /// How often each disturbance struck.
    pub disturbances: BTreeMap<String, usize>,
    /// Broken promises.
    pub violations: Vec<String>,
    /// If promises were broken, when each disturbance struck and when it was over, in milliseconds.
    /// Otherwise empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub struck: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// A host as clients see it.
struct Seat {
    url: String,
    life: AtomicUsize,
    away: Windows,
}

struct Shared {
    seats: Vec<Seat>,
    lives: AtomicUsize,
    ledger: Ledger,
    origin: Windows,
    left: AtomicUsize,
    strikes: AtomicUsize,
    excused: AtomicUsize,
    near: AtomicUsize,
    pending: AtomicUsize,
    over: AtomicBool,
}

impl Shared {
    /// Whether there is another request to make.
    fn goes_on(&self) -> bool {
        let take = |left: usize| left.checked_sub(1);
        let more = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        more || self.strikes.load(Ordering::Relaxed) < STRIKES
    }
}

struct Stage {
    redis: Redis,
    postgres: Postgres,
    hosts: Vec<Host>,
    shared: Arc<Shared>,
}

impl Faults {
    /// Runs the scenario.
    ///
    /// # Errors
    /// If a server does not come up again, or an answer can't be read at all.
    pub async fn run(self) -> anyhow::Result<Report> {
        let began = Instant::now();
        let mut stage = Stage::set(self.requests, self.near).await?;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let seed = self.seed.wrapping_add(u64::from(number) + 1);
                tokio::spawn(client(Arc::clone(&stage.shared), number, seed))
            })
            .collect();
        let (mut disturbances, mut struck) = (BTreeMap::new(), Vec::new());
        let mut random = rand::rngs::StdRng::seed_from_u64(self.seed);
        // Each disturbance once, in an order that the seed determines, and then all of them again.
        let mut left = Vec::new();
        while !stage.shared.over.load(Ordering::Relaxed) {
            if left.is_empty() {
                left = FAULTS.to_vec();
            }
            let fault = left.swap_remove(random.random_range(0..left.len()));
            *disturbances.entry(format!("{fault:?}")).or_default() += 1;
            let (host, lasts) = (random.random_range(0..HOSTS), random.random_range(100..900));
            let at = stage.shared.ledger.elapsed();
            stage
                .strike(fault, host, Duration::from_millis(lasts))
                .await
                .context(format!("{fault:?}"))?;
            stage.shared.strikes.fetch_add(1, Ordering::Relaxed);
            let over = stage.shared.ledger.elapsed();
            struck.push(format!("{:>7}..{} {fault:?}", at.as_millis(), over.as_millis()));
            sleep(self.every).await;
        }
        for worked in try_join_all(clients).await? {
            worked?;
        }
        let mut violations = stage.rest().await?;
        let broken = stage.shared.ledger.judge(self.near);
        violations.extend(broken.iter().map(ToString::to_string));
        let immortal = rows::immortal(&stage.redis).await?;
        violations.extend(immortal.iter().map(|key| format!("{key} has no lifetime")));
        if violations.is_empty() {
            struck.clear();
        }
        let shared = &stage.shared;
        Ok(Report {
            requests: shared.ledger.requests(),
            excused: shared.excused.load(Ordering::Relaxed),
            near: shared.near.load(Ordering::Relaxed),
            pending: shared.pending.load(Ordering::Relaxed),
            lost_rows: shared.ledger.lost().len(),
            disturbances,
            violations,
            struck,
            seconds: began.elapsed().as_secs_f64(),
        })
    }
}

impl Stage {
    async fn set(requests: usize, near: Duration) -> anyhow::Result<Self> {
        let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
        rows::make(&postgres, CLIENTS, TEAMS).await?;
        let config = rows::config(&redis.url(), &postgres, "", near);
        let mut hosts = Vec::new();
        hosts.push(Host::start_an_hour_ahead(&config).await?);
        is_ahead(&hosts[0]).await?;
        for _ in 1..HOSTS {
            hosts.push(Host::start(&config).await?);
        }
        let seat = |(life, host): (usize, &Host)| Seat {
            url: host.url(""),
            life: AtomicUsize::new(life),
            away: Windows::default(),
        };
        let shared = Arc::new(Shared {
            seats: hosts.iter().enumerate().map(seat).collect(),
            lives: AtomicUsize::new(HOSTS),
            ledger: Ledger::new(),
            origin: Windows::default(),
            left: AtomicUsize::new(requests),
            strikes: AtomicUsize::new(0),
            excused: AtomicUsize::new(0),
            near: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        Ok(Self { redis, postgres, hosts, shared })
    }

    /// Waits until every host has recovered, and compares store and origin.
    async fn rest(&self) -> anyhow::Result<Vec<String>> {
        for host in &self.hosts {
            eventually("a host to owe nothing", SOON, || async {
                let Ok(metrics) = host.metrics().await else { return Ok(None) };
                let trusts = metrics.sum("corral_breaker_state") == 0.0;
                let owes = metrics.sum("corral_pending_invalidations") > 0.0;
                Ok((trusts && !owes).then_some(()))
            })
            .await?;
        }
        sleep(REST).await;
        self.shared.ledger.event(Event::AtRest);
        let (lost, client) = (self.shared.ledger.lost(), Client::new());
        let mut differences = Vec::new();
        for subject in all() {
            let truth = rows::version(&self.postgres, subject).await?;
            for number in 0..HOSTS {
                let answered = read(&self.shared, &client, number, subject).await?;
                if answered != Some(truth) && !lost.contains(&subject) {
                    differences.push(format!(
                        "at rest: host {number} answers {answered:?} for {subject}, not {truth}"
                    ));
                }
            }
        }
        Ok(differences)
    }
}

/// Checks that the host's clock is wrong: the times in its report about its policy lie ahead.
async fn is_ahead(host: &Host) -> anyhow::Result<()> {
    let status = host.get("/admin/policy").await?.json()?;
    let said = status["current"]["activated_at"].as_str().context("a time")?;
    let ahead = humantime::parse_rfc3339(said)?.duration_since(std::time::SystemTime::now());
    ensure!(ahead.is_ok_and(|ahead| ahead > Duration::from_secs(3000)), "its clock says {said}");
    Ok(())
}

fn all() -> impl Iterator<Item = Subject> {
    (0..CLIENTS).map(Subject::Item).chain((0..TEAMS).map(Subject::Team))
}

/// Reads any row, and writes the rows that belong to this client.
async fn client(shared: Arc<Shared>, number: u8, seed: u64) -> anyhow::Result<()> {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let client = Client::new();
    let mut versions = BTreeMap::new();
    let own = [Some(Subject::Item(number)), (number < TEAMS).then_some(Subject::Team(number))];
    let own: Vec<Subject> = own.into_iter().flatten().collect();
    let all: Vec<Subject> = all().collect();
    while shared.goes_on() {
        sleep(PAUSE.mul_f64(random.random())).await;
        let host = random.random_range(0..HOSTS);
        if random.random_range(0..100) < 20 {
            let subject = own[random.random_range(0..own.len())];
            let version = versions.entry(subject).or_insert(1_u64);
            *version += 1;
            let through = random.random_range(0..2) == 0;
            write(&shared, &client, host, subject, *version, through).await?;
        } else {
            read(&shared, &client, host, all[random.random_range(0..all.len())]).await?;
        }
    }
    shared.over.store(true, Ordering::Relaxed);
    Ok(())
}

async fn read(
    shared: &Shared,
    client: &Client,
    host: usize,
    subject: Subject,
) -> anyhow::Result<Option<u64>> {
    let (seat, began) = (&shared.seats[host], Instant::now());
    let request = shared.ledger.asked(host, seat.life.load(Ordering::SeqCst), subject);
    let answer = client.get(&format!("{}{}", seat.url, rows::read_path(subject))).await;
    if let Ok(answer) = &answer
        && answer.status == StatusCode::OK
    {
        let (body, near) = (rows::body(&answer.body)?, rows::is_near(answer));
        let answered = Event::Answered { request, body: Some(body), stale_if_error: false, near };
        shared.ledger.event(answered);
        shared.near.fetch_add(usize::from(near), Ordering::Relaxed);
        return Ok(Some(body.version));
    }
    if shared.excuses(seat, &answer, began) {
        shared.excused.fetch_add(1, Ordering::Relaxed);
    } else {
        let why = describe(&answer);
        shared.ledger.event(Event::Unanswered { request, why, late: false });
    }
    Ok(None)
}

async fn write(
    shared: &Shared,
    client: &Client,
    host: usize,
    subject: Subject,
    version: u64,
    through: bool,
) -> anyhow::Result<()> {
    let (seat, began) = (&shared.seats[host], Instant::now());
    let life: Life = seat.life.load(Ordering::SeqCst);
    let (path, body) = rows::write_of(subject, version, through);
    let request = shared.ledger.wrote(life, subject, version);
    let json = [("content-type", "application/json")];
    let url = format!("{}{path}", seat.url);
    let answer = client.request(Method::POST, &url, &json, Bytes::from(body)).await;
    match &answer {
        Ok(answer) if answer.status == StatusCode::OK => {
            let pending = answer.json()?["cache"] == "pending";
            shared.pending.fetch_add(usize::from(pending), Ordering::Relaxed);
            shared.ledger.acknowledged(request, pending);
        }
        _ if shared.excuses(seat, &answer, began) => {
            shared.excused.fetch_add(1, Ordering::Relaxed);
        }
        _ => {
            let why = describe(&answer);
            shared.ledger.event(Event::Failed { request, why, in_doubt: false });
        }
    }
    Ok(())
}

impl Shared {
    /// Whether a request that began at `began` is excused for its missing answer: its host was down
    /// and nothing came, or the origin was disturbed and the host says so.
    fn excuses(&self, seat: &Seat, answer: &anyhow::Result<Answer>, began: Instant) -> bool {
        match answer {
            Err(_) => seat.away.excuse(began, Duration::ZERO),
            Ok(answer) => {
                answer.status.is_server_error() && self.origin.excuse(began, ORIGIN_GRACE)
            }
        }
    }
}

fn describe(answer: &anyhow::Result<Answer>) -> String {
    match answer {
        Ok(answer) => format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
        Err(error) => format!("{error:#}"),
    }
}

impl Report {
    /// Whether every promise was kept.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations.is_empty()
    }

    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// When a promise was broken.
    pub fn expect(&self) -> anyhow::Result<()> {
        ensure!(self.holds(), "{:#?}\n{:#?}", self.violations, self.struck);
        Ok(())
    }
}
