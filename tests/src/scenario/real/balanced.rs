//! An address behind which two servers answer in turn, so that connections of one host reach both.
//! A host must not use such a store, and must say so.

use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::Verdict;
use super::scene::{SOON, Scene};
use crate::forwarder::{Forwarder, Traits};
use crate::servers::{Redis, eventually};

const CLIENTS: u64 = 4;
const PAUSE: Duration = Duration::from_millis(20);

/// How often connections are ended, so that new ones reach the servers in another order.
const SHUFFLED: Duration = Duration::from_millis(500);

/// After so long a host has had the time to notice.
const NOTICED: Duration = Duration::from_secs(2);

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The reasons in `/readyz`.
    pub reasons: Vec<String>,
    /// The log lines about it.
    pub logged: Vec<String>,
    /// Hits after the host had the time to notice.
    pub hits_late: usize,
    /// The verdict on all requests.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Runs two hosts over such an address for so long.
///
/// # Errors
/// When a server does not come up.
pub async fn run(lasts: Duration) -> anyhow::Result<Report> {
    let servers = [Redis::start().await?, Redis::start().await?];
    let ports = [servers[0].port(), servers[1].port()];
    let way = Forwarder::start_with(&ports, Traits::default()).await?;
    let mut scene = Scene::set(&[way.redis_url(), way.redis_url()]).await?;
    scene.start_clients(CLIENTS, PAUSE, 1);
    let began = Instant::now();
    while began.elapsed() < lasts {
        sleep(SHUFFLED).await;
        way.cut();
    }
    let verdict = scene.end().await?;
    let reasons = scene.reasons().await.unwrap_or_default();
    let hits_late =
        scene.desk.looks(began + NOTICED, Instant::now()).iter().filter(|look| look.hit).count();
    let log = scene.hosts[0].log();
    let logged = log.lines().filter(|line| says_so(line)).map(str::to_owned).collect();
    Ok(Report { reasons, logged, hits_late, verdict })
}

impl Scene {
    /// The reasons about it in `/readyz` of the first host.
    async fn reasons(&self) -> anyhow::Result<Vec<String>> {
        const PATIENCE: Duration = Duration::from_secs(5);
        eventually("a reason", PATIENCE.min(SOON), || async {
            let answer = self.hosts[0].get("/readyz").await?.json()?;
            let reasons = answer["reasons"].as_array().cloned().unwrap_or_default();
            let texts = reasons.iter().filter_map(Value::as_str);
            let found: Vec<_> = texts.filter(|text| says_so(text)).map(str::to_owned).collect();
            Ok((!found.is_empty()).then_some(found))
        })
        .await
    }
}

/// Whether a sentence is about several servers behind the store's address.
fn says_so(text: &str) -> bool {
    const SEVERAL: [&str; 5] = ["two ", "several", "different", "more than one", "another server"];
    let text = text.to_lowercase();
    text.contains("server") && SEVERAL.iter().any(|word| text.contains(word))
}

impl Report {
    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// If something stale was read, a request failed, the store was used, or the host did not say
    /// that the store is not used.
    pub fn expect(&self) -> anyhow::Result<()> {
        ensure!(self.verdict.holds(), "{self:#?}");
        ensure!(self.hits_late == 0, "the store is used: {self:#?}");
        ensure!(!self.reasons.is_empty(), "/readyz does not say it: {self:#?}");
        ensure!(!self.logged.is_empty(), "the log does not say it: {self:#?}");
        Ok(())
    }
}
