//! How long a near cache answers a value that a write on another host has made untrue: while the
//! news of the write is on its way, while the way to the store is silent, and while the store
//! itself is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hyper::{Method, StatusCode};
use serde::Serialize;
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{median, rows};
use crate::client::Client;
use crate::load::{Load, Outcome, Turn};
use crate::servers::{Host, Postgres, Redis, eventually};
use crate::sim::truth::Subject;

const ROW: Subject = Subject::Item(0);

/// Connections that read all the time.
const READERS: usize = 2;

/// Far longer than any wait.
const SOON: Duration = Duration::from_secs(30);

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Nothing is wrong, and the news of a write takes its usual time.
    pub sound: Lag,
    /// Nothing passes between the reading host and the store in either direction, and neither is
    /// told.
    pub silent: Lag,
    /// The store is stopped; the writes are acknowledged as pending.
    pub stopped: Lag,
}

/// For how long after a write's acknowledgement reads began that did not see the write.
#[derive(Debug, Clone, Serialize)]
pub struct Lag {
    /// How long the near cache may answer.
    pub near_ms: u64,
    /// Writes.
    pub writes: usize,
    /// Further writes that are not judged, since they were not answered as this disturbance makes them be
    /// answered. On a busy machine the store's budget runs out now and then, and a write is acknowledged as
    /// pending: other hosts see it when its host reaches the store again.
    pub unjudged: usize,
    /// Reads meanwhile, and how many of them the near cache answered.
    pub reads: (usize, usize),
    /// Writes after which such a read began.
    pub behind: usize,
    /// The median of all writes, in milliseconds.
    pub median_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Report {
    /// Whether the near cache answered in each part, and never for longer than it may.
    #[must_use]
    pub fn holds(&self) -> bool {
        let Self { sound, silent, stopped } = self;
        [sound, silent, stopped]
            .iter()
            .all(|lag| lag.writes > 0 && lag.reads.1 > 0 && lag.max_ms <= lag.near_ms as f64)
    }
}

/// Two hosts over one store. The reader's way to the store can fall silent.
struct Scene {
    redis: Redis,
    writer: Host,
    reader: Host,
    silence: watch::Sender<bool>,
    near: Duration,
    _postgres: Postgres,
}

/// Makes so many writes over a sound way, and so many rounds of writes over a silent way and to a
/// stopped store.
///
/// # Errors
/// If a server does not come up, or an old value stays.
pub async fn run(near: Duration, writes: usize, rounds: usize) -> anyhow::Result<Report> {
    let scene = Scene::start(near).await?;
    let sound = scene.writes(writes, "invalidated", async |_| Ok(())).await?;
    let hush = async |silent| Ok(scene.silence.send(silent)?);
    let silent = scene.writes(rounds, "invalidated", hush).await?;
    let stop = async |stopped| if stopped { scene.redis.stop() } else { scene.redis.cont() };
    let stopped = scene.writes(rounds, "pending", stop).await?;
    Ok(Report { sound, silent, stopped })
}

impl Scene {
    async fn start(near: Duration) -> anyhow::Result<Self> {
        let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
        rows::make(&postgres, 1, 1).await?;
        let (silence, silent) = watch::channel(false);
        let way = way_to(redis.port(), silent).await?;
        let config = |url: &str| rows::config(url, &postgres, "", near);
        let writer = Host::start(&config(&redis.url())).await?;
        let reader = Host::start(&config(&way)).await?;
        Ok(Self { redis, writer, reader, silence, near, _postgres: postgres })
    }

    /// Disturbs, writes, waits until the reader sees the write, and ends the disturbance; again and
    /// again. The writes that are answered as `cache` are judged.
    async fn writes(
        &self,
        writes: usize,
        cache: &str,
        disturb: impl AsyncFn(bool) -> anyhow::Result<()>,
    ) -> anyhow::Result<Lag> {
        let url = self.reader.url(&rows::read_path(ROW));
        let load = Load::start(READERS, move |client, _turn: Turn| {
            let url = url.clone();
            async move { Outcome::of(&client, &url).await }
        });
        let client = Client::new();
        let mut acknowledged = Vec::new();
        for _ in 0..writes {
            self.keeps(&client).await?;
            disturb(true).await?;
            let version = self.known(&client).await? + 1;
            let (at, answered) = self.write(&client, version).await?;
            eventually("the reader to know", SOON, || async {
                Ok((self.known(&client).await? >= version).then_some(()))
            })
            .await?;
            if answered == cache {
                acknowledged.push(Acknowledged { version, at, known: Instant::now() });
            }
            disturb(false).await?;
        }
        let reads = load.stop().await?;
        let unjudged = writes - acknowledged.len();
        Ok(Lag { unjudged, ..Lag::of(self.near, &acknowledged, &reads)? })
    }

