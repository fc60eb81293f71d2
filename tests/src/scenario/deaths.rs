//! A host is killed between its commit and its invalidation. Another host, which has the old value
//! in the store, must stop answering it soon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use hyper::Method;
use rand::RngExt as _;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::{millis, rows};
use crate::client::Client;
use crate::servers::{Host, Postgres, Redis};
use crate::sim::truth::Subject;

/// How long a message between the writing host and the store takes: so long that most of a write's
/// time lies between its commit and the end of its invalidation.
const FAR: Duration = Duration::from_millis(25);

/// About how long a write over such a way takes.
const WRITE_TAKES_MS: u64 = 160;

/// How soon a write that was committed and never acknowledged has to be seen, as host/MANUAL.md
/// promises.
pub const SEEN_WITHIN: Duration = Duration::from_secs(3);

/// How long the scenario waits for a write that is seen too late.
const PATIENCE: Duration = Duration::from_secs(20);

/// The result.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// All kills, including those before a commit or after an invalidation.
    pub kills: usize,
    /// How long the old value was still answered after a kill, in milliseconds, sorted.
    pub stale_ms: Vec<f64>,
}

impl Report {
    /// Whether hosts died, and each of their writes was seen within [`SEEN_WITHIN`].
    #[must_use]
    pub fn holds(&self) -> bool {
        let is_seen = |stale_ms: &f64| *stale_ms <= millis(SEEN_WITHIN);
        !self.stale_ms.is_empty() && self.stale_ms.iter().all(is_seen)
    }
}

/// Kills a writing host at random moments until `deaths` of its writes were committed and not yet
/// invalidated.
///
/// # Errors
/// If a server does not come up, or the old value stays.
pub async fn run(deaths: usize, told: impl Fn(usize)) -> anyhow::Result<Report> {
    let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
    rows::make(&postgres, 1, 1).await?;
    let far = distant(redis.port()).await?;
    let patient = "timeout = \"1s\"";
    let near = Duration::ZERO;
    let mut writer = Host::start(&rows::config(&far, &postgres, patient, near)).await?;
    let reader = Host::start(&rows::config(&redis.url(), &postgres, patient, near)).await?;
    let (subject, client) = (Subject::Item(0), Client::new());
    let (mut kills, mut stale_ms, mut version) = (0, Vec::new(), 1);
    while stale_ms.len() < deaths {
        let known = answered(&client, &reader, subject).await?;
        ensure!(known == version, "version {known} is answered, not {version}");
        let writing = tokio::spawn(write(writer.url(""), subject, version + 1));
        let moment = rand::rng().random_range(0..WRITE_TAKES_MS);
        sleep(Duration::from_millis(moment)).await;
        let killed = Instant::now();
        writer.kill();
        kills += 1;
        let acknowledged = writing.await?;
        let truth = rows::version(&postgres, subject).await?;
        if answered(&client, &reader, subject).await? < truth {
            ensure!(!acknowledged, "an acknowledged write is not read");
            until_answered(&client, &reader, subject, truth).await?;
            stale_ms.push(millis(killed.elapsed()));
            told(stale_ms.len());
        }
        version = truth;
        writer.restart().await?;
    }
    stale_ms.sort_by(f64::total_cmp);
    Ok(Report { kills, stale_ms })
}

async fn write(url: String, subject: Subject, version: u64) -> bool {
    let (path, body) = rows::write_of(subject, version, false);
    let json = [("content-type", "application/json")];
    let url = format!("{url}{path}");
    let answer = Client::new().request(Method::POST, &url, &json, Bytes::from(body)).await;
    answer.is_ok_and(|answer| answer.status.is_success())
}

async fn answered(client: &Client, reader: &Host, subject: Subject) -> anyhow::Result<u64> {
    let answer = client.get(&reader.url(&rows::read_path(subject))).await?;
    ensure!(answer.status.is_success(), "{answer:?}");
    Ok(rows::body(&answer.body)?.version)
}

async fn until_answered(
    client: &Client,
    reader: &Host,
    subject: Subject,
    version: u64,
) -> anyhow::Result<()> {
    let began = Instant::now();
    while answered(client, reader, subject).await? < version {
        ensure!(began.elapsed() < PATIENCE, "still stale after {PATIENCE:?}");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// The address of a way to the server at `port` on which every message takes [`FAR`].
async fn distant(port: u16) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("redis://{}", listener.local_addr().context("an address")?);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(carry(near_in, far_out));
            tokio::spawn(carry(far_in, near_out));
        }
    });
    Ok(url)
}

/// Carries what comes, in order, each piece [`FAR`] after it came. If the sender dies, what is on
/// its way is lost, as with a machine that loses its power.
async fn carry(mut from: tokio::net::tcp::OwnedReadHalf, mut to: tokio::net::tcp::OwnedWriteHalf) {
    let (send, mut pieces) = tokio::sync::mpsc::unbounded_channel::<(Instant, Arc<[u8]>)>();
    let delivery = tokio::spawn(async move {
        while let Some((came, piece)) = pieces.recv().await {
            tokio::time::sleep_until((came + FAR).into()).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if send.send((Instant::now(), buffer[..length].into())).is_err() {
            break;
        }
    }
    delivery.abort();
}
