//! Load on hosts: a crowd that asks at once, and connections that ask until they are told to stop.

mod crowd;

pub use crowd::Crowd;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use hyper::StatusCode;
use tokio::task::JoinHandle;

use crate::client::{Answer, Client};
use crate::servers::{Redis, eventually};

/// One request and its answer, with times on this process's clock.
#[derive(Debug)]
pub struct Outcome {
    /// When it was sent.
    pub began: Instant,
    /// When its answer was complete, or failed to come.
    pub ended: Instant,
    /// The answer, of any status.
    pub answer: anyhow::Result<Answer>,
}

impl Outcome {
    /// Sends a `GET` and waits for its outcome.
    pub async fn of(client: &Client, url: &str) -> Self {
        let began = Instant::now();
        let answer = client.get(url).await;
        Self { began, ended: Instant::now(), answer }
    }

    /// How long it took.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.ended - self.began
    }

    /// The answer's content, if it is one of status 200.
    ///
    /// # Errors
    /// With the status and the body of any other answer, and when none came or it is not JSON.
    pub fn content(&self) -> anyhow::Result<serde_json::Value> {
        let answer = self.answer.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        ensure!(answer.status == StatusCode::OK, "{} {:?}", answer.status, answer.body);
        answer.json()
    }
}

/// Connections that ask one request after the other until [`Load::stop`].
pub struct Load<V> {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<Vec<V>>>,
}

/// One request of a load.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// The connection, from 0.
    pub connection: usize,
    /// The request of that connection, from 0.
    pub nth: usize,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    done: AtomicUsize,
}

impl<V: Send + 'static> Load<V> {
    /// Starts to ask. `request` makes one request and judges its answer.
    pub fn start<R>(
        connections: usize,
        request: impl Fn(Client, Turn) -> R + Clone + Send + 'static,
    ) -> Self
    where
        R: Future<Output = V> + Send,
    {
        let shared = Arc::new(Shared::default());
        let work = |connection| {
            let (shared, request) = (shared.clone(), request.clone());
            async move {
                let (client, mut judged) = (Client::new(), Vec::new());
                while !shared.stop.load(Ordering::Relaxed) {
                    let turn = Turn { connection, nth: judged.len() };
                    judged.push(request(client.clone(), turn).await);
                    shared.done.fetch_add(1, Ordering::Relaxed);
                }
                judged
            }
        };
        let workers = (0..connections).map(|connection| tokio::spawn(work(connection))).collect();
        Self { shared, workers }
    }

    /// How many requests have ended so far.
    #[must_use]
    pub fn done(&self) -> usize {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Waits until `requests` more have ended.
    ///
    /// # Errors
    /// When they have not within `limit`.
    pub async fn more(&self, requests: usize, limit: Duration) -> anyhow::Result<()> {
        let goal = self.done() + requests;
        let done = || std::future::ready(Ok((self.done() >= goal).then_some(())));
        eventually(&format!("{requests} more requests end"), limit, done).await
    }

    /// Lets the requests on their way end, and returns every judgement.
    ///
    /// # Errors
    /// When a task failed.
    pub async fn stop(self) -> anyhow::Result<Vec<V>> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let judged = try_join_all(self.workers).await.context("a connection's task failed")?;
        Ok(judged.into_iter().flatten().collect())
    }
}

/// What must hold after any load: the store has keys, and every key has a lifetime.
///
/// # Errors
/// When it does not hold; with the keys.
pub async fn everything_ends(redis: &Redis) -> anyhow::Result<()> {
    ensure!(!redis.keys("*").await?.is_empty(), "nothing was stored");
    let forever = redis.keys_without_lifetime("*").await?;
    ensure!(forever.is_empty(), "without a lifetime: {forever:?}");
    Ok(())
}
