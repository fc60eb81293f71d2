//! One client of the balancer: one connection, no retries, and a row that no other client writes,
//! so that it knows what each read must answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Shared;
use crate::client::{Answer, Client as Http};

/// How many characters of an unexpected answer are reported.
const TOLD: usize = 120;

/// What one client saw, or all of them.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) requests: u64,
    pub(super) posts: u64,
    pub(super) acknowledged: u64,
    pub(super) pending: u64,
    pub(super) slowest: Duration,
    pub(super) failed: BTreeMap<String, u64>,
}

impl Seen {
    pub(super) fn and(mut self, other: Self) -> Self {
        self.requests += other.requests;
        self.posts += other.posts;
        self.acknowledged += other.acknowledged;
        self.pending += other.pending;
        self.slowest = self.slowest.max(other.slowest);
        for (said, times) in other.failed {
            *self.failed.entry(said).or_default() += times;
        }
        self
    }
}

/// A client and what it knows of its row.
pub(super) struct Client {
    http: Http,
    url: String,
    row: u64,
    rows: u64,
    /// How often its row was written.
    added: u64,
    /// Whether `added` is exact. After a write that has an unknown outcome or is pending, it is a
    /// lower bound.
    knows: bool,
    seen: Seen,
}

impl Client {
    pub(super) fn new(url: String, row: u64, rows: u64) -> Self {
        let http = Http::without_retries();
        Self { http, url, row, rows, added: 0, knows: true, seen: Seen::default() }
    }

    /// Sends requests until the time is over.
    pub(super) async fn run(mut self, pause: Duration, shared: Arc<Shared>) -> Seen {
        while !shared.is_over.load(Ordering::Relaxed) {
            let began = Instant::now();
            let asked = self.ask().await;
            self.seen.slowest = self.seen.slowest.max(began.elapsed());
            if let Err(error) = asked {
                *self.seen.failed.entry(format!("{error:#}")).or_default() += 1;
            }
            self.seen.requests += 1;
            shared.done.fetch_add(1, Ordering::Relaxed);
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
        self.seen
    }

    /// The next request: one in five is a `POST`.
    async fn ask(&mut self) -> anyhow::Result<()> {
        let nth = self.seen.requests;
        match nth % 20 {
            5 => self.add("slowly").await,
            15 => self.add("add").await,
            0 => self.invalidate().await,
            10 => self.query(nth).await,
            odd if odd % 2 == 1 => self.read_own().await,
            _ => self.read_other(nth).await,
        }
    }

    async fn add(&mut self, write: &str) -> anyhow::Result<()> {
        let body = json!({"id": self.row});
        let answer = self.post(&format!("/write/item/{write}"), &body).await;
        self.knows &= answer.is_ok();
        let answer = answer?;
        self.seen.acknowledged += 1;
        match answer["cache"].as_str() {
            Some("invalidated") => self.added += 1,
            // Other hosts may still answer the older value.
            Some("pending") => {
                self.seen.pending += 1;
                self.knows = false;
            }
            _ => bail!("a write answers {answer}"),
        }
        ensure!(answer["rows"] == 1, "a write answers {answer}");
        Ok(())
    }

    async fn invalidate(&mut self) -> anyhow::Result<()> {
        let body = json!({"reads": [{"entity": "item", "params": {"id": self.row}}]});
        self.post("/invalidate", &body).await.map(drop)
    }

    async fn query(&mut self, nth: u64) -> anyhow::Result<()> {
        let sql = "SELECT $1::bigint AS nth";
        let answer =
            self.post("/query", &json!({"sql": sql, "params": [nth], "ttl": "1s"})).await?;
        ensure!(answer == json!([{"nth": nth}]), "a query answers {answer}");
        Ok(())
    }

    async fn read_own(&mut self) -> anyhow::Result<()> {
        let n = self.read(self.row).await?;
        let is_true = if self.knows { n == self.added } else { n >= self.added };
        ensure!(is_true, "a read does not answer what was written");
        self.added = n;
        Ok(())
    }

    async fn read_other(&mut self, nth: u64) -> anyhow::Result<()> {
        self.read((self.row + nth) % self.rows).await.map(drop)
    }

    /// A row's number, in whichever of the two forms the answer has.
    async fn read(&mut self, row: u64) -> anyhow::Result<u64> {
        let answer = self.http.get(&format!("{}/read/item?id={row}", self.url)).await;
        let answer = content(answer)?;
        let form = answer.get("form");
        ensure!(
            answer["id"] == row && form.is_none_or(|form| *form == 2),
            "a read answers {answer}"
        );
        let Some(n) = answer["n"].as_u64() else { bail!("a read answers {answer}") };
        Ok(n)
    }

    async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.seen.posts += 1;
        let (url, headers) =
            (format!("{}{path}", self.url), [("content-type", "application/json")]);
        content(self.http.request(Method::POST, &url, &headers, body.to_string()).await)
            .map_err(|error| error.context(format!("POST {path}")))
    }
}

/// The content of an answer of status 200.
fn content(answer: anyhow::Result<Answer>) -> anyhow::Result<Value> {
    let answer = answer?;
    let said: String = answer.text()?.chars().take(TOLD).collect();
    ensure!(
        answer.status == StatusCode::OK,
        "{} {}",
        answer.status,
        said.replace(['\r', '\n'], " ")
    );
    answer.json()
}
