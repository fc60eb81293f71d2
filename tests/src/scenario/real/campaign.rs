//! Redis crashes and comes back from a snapshot, and fails over to a replica that lagged, again and
//! again under load, at any moment: with values, leases and loads of every age.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Verdict;
use super::desk::Look;
use super::pair::Pair;
use super::scene::{SOON, Scene};
use crate::forwarder::Forwarder;
use crate::scenario::{median, millis};
use crate::servers::{Redis, Sentinels, eventually};

const HOSTS: usize = 3;
const CLIENTS: u64 = 8;

/// The longest pause of a client: the scenario measures time, not throughput.
const PAUSE: Duration = Duration::from_millis(20);

/// The times before a crash, and after the cache is used again, in which hits are counted.
const STRETCH: Duration = Duration::from_millis(500);

/// How old the data is with which Redis comes back.
const REMEMBERED_MS: std::ops::Range<u64> = 50..1_500;

/// How long Redis is down.
const AWAY_MS: std::ops::Range<u64> = 0..300;

/// When a host is killed and started again, after every second failover: before another server has taken the
/// place of the one that is gone, while the new one is watched, or after that.
const RESTARTED_MS: std::ops::Range<u64> = 0..4_000;

/// What happens again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Crash {
    /// Redis is killed and comes back from its snapshot.
    Restart,
    /// Redis is killed, and a replica that did not get the last writes takes its place.
    Failover,
    /// The same, where sentinels put the replica in the place of the primary.
    Supervised,
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What happened.
    pub crash: Crash,
    /// How often it happened.
    pub crashes: u32,
    /// From each crash until the last of the hosts had its first hit again, in milliseconds.
    pub origin_ms: Spread,
    /// How often a host was killed and started again in the middle of a failover.
    pub restarted: u32,
    /// From when such a host was ready until its first hit, in milliseconds.
    pub newcomer_ms: Spread,
    /// The share of hits in a stretch before each crash.
    pub hits_before: Spread,
    /// The same after the cache is used again.
    pub hits_after: Spread,
    /// The verdict on all requests.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// A figure over all crashes.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    /// The smallest.
    pub least: f64,
    /// The median.
    pub median: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let (least, most) = (figures.first().copied(), figures.last().copied());
        Self { least: least.unwrap_or(0.0), most: most.unwrap_or(0.0), median: median(figures) }
    }
}

/// One crash.
struct Crashed {
    before: f64,
    origin: Duration,
    after: f64,
}

/// Crashes Redis so often.
///
/// # Errors
/// When a server does not come up, or the cache is not used again.
pub async fn run(crash: Crash, crashes: u32, seed: u64) -> anyhow::Result<Report> {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut seen, mut newcomers) = (Vec::new(), Vec::new());
    let mut stage = Stage::set(crash).await?;
    stage.scene.fill().await?;
    stage.scene.start_clients(CLIENTS, PAUSE, seed);
    for number in 0..crashes {
        if number > 0 {
            stage.store.mend().await?;
        }
        stage.scene.first_hits(Instant::now()).await?;
        stage.store.remember().await?;
        sleep(Duration::from_millis(random.random_range(REMEMBERED_MS))).await;
        let away = Duration::from_millis(random.random_range(AWAY_MS));
        let gone = stage.store.crash(away).await?;
        if crash != Crash::Restart && number % 2 == 1 {
            sleep(Duration::from_millis(random.random_range(RESTARTED_MS))).await;
            let host = random.random_range(0..HOSTS);
            newcomers.push((host, stage.scene.restart(host).await?));
        }
        seen.push(stage.scene.back(gone).await?);
    }
    let newcomer = |(host, ready): &(usize, Instant)| {
        let looks = stage.scene.desk.looks(*ready, Instant::now());
        let first = looks.iter().find(|look| look.host == *host && look.hit)?;
        Some(millis(first.at - *ready))
    };
    let newcomer_ms = Spread::of(newcomers.iter().filter_map(newcomer));
    Ok(Report {
        crash,
        crashes,
        restarted: u32::try_from(newcomers.len())?,
        newcomer_ms,
        origin_ms: Spread::of(seen.iter().map(|one| millis(one.origin))),
        hits_before: Spread::of(seen.iter().map(|one| one.before)),
        hits_after: Spread::of(seen.iter().map(|one| one.after)),
        verdict: stage.scene.end().await?,
    })
}

struct Stage {
    scene: Scene,
    store: Store,
}

