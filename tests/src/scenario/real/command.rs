//! `scenario real`: all scenarios at full size, or some of them.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};

use super::campaign::Crash;
use super::{
    balanced, campaign, commits, debt, failovers, flushed, frozen, large, restarts, rolling,
    sentinels, tags,
};

/// The options.
#[derive(Debug, Clone, Args)]
pub struct Real {
    /// Only these.
    #[arg(value_enum)]
    only: Vec<Theme>,
    /// Restarts and failovers of the campaigns.
    #[arg(long, default_value_t = 200)]
    crashes: u32,
    /// Rounds of the other scenarios that have rounds.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Seconds for which commits hang; may be given several times.
    #[arg(long, value_delimiter = ',', default_value = "8,60")]
    hang: Vec<u64>,
    /// Seed of the random moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// One file of scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Theme {
    /// Redis comes back from its snapshot, or from its log without the last second.
    Restarts,
    /// A replica takes the place of its primary, in every way in which hosts can be left behind.
    Failovers,
    /// Commits that hang, and commits for which a pooler reports a failure.
    Commits,
    /// Redis is emptied by hand while two configurations serve.
    Flushed,
    /// Hosts and Redis freeze and resume under load.
    Frozen,
    /// An address behind which two servers answer in turn.
    Balanced,
    /// Crashes and failovers under load, again and again.
    Campaign,
    /// Sentinels put a replica in the place of the primary, in every way in which hosts can be left behind, and
    /// then again and again.
    Sentinels,
    /// Loads after a tag's invalidation.
    Tags,
    /// Large values beside small ones over a narrow link.
    Large,
    /// An entity's statement changes on one host after the other, and back.
    Rolling,
    /// What is owed to a Redis that is down.
    Debt,
}

/// How much slower small values may be beside large ones.
const SLOWER: Duration = Duration::from_millis(20);

/// A report, and what was broken; `None` if nothing was.
type Told = (Value, Option<String>);

impl Real {
    /// Plays the scenarios, and tells each report, with what was broken if anything was. Returns
    /// whether every promise was kept.
    ///
    /// # Errors
    /// When a server does not come up.
    pub async fn play(&self, tell: impl Fn(&Value)) -> anyhow::Result<bool> {
        let mut holds = true;
        for theme in Theme::value_variants() {
            if !self.only.is_empty() && !self.only.contains(theme) {
                continue;
            }
            let scenario = format!("{theme:?}").to_lowercase();
            for (report, broken) in self.reports(*theme).await? {
                holds &= broken.is_none();
                tell(&json!({ "scenario": scenario, "broken": broken, "report": report }));
            }
        }
        Ok(holds)
    }

    async fn reports(&self, theme: Theme) -> anyhow::Result<Vec<Told>> {
        let mut reports = Vec::new();
        match theme {
            Theme::Restarts => {
                for from in [restarts::From::Snapshot, restarts::From::Log] {
                    let report = restarts::run(from, self.rounds).await?;
                    reports.push(told(&report, report.expect())?);
                }
            }
            Theme::Failovers => return self.failovers().await,
            Theme::Commits => return self.commits().await,
            Theme::Flushed => {
                let report = flushed::run(self.rounds).await?;
                reports.push(told(&report, report.expect())?);
            }
            Theme::Frozen => {
                for frozen in [frozen::Frozen::Host, frozen::Frozen::Store] {
                    let report = frozen::run(frozen, self.rounds, self.seed).await?;
                    reports.push(told(&report, report.expect())?);
                }
            }
            Theme::Balanced => {
                let report = balanced::run(Duration::from_secs(30)).await?;
                reports.push(told(&report, report.expect())?);
            }
            Theme::Campaign => {
                // Each has servers and hosts of its own, and spends most of its time waiting.
                let run = |crash| campaign::run(crash, self.crashes, self.seed);
                let (restarts, failovers) = (run(Crash::Restart), run(Crash::Failover));
                for report in <[_; 2]>::from(tokio::try_join!(restarts, failovers)?) {
                    reports.push(told(&report, report.expect())?);
                }
            }
            Theme::Sentinels => return self.sentinels().await,
            Theme::Tags => {
                let report = tags::run().await?;
                reports.push(told(&report, report.expect())?);
            }
            Theme::Large => {
                let report = large::run(Duration::from_secs(30)).await?;
                reports.push(told(&report, report.expect(SLOWER, 0))?);
            }
            Theme::Rolling => {
                let report = rolling::run(Duration::from_secs(5)).await?;
                reports.push(told(&report, report.expect())?);
            }
            Theme::Debt => {
                let report = debt::run(Duration::from_secs(60), 300).await?;
                reports.push(told(&report, report.expect())?);
            }
        }
        Ok(reports)
    }

    async fn failovers(&self) -> anyhow::Result<Vec<Told>> {
        let mut reports = Vec::new();
        for primary in failovers::Primary::ALL {
            // Each begins with servers and hosts of its own.
            for _ in 0..self.rounds.div_ceil(4) {
                let report = failovers::run(primary).await?;
                reports.push(told(&report, report.expect())?);
            }
        }
        Ok(reports)
    }

    async fn sentinels(&self) -> anyhow::Result<Vec<Told>> {
        let mut reports = Vec::new();
        for change in sentinels::Change::ALL {
            for _ in 0..self.rounds.div_ceil(4) {
                let report = sentinels::run(change).await?;
                reports.push(told(&report, report.expect())?);
            }
        }
        if self.crashes > 0 {
            let report = campaign::run(Crash::Supervised, self.crashes, self.seed).await?;
            reports.push(told(&report, report.expect())?);
        }
        Ok(reports)
    }

    async fn commits(&self) -> anyhow::Result<Vec<Told>> {
        let mut reports = Vec::new();
        for seconds in &self.hang {
            let report = commits::hang(Duration::from_secs(*seconds)).await?;
            reports.push(told(&report, report.expect())?);
        }
        let report = commits::break_all().await?;
        reports.push(told(&report, report.expect())?);
        Ok(reports)
    }
}

/// The report is printed too, so the first line of what was broken is enough.
fn told(report: &impl Serialize, kept: anyhow::Result<()>) -> anyhow::Result<Told> {
    let first = |error: anyhow::Error| error.to_string().lines().next().map(str::to_owned);
    Ok((serde_json::to_value(report)?, kept.err().and_then(first)))
}
