//! An open loop on Corral in whose middle a policy is exchanged, or Redis restarted.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use hyper::StatusCode;
use serde::Serialize;

use super::measure::Load;
use super::rig::Rig;

/// Connections of the closed loop that measures the capacity.
const CONNECTIONS: usize = 64;

/// What happens in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disturbance {
    /// Nothing, for comparison.
    Nothing,
    /// The policy is exchanged.
    PolicySwap,
    /// Redis is killed, and started again empty.
    RedisRestart,
}

/// The figures of one run.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "each name says it, with its unit")]
pub struct Line {
    pub near: bool,
    pub share_of_capacity: f64,
    pub disturbance: Disturbance,
    pub rate: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p99_9_us: f64,
    pub max_us: f64,
    pub worst_bucket_of_median: f64,
    pub failed: u64,
    pub unsent: u64,
}

/// Runs every disturbance for `time`, with hits from the store and with hits from the near cache.
///
/// # Errors
/// When a server does not come up.
pub async fn run(time: Duration, told: &dyn Fn(&str)) -> anyhow::Result<Vec<Line>> {
    let mut rig = Rig::start().await?;
    let mut lines = Vec::new();
    for near in [false, true] {
        let host = rig.host(if near { "near = \"1m\"\n" } else { "" }).await?;
        let url = host.url("/read/item?id=");
        // The first load warms up.
        Load::closed(&url, CONNECTIONS, time / 4).run().await?;
        let capacity = Load::closed(&url, CONNECTIONS, time / 2).run().await?.requests_per_second;
        for share in [0.5, 0.8] {
            for disturbance in
                [Disturbance::Nothing, Disturbance::PolicySwap, Disturbance::RedisRestart]
            {
                told(&format!("{:.0} % of capacity, {disturbance:?}", share * 100.0));
                let load = Load::open(&url, capacity * share, time);
                let (report, disturbed) = tokio::join!(
                    load.run_whatever_fails(),
                    disturb(&mut rig, &host, disturbance, time / 2)
                );
                disturbed.with_context(|| format!("{disturbance:?}"))?;
                let report = report?;
                let latency = report.latency.context("nothing was answered")?;
                let throughput = report.throughput;
                lines.push(Line {
                    near,
                    share_of_capacity: share,
                    disturbance,
                    rate: capacity * share,
                    p50_us: latency.p50_us,
                    p99_us: latency.p99_us,
                    p99_9_us: latency.p99_9_us,
                    max_us: latency.max_us,
                    worst_bucket_of_median: throughput.worst_per_second
                        / throughput.median_per_second.max(1.0),
                    failed: report.failed,
                    unsent: report.unsent,
                });
            }
        }
    }
    Ok(lines)
}

async fn disturb(
    rig: &mut Rig,
    host: &crate::servers::Host,
    how: Disturbance,
    after: Duration,
) -> anyhow::Result<()> {
    // The middle of a load can only be a time.
    tokio::time::sleep(after).await;
    match how {
        Disturbance::Nothing => Ok(()),
        Disturbance::PolicySwap => {
            let answer = host.put("/admin/policy", BUILT_IN).await?;
            ensure!(answer.status == StatusCode::OK, "{} {:?}", answer.status, answer.body);
            Ok(())
        }
        Disturbance::RedisRestart => rig.redis.restart_empty().await,
    }
}

/// The policy that is in force already, so that only the exchange is measured.
static BUILT_IN: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../host/default-policy.wasm"));