/// A Redis that crashes.
#[expect(clippy::large_enum_variant, reason = "there is one")]
enum Store {
    Alone(Redis),
    Replicated { pair: Pair, name: Forwarder },
    Supervised { sentinels: Sentinels, primary: usize },
}

impl Stage {
    async fn set(crash: Crash) -> anyhow::Result<Self> {
        let (store, url) = match crash {
            Crash::Restart => {
                let redis = Redis::start().await?;
                let url = redis.url();
                (Store::Alone(redis), url)
            }
            Crash::Failover => {
                let pair = Pair::start().await?;
                let name = Forwarder::start(pair.primary.port()).await?;
                let url = name.redis_url();
                (Store::Replicated { pair, name }, url)
            }
            Crash::Supervised => {
                let sentinels = Sentinels::start().await?;
                let url = sentinels.url();
                (Store::Supervised { sentinels, primary: 0 }, url)
            }
        };
        Ok(Self { scene: Scene::set(&vec![url; HOSTS]).await?, store })
    }
}

impl Store {
    /// Keeps what Redis has now as what comes back after the crash.
    async fn remember(&self) -> anyhow::Result<()> {
        match self {
            Self::Alone(redis) => redis.save().await,
            Self::Replicated { pair, .. } => {
                pair.in_step().await?;
                pair.withhold();
                Ok(())
            }
            Self::Supervised { sentinels, primary } => {
                sentinels.in_step(*primary).await?;
                sentinels.withhold(*primary).await
            }
        }
    }

    /// Ends Redis for so long; returns when it ended.
    async fn crash(&mut self, away: Duration) -> anyhow::Result<Instant> {
        match self {
            Self::Alone(redis) => {
                redis.kill();
                let gone = Instant::now();
                sleep(away).await;
                redis.restart().await?;
                Ok(gone)
            }
            Self::Replicated { pair, name } => {
                pair.primary.kill();
                let gone = Instant::now();
                sleep(away).await;
                pair.promote().await?;
                name.point_to(pair.replica.port());
                name.cut();
                Ok(gone)
            }
            Self::Supervised { sentinels, primary } => {
                sentinels.kill(*primary);
                Ok(Instant::now())
            }
        }
    }

    async fn mend(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Alone(_) => Ok(()),
            Self::Replicated { pair, .. } => pair.swap().await,
            Self::Supervised { sentinels, primary } => {
                *primary = sentinels.mend().await?;
                Ok(())
            }
        }
    }
}

impl Scene {
    /// Waits until every host has answered from the store a request that began after this moment;
    /// returns when the last of them first did.
    pub(super) async fn first_hits(&self, after: Instant) -> anyhow::Result<Instant> {
        let first_hits = eventually("every host uses the store", SOON, || async {
            let looks = self.desk.looks(after, Instant::now());
            // A hit may be on its way to its client when the store ends.
            let hit = |look: &&Look| look.hit && look.asked >= after;
            let first = |host| looks.iter().filter(hit).find(|look| look.host == host);
            Ok((0..HOSTS).map(|host| Some(first(host)?.at)).collect::<Option<Vec<_>>>())
        })
        .await?;
        Ok(first_hits.into_iter().max().unwrap_or(after))
    }

    /// Kills a host and starts it again; returns when it was ready. Clients do not ask it meanwhile.
    async fn restart(&mut self, host: usize) -> anyhow::Result<Instant> {
        self.desk.leave(host).await?;
        self.hosts[host].kill();
        self.desk.killed(host);
        self.hosts[host].restart().await?;
        let ready = Instant::now();
        self.desk.come_back(host, 1);
        Ok(ready)
    }

    /// How the cache was used before the store ended, and how it came back.
    async fn back(&self, gone: Instant) -> anyhow::Result<Crashed> {
        let back = self.first_hits(gone).await?;
        // Cold rows are filled one after the other.
        sleep(2 * STRETCH).await;
        let share = |from, to| {
            let looks = self.desk.looks(from, to);
            let hits = looks.iter().filter(|look: &&Look| look.hit).count();
            hits as f64 / looks.len().max(1) as f64
        };
        Ok(Crashed {
            before: share(gone - STRETCH, gone),
            origin: back - gone,
            after: share(back + STRETCH, back + 2 * STRETCH),
        })
    }
}

impl Report {
    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// As [`Verdict::expect`], and if the cache had no hits before or after.
    pub fn expect(&self) -> anyhow::Result<()> {
        self.verdict.expect()?;
        let is_used = self.hits_before.median > 0.0 && self.hits_after.median > 0.0;
        anyhow::ensure!(is_used, "no hits: {self:#?}");
        Ok(())
    }
}
