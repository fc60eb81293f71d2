//! What an invalidated tag costs: each key that carried it is loaded once, even if another entity
//! has a deadline of minutes.

use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;
use tokio::time::sleep;

use super::Verdict;
use super::desk::{Read, Way, subjects};
use super::scene::Scene;
use crate::servers::{Postgres, Redis};
use crate::sim::truth::Subject;

const HOSTS: usize = 2;

/// A load that begins so long after an invalidation does not overlap with it on any host.
const SETTLED: Duration = Duration::from_secs(1);

/// An entity whose loads may take minutes.
const PATIENT: &str = r#"
[entity.patient]
read = "SELECT 1 AS one"
ttl = "1h"
deadline = "5m"
"#;

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Keys that carried an invalidated tag.
    pub keys: usize,
    /// Their loads, by both hosts.
    pub loads: f64,
    /// The verdict on all requests.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Invalidates every team's tag, and reads everything again on both hosts.
///
/// # Errors
/// When a server does not come up.
pub async fn run() -> anyhow::Result<Report> {
    let redis = Redis::start().await?;
    let with_patient = |config: String| config + PATIENT;
    let urls = vec![redis.url(); HOSTS];
    let mut scene = Scene::set_over(Postgres::start().await?, &urls, with_patient).await?;
    scene.fill().await?;
    for team in subjects().filter(|subject| matches!(subject, Subject::Team(_))) {
        scene.desk.write(0, team, Way::Invalidate).await?;
    }
    sleep(SETTLED).await;
    let before = scene.loads().await?;
    for host in 0..HOSTS {
        for subject in subjects() {
            scene.desk.read(host, Read::Row(subject)).await?;
        }
    }
    let loads = scene.loads().await? - before;
    Ok(Report { keys: subjects().count(), loads, verdict: scene.end().await? })
}

impl Scene {
    async fn loads(&self) -> anyhow::Result<f64> {
        let mut sum = 0.0;
        for host in &self.hosts {
            sum += host.metrics().await?.sum("corral_origin_loads_total");
        }
        Ok(sum)
    }
}

impl Report {
    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// As [`Verdict::expect`], and when a key was not loaded exactly once.
    pub fn expect(&self) -> anyhow::Result<()> {
        ensure!((self.loads - self.keys as f64).abs() < 0.5, "not one load per key: {self:#?}");
        self.verdict.expect()
    }
}