    /// Waits until the reader answers from its near cache.
    async fn keeps(&self, client: &Client) -> anyhow::Result<()> {
        let url = self.reader.url(&rows::read_path(ROW));
        eventually("the near cache", SOON, || async {
            Ok(rows::is_near(&client.get(&url).await?).then_some(()))
        })
        .await
    }

    async fn known(&self, client: &Client) -> anyhow::Result<u64> {
        let answer = client.get(&self.reader.url(&rows::read_path(ROW))).await?;
        Ok(rows::body(&answer.body)?.version)
    }

    /// Writes; returns when the write was acknowledged, and what became of the values that it touched.
    async fn write(&self, client: &Client, version: u64) -> anyhow::Result<(Instant, String)> {
        let (path, body) = rows::write_of(ROW, version, false);
        let json = [("content-type", "application/json")];
        let url = self.writer.url(path);
        eventually("a write", SOON, || async {
            let answer = client.request(Method::POST, &url, &json, body.clone()).await?;
            // On a busy machine the database may end an idle transaction, so nothing was written.
            let rejected = answer.status == StatusCode::UNPROCESSABLE_ENTITY;
            ensure!(rejected || answer.status.is_success(), "{answer:?}");
            let at = Instant::now();
            if rejected {
                return Ok(None);
            }
            let cache = answer.json()?["cache"].as_str().unwrap_or_default().to_owned();
            Ok(Some((at, cache)))
        })
        .await
    }
}

/// A write, and the time until which its reader need not see it.
struct Acknowledged {
    version: u64,
    at: Instant,
    /// For a pending write, the moment at which its host has reached the store again.
    known: Instant,
}

impl Acknowledged {
    /// Whether a read that began at `began` should have seen the write and did not.
    fn is_missing(&self, began: Instant, version: u64) -> bool {
        self.at < began && began < self.known && version < self.version
    }
}

impl Lag {
    fn of(
        near: Duration,
        acknowledged: &[Acknowledged],
        reads: &[Outcome],
    ) -> anyhow::Result<Self> {
        let mut seen = Vec::with_capacity(reads.len());
        let mut kept = 0;
        for read in reads {
            let answer = read.answer.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
            ensure!(answer.status.is_success(), "{answer:?}");
            kept += usize::from(rows::is_near(answer));
            seen.push((read.began, rows::body(&answer.body)?.version));
        }
        let lag = |write: &Acknowledged| {
            let late = seen.iter().filter(|(began, version)| write.is_missing(*began, *version));
            late.map(|(began, _)| *began - write.at).max().unwrap_or_default()
        };
        let lags: Vec<Duration> = acknowledged.iter().map(lag).collect();
        let mut sorted: Vec<f64> = lags.iter().copied().map(exact_millis).collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let at = |index: usize| sorted.get(index.min(last)).copied().unwrap_or_default();
        Ok(Self {
            near_ms: u64::try_from(near.as_millis())?,
            writes: lags.len(),
            unjudged: 0,
            reads: (seen.len(), kept),
            behind: lags.iter().filter(|lag| !lag.is_zero()).count(),
            median_ms: median(sorted.clone()),
            p99_ms: at(sorted.len() * 99 / 100),
            max_ms: at(last),
        })
    }
}

/// In milliseconds, to a hundredth: the news takes less than one millisecond over loopback.
fn exact_millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

/// The address of a way to the server at `port` on which nothing passes while it is silent.
async fn way_to(port: u16, silent: watch::Receiver<bool>) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("redis://{}", listener.local_addr().context("an address")?);
    let silent = Arc::new(silent);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
            let _best_effort = (near.set_nodelay(true), far.set_nodelay(true));
            tokio::spawn(carry(near, far, watch::Receiver::clone(&silent)));
        }
    });
    Ok(url)
}

/// Carries both directions. During a silence the connection stays open, and nothing moves.
async fn carry(near: TcpStream, far: TcpStream, mut silent: watch::Receiver<bool>) {
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) =
        (near.into_split(), far.into_split());
    let forth = copy(&mut near_in, &mut far_out);
    let back = copy(&mut far_in, &mut near_out);
    tokio::pin!(forth, back);
    loop {
        if silent.wait_for(|silent| !*silent).await.is_err() {
            return;
        }
        tokio::select! {
            biased;
            _ = silent.wait_for(|silent| *silent) => {}
            _ = &mut forth => return,
            _ = &mut back => return,
        }
    }
}
