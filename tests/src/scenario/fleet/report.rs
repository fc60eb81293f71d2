//! What came of a run.

use std::fmt;

use anyhow::ensure;
use serde::Serialize;

use super::super::millis;
use super::super::traffic::Verdict;
use super::Outcome;

/// How many rows more or fewer may be found cold than the gate foretold. A row is drawn at random for each
/// request, so now and then one was not read before the exchange by the host whose gate is asked, or is not
/// read after it.
const UNREAD: u64 = 3;

/// One rollout.
#[derive(Debug, Clone, Serialize)]
pub struct RolledOut {
    /// When every host was ready.
    pub ready_ms: u64,
    /// When it was in force everywhere; 0 if it never was.
    pub everywhere_ms: u64,
    /// When it was over.
    pub ended_ms: u64,
    /// When every host was seen to run what it should, from the request on.
    pub settled_ms: f64,
    /// Why it was brought back.
    pub trouble: String,
}

/// What the gate foretold of a policy that renames keys, and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Cold {
    /// Hot reads that the gate of one host asked the policy to name.
    pub hot: u64,
    /// How many of them would go cold, as it said.
    pub foretold: u64,
    /// Rows found cold in a stretch before it, because they were written.
    pub rows_before: usize,
    /// Rows found cold from the exchange on.
    pub rows_after: usize,
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The good policy.
    pub good: RolledOut,
    /// The answer to the rollout that was asked for at the same moment.
    pub second: String,
    /// The policy that renames every key.
    pub renamed: RolledOut,
    /// What went cold with it.
    pub cold: Cold,
    /// The policy that traps.
    pub traps: RolledOut,
    /// The policy that loads every second value again.
    pub bypasses: RolledOut,
    /// The good policy while hosts die and join.
    pub change: RolledOut,
    /// The verdict on all requests up to then.
    pub verdict: Verdict,
    /// The verdict on more readers while bad policies are tried.
    pub readers: Verdict,
    /// The verdict on those while hosts die and join.
    pub died: Verdict,
    /// The first broken promises.
    pub complaints: Vec<String>,
    /// Keys in the store without a lifetime.
    pub immortal: Vec<String>,
}

impl RolledOut {
    pub(super) fn of(outcome: &Outcome) -> Self {
        Self {
            ready_ms: outcome.ms("ready_after_ms"),
            everywhere_ms: outcome.ms("everywhere_after_ms"),
            ended_ms: outcome.ms("ended_after_ms"),
            settled_ms: millis(outcome.settled_after),
            trouble: outcome.trouble(),
        }
    }
}

impl Report {
    /// Whether no request failed, no answer was stale, as many rows were cold as the gate foretold, and each
    /// bad policy was brought back for its own reason.
    #[must_use]
    pub fn holds(&self) -> bool {
        let Verdict { failed, stale, .. } = self.verdict;
        (failed, stale) == (0, 0)
            && self.readers.failed == 0
            && (self.died.failed, self.died.stale) == (0, 0)
            && self.immortal.is_empty()
            && self.cold.foretold > 0
            && self.cold.foretold.abs_diff(self.cold.rows_after as u64) <= UNREAD
            && self.traps.trouble.contains("fail")
            && self.bypasses.trouble.contains("% hits")
    }

    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// If it does not hold.
    pub fn expect(&self) -> anyhow::Result<()> {
        ensure!(self.holds(), "{self}\n{:#?}\n{:?}", self.complaints, self.immortal);
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22} {:>9} {:>14} {:>9}", "rollout", "ready", "everywhere", "over")?;
        let all = [
            ("good", &self.good),
            ("renames every key", &self.renamed),
            ("traps", &self.traps),
            ("bypasses", &self.bypasses),
            ("hosts die and join", &self.change),
        ];
        for (name, RolledOut { ready_ms, everywhere_ms, ended_ms, .. }) in all {
            writeln!(f, "{name:<22} {ready_ms:>6} ms {everywhere_ms:>11} ms {ended_ms:>6} ms")?;
        }
        writeln!(f, "traps: {}", self.traps.trouble)?;
        writeln!(f, "bypasses: {}", self.bypasses.trouble)?;
        writeln!(f, "a second one: {}", self.second)?;
        let Cold { hot, foretold, rows_before, rows_after } = self.cold;
        writeln!(f, "hot reads / foretold to go cold         {hot:>8} / {foretold}")?;
        writeln!(f, "rows found cold before / after          {rows_before:>8} / {rows_after}")?;
        let Verdict { requests, failed, stale } = self.verdict;
        writeln!(f, "requests / failed / stale               {requests:>8} / {failed} / {stale}")?;
        let Verdict { requests, failed, .. } = self.readers;
        writeln!(f, "more readers of bad policies / failed    {requests:>8} / {failed}")?;
        let Verdict { requests, failed, stale } = self.died;
        write!(f, "while hosts die and join                {requests:>8} / {failed} / {stale}")
    }
}
