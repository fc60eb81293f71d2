//! The report as a document and as a table.

use std::fmt;

use anyhow::ensure;
use serde::Serialize;

use crate::scenario::traffic::Verdict;

/// The result for all candidates.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// One line for each candidate.
    pub lines: Vec<Line>,
    /// The verdict on all requests.
    pub whole: Verdict,
    /// The first broken promises.
    pub complaints: Vec<String>,
    /// Keys in the store without a lifetime.
    pub immortal: Vec<String>,
    /// The control, which shows that the checker finds stale reads.
    pub control: Control,
}

/// The result for one candidate.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// Its name.
    pub policy: &'static str,
    /// Where it was caught.
    pub caught: Caught,
    /// The verdict on the requests meanwhile.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Where a bad policy was caught.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Caught {
    /// It never came into force.
    Gate {
        /// Where the examination ended.
        stage: String,
        /// Everything that was found.
        found: String,
        /// Why the builder had refused it already; `None` if it had not.
        #[serde(skip_serializing_if = "Option::is_none")]
        builder: Option<String>,
    },
    /// It came into force, and was rolled back automatically.
    Guard {
        /// Why.
        reason: String,
        /// From the answer to the operator to the rollback.
        pushed_ms: f64,
        /// From the file's activation to the rollback.
        filed_ms: f64,
    },
}

/// A policy that neither gate nor guard can catch.
#[derive(Debug, Clone, Serialize)]
pub struct Control {
    /// Its name.
    pub policy: &'static str,
    /// What the checker found.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Report {
    /// Whether no request failed, no answer was stale, and the checker found the control.
    #[must_use]
    pub fn holds(&self) -> bool {
        let Verdict { failed, stale, .. } = self.whole;
        (failed, stale) == (0, 0) && self.immortal.is_empty() && self.control.verdict.stale > 0
    }

    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// When it does not hold.
    pub fn expect(&self) -> anyhow::Result<()> {
        ensure!(self.holds(), "{self}\n{:#?}\n{:?}", self.complaints, self.immortal);
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ("policy", "caught by", "rolled back", "requests", "failed", "stale");
        let (policy, by, back, requests, failed, stale) = head;
        writeln!(f, "{policy:<22} {by:<16} {back:>17} {requests:>9} {failed:>7} {stale:>6}  why")?;
        for Line { policy, caught, verdict } in &self.lines {
            let (by, back, why) = match caught {
                Caught::Gate { stage, found, .. } => (format!("gate, {stage}"), "-".into(), found),
                Caught::Guard { reason, pushed_ms, filed_ms } => {
                    ("guard".into(), format!("{pushed_ms} / {filed_ms} ms"), reason)
                }
            };
            let Verdict { requests, failed, stale } = verdict;
            writeln!(
                f,
                "{policy:<22} {by:<16} {back:>17} {requests:>9} {failed:>7} {stale:>6}  {}",
                excerpt(why)
            )?;
        }
        let Verdict { requests, failed, stale } = self.whole;
        writeln!(f, "{:<57} {requests:>9} {failed:>7} {stale:>6}", "all")?;
        let Control { policy, verdict: Verdict { requests, failed, stale } } = self.control;
        write!(
            f,
            "{policy:<22} {:<34} {requests:>9} {failed:>7} {stale:>6}",
            "not caught: the control"
        )?;
        self.complaints.iter().try_for_each(|complaint| write!(f, "\n{complaint}"))
    }
}

fn excerpt(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
