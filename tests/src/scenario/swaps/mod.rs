//! Policies are exchanged under full load, by file and by an operator in turn; and beside it, with
//! the same load and the same measure, the configuration of another cache, and a server in which
//! nothing is exchanged: how even its throughput is is what this machine allows.

mod buckets;
mod constant;
mod corral;
mod report;
mod varnish;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use hyper::StatusCode;
use serde_json::Value as Json;
use tokio::time::sleep;

use self::buckets::Buckets;
pub use self::buckets::Throughput;
pub use self::report::{Activations, Report, Side};
use crate::client::Client;
use crate::load::{Load, Turn};
use crate::servers::resident_bytes;
use crate::shop::expected_product;

/// Products 1 to this are read.
const PRODUCTS: usize = 100;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Swaps {
    /// Exchanges under load.
    pub swaps: u32,
    /// The same for Varnish; 0: without it.
    pub varnish_swaps: u32,
    /// Exchanges without load, and under load of what was never seen before.
    pub few: u32,
    /// Connections of the load.
    pub connections: usize,
    /// Between two exchanges.
    pub pause: Duration,
    /// Load without exchanges, for comparison.
    pub before: Duration,
}

/// What is exchanged, and how that is done. Works on a thread of its own.
trait Exchanged: Send + 'static {
    /// Another one than before comes into force; how long that took.
    fn exchange(&mut self, which: Which) -> anyhow::Result<Took>;
}

/// What shall come into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// One of two that take turns.
    InTurn,
    /// One that was never there before.
    New,
    /// One that is loaded already, where there is such a thing.
    Ready,
}

/// How long an exchange took, and by which way it came.
#[derive(Debug, Clone, Copy)]
struct Took {
    way: &'static str,
    time: Duration,
}

fn is_of_the_shop(answer: Json, product: u32) -> bool {
    answer == expected_product(product)
}

/// What every read must answer, and where.
#[derive(Clone)]
struct Target {
    root: String,
    expected: Arc<Vec<Bytes>>,
    failures: Arc<Mutex<Vec<String>>>,
}

impl Swaps {
    /// Runs all sides, one after the other.
    ///
    /// # Errors
    /// When a server does not come up, or an exchange fails.
    pub async fn run(self, told: impl Fn(&str)) -> anyhow::Result<Report> {
        told("corral");
        let corral = corral::run(self).await?;
        let varnish = if self.varnish_swaps > 0 {
            told("varnish");
            Some(varnish::run(self).await?)
        } else {
            None
        };
        told("a constant");
        let constant = constant::run(self).await?;
        Ok(Report { corral, varnish, constant })
    }

    /// The whole course of one side.
    async fn measure(
        self,
        pid: u32,
        target: Target,
        exchanged: impl Exchanged,
        swaps: u32,
        extra: Which,
    ) -> anyhow::Result<Side> {
        let pause = self.pause;
        // Both were there once before anything is measured.
        let (_, exchanged) = many(exchanged, Which::InTurn, 2, pause).await?;
        let (idle, exchanged) = many(exchanged, Which::InTurn, self.few, pause).await?;
        let buckets = Arc::new(Buckets::new());
        let (load, failures) = (target.load(self.connections, &buckets), target.failures);
        // The first second warms up.
        sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        sleep(self.before).await;
        let (quiet, rss_before) = (Instant::now(), resident_bytes(pid)?);
        let (loaded, exchanged) = many(exchanged, Which::InTurn, swaps, pause).await?;
        let (over, rss_after) = (Instant::now(), resident_bytes(pid)?);
        let (other, exchanged) = many(exchanged, extra, self.few, pause).await?;
        let answers = load.stop().await?;
        // The server is in there, and had to outlive the load.
        drop(exchanged);
        let failed = failures.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Side {
            idle: Activations::of(&idle),
            loaded: Activations::of(&loaded),
            by_way: Activations::by_way(&loaded),
            other: Activations::of(&other),
            requests: answers.len(),
            failed: failed.len(),
            first_failure: failed.first().cloned(),
            before: buckets.between(began, quiet),
            swapping: buckets.between(quiet, over),
            seconds: (over - quiet).as_secs_f64(),
            rss_before,
            rss_after,
        })
    }
}

/// Exchanges one after the other, on a thread that waits for nobody.
async fn many<E: Exchanged>(
    mut exchanged: E,
    which: Which,
    count: u32,
    pause: Duration,
) -> anyhow::Result<(Vec<Took>, E)> {
    tokio::task::spawn_blocking(move || {
        let mut took = Vec::new();
        for _ in 0..count {
            took.push(exchanged.exchange(which)?);
            std::thread::sleep(pause);
        }
        Ok((took, exchanged))
    })
    .await?
}

impl Target {
    /// What is at `root` now must be answered from now on; `is_product` judges it.
    async fn learn(root: String, is_product: fn(Json, u32) -> bool) -> anyhow::Result<Self> {
        let (client, mut expected) = (Client::new(), Vec::new());
        for product in 1..=PRODUCTS {
            let answer = client.get(&format!("{root}{product}")).await?;
            ensure!(answer.status == StatusCode::OK, "{answer:?}");
            ensure!(is_product(answer.json()?, product as u32), "{answer:?}");
            expected.push(answer.body);
        }
        Ok(Self { root, expected: Arc::new(expected), failures: Arc::default() })
    }

    /// Full load. It keeps what was wrong with answers and nothing of the others: lists that all
    /// connections make longer at the same time would stand still with the whole load.
    fn load(&self, connections: usize, buckets: &Arc<Buckets>) -> Load<()> {
        let (target, buckets) = (self.clone(), Arc::clone(buckets));
        Load::start(connections, move |client, turn| {
            let (target, buckets) = (target.clone(), Arc::clone(&buckets));
            async move {
                if let Some(wrong) = target.ask(&client, turn).await {
                    target.failures.lock().unwrap_or_else(PoisonError::into_inner).push(wrong);
                }
                buckets.count();
            }
        })
    }

    async fn ask(&self, client: &Client, turn: Turn) -> Option<String> {
        let index = (turn.connection + turn.nth) % PRODUCTS;
        match client.get(&format!("{}{}", self.root, index + 1)).await {
            Ok(answer) if answer.status != StatusCode::OK => {
                Some(format!("{} {:?}", answer.status, answer.body))
            }
            Ok(answer) if answer.body != self.expected[index] => {
                Some(format!("another body: {:?}", answer.body))
            }
            Ok(_) => None,
            Err(error) => Some(format!("{error:#}")),
        }
    }
}
