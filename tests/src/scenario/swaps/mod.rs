//! Policies are exchanged under full load, by file and by an operator in turn, and compared with the same
//! host under the same load without exchanges. Both alternate, since a shared machine changes over time. For
//! comparison, the same load and the same measurement run on another cache whose configuration is exchanged,
//! and on a server where nothing is exchanged: the differences there are the measurement's error on this
//! machine.

mod buckets;
mod constant;
mod corral;
mod report;
mod rounds;
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
pub use self::rounds::{Round, Spread};
use crate::client::Client;
use crate::load::{Load, Turn};
use crate::servers::{resident_bytes, threads};
use crate::shop::expected_product;

/// Products 1 to this are read.
const PRODUCTS: usize = 100;

/// About how long an exchange takes, so that the two that alternate take equally long.
const USUAL: Duration = Duration::from_millis(5);

/// How the scenario is run.
#[derive(Debug, Clone, Copy)]
pub struct Swaps {
    /// How often load with exchanges and load without take turns.
    pub rounds: u32,
    /// Exchanges under load in each round.
    pub swaps: u32,
    /// Exchanges of Varnish's configuration; 0 for none.
    pub varnish_swaps: u32,
    /// Exchanges without load, and exchanges to policies never seen before.
    pub few: u32,
    /// Connections of the load.
    pub connections: usize,
    /// The pause between two exchanges.
    pub pause: Duration,
}

/// What is exchanged, and how. Works on a thread of its own.
trait Exchanged: Send + 'static {
    /// Exchanges the current one for another; how long that took.
    fn exchange(&mut self, which: Which) -> anyhow::Result<Took>;

    /// Does for as long as an exchange takes what an exchange asks of the server besides the exchange itself,
    /// since the load without exchanges has to be the same in everything else.
    fn look(&mut self) -> anyhow::Result<()> {
        std::thread::sleep(USUAL);
        Ok(())
    }
}

/// What comes into force by an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// One of two that take turns.
    InTurn,
    /// One that was never seen before.
    New,
    /// One that is loaded already, if the server has such a thing.
    Ready,
}

/// How long an exchange took, and how it was made.
#[derive(Debug, Clone, Copy)]
struct Took {
    way: &'static str,
    time: Duration,
}

fn is_of_the_shop(answer: Json, product: u32) -> bool {
    answer == expected_product(product)
}

/// The address of all reads, and what they must answer.
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

    /// Measures everything on one side.
    async fn measure(
        self,
        pid: u32,
        target: Target,
        exchanged: impl Exchanged,
        swaps: u32,
        extra: Which,
    ) -> anyhow::Result<Side> {
        let (few, pause) = (self.few, self.pause);
        // Both are seen once before the measurement.
        let (_, exchanged) = many(exchanged, Some(Which::InTurn), 2, pause).await?;
        let (idle, exchanged) = many(exchanged, Some(Which::InTurn), few, pause).await?;
        let (other_idle, exchanged) = many(exchanged, Some(extra), few, pause).await?;
        // The ones exchanged since then have displaced these two from the caches.
        let (_, exchanged) = many(exchanged, Some(Which::InTurn), 2, pause).await?;
        let buckets = Arc::new(Buckets::new());
        let (load, failures) = (target.load(self.connections, &buckets), target.failures);
        // The first second warms up.
        sleep(Duration::from_secs(1)).await;
        let rss_before = resident_bytes(pid)?;
        let (rounds, loaded, exchanged) = self.rounds(exchanged, swaps, &buckets).await?;
        let rss_after = resident_bytes(pid)?;
        let (other, exchanged) = many(exchanged, Some(extra), few, pause).await?;
        let threads = threads(pid)?;
        let answers = load.stop().await?;
        // The server ends with this, and had to run until the load ended.
        drop(exchanged);
        let failed = failures.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Side {
            idle: Activations::of(&idle),
            loaded: Activations::of(&loaded),
            by_way: Activations::by_way(&loaded),
            other_idle: Activations::of(&other_idle),
            other: Activations::of(&other),
            requests: answers.len(),
            failed: failed.len(),
            first_failure: failed.first().cloned(),
            median_ratio: Spread::of(rounds.iter().map(Round::median_ratio)),
            p1_ratio: Spread::of(rounds.iter().map(Round::p1_ratio)),
            rounds,
            rss_before,
            rss_after,
            nice: threads.into_iter().map(|(name, threads)| (name, threads.nice)).collect(),
        })
    }

    /// Load without exchanges, half of the time under each of the two that take turns, since one may cost the
    /// server more than the other. Nothing is measured between the halves.
    async fn undisturbed<E: Exchanged>(
        self,
        mut exchanged: E,
        looks: u32,
    ) -> anyhow::Result<(Vec<Window>, E)> {
        let mut windows = Vec::new();
        for half in [looks / 2, looks - looks / 2] {
            let began = Instant::now();
            let (_, back) = many(exchanged, None, half, self.pause).await?;
            windows.push((began, Instant::now()));
            (_, exchanged) = many(back, Some(Which::InTurn), 1, self.pause).await?;
        }
        Ok((windows, exchanged))
    }

    /// Load with exchanges and load without, in turn, and each of them first in every other round.
    async fn rounds<E: Exchanged>(
        self,
        mut exchanged: E,
        swaps: u32,
        buckets: &Buckets,
    ) -> anyhow::Result<(Vec<Round>, Vec<Took>, E)> {
        let (mut rounds, mut all) = (Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let (mut with, mut without) = (Throughput::default(), Throughput::default());
            let order = if round.is_multiple_of(2) { [false, true] } else { [true, false] };
            for exchanging in order {
                exchanged = if exchanging {
                    let began = Instant::now();
                    let (took, back) =
                        many(exchanged, Some(Which::InTurn), swaps, self.pause).await?;
                    with = buckets.during(&[(began, Instant::now())]);
                    all.extend(took);
                    back
                } else {
                    let (windows, back) = self.undisturbed(exchanged, swaps).await?;
                    without = buckets.during(&windows);
                    back
                };
            }
            rounds.push(Round { without, with });
        }
        Ok((rounds, all, exchanged))
    }
}

/// A stretch of time.
type Window = (Instant, Instant);

/// Exchanges one after the other, on a thread that does nothing else. With `None`, the server is only looked
/// at.
async fn many<E: Exchanged>(
    mut exchanged: E,
    which: Option<Which>,
    count: u32,
    pause: Duration,
) -> anyhow::Result<(Vec<Took>, E)> {
    tokio::task::spawn_blocking(move || {
        let mut took = Vec::new();
        for _ in 0..count {
            match which {
                Some(which) => took.push(exchanged.exchange(which)?),
                None => exchanged.look()?,
            }
            std::thread::sleep(pause);
        }
        Ok((took, exchanged))
    })
    .await?
}

impl Target {
    /// Learns the present answer at `root`, which `is_product` checks; later answers have to be the same.
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

    /// Full load. It keeps the descriptions of wrong answers and nothing about the others: lists that all
    /// connections extend at the same time would stop the whole load whenever they grow.
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
