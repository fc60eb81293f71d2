//! What real servers do: they come back with what they had before, fall behind, are two at a time,
//! and say of a commit what they don't know. Rows carry versions, and no read on any host may answer
//! one that is older than the newest acknowledged before it began.
//!
//! Each scenario runs at full size as `scenario real …`, and shortened in `tests/real.rs`.

pub mod balanced;
pub mod campaign;
pub mod command;
pub mod commits;
pub mod debt;
mod desk;
pub mod failovers;
pub mod flushed;
pub mod frozen;
pub mod large;
mod pair;
pub mod restarts;
pub mod rolling;
mod scene;
pub mod tags;

use anyhow::ensure;
use serde::Serialize;

/// What clients saw, judged.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verdict {
    /// Requests made.
    pub requests: usize,
    /// Of the reads, how many were answered from the store.
    pub hits: usize,
    /// Writes acknowledged as pending.
    pub pending: usize,
    /// Answers older than a write that was acknowledged before their request began.
    pub stale: usize,
    /// Reads without the answer that they had a right to.
    pub failed: usize,
    /// Writes that were refused, or whose outcome their writer was not told.
    pub refused: usize,
    /// The first stale answers and failed reads, in words.
    pub complaints: Vec<String>,
    /// The first refused writes, in words.
    pub refusals: Vec<String>,
}

impl Verdict {
    /// Whether no read was stale or failed.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.complaints.is_empty()
    }

    /// Fails with what was broken.
    ///
    /// # Errors
    /// As [`Verdict::expect_of_reads`], and when a client's write was refused.
    pub fn expect(&self) -> anyhow::Result<()> {
        ensure!(self.refused == 0, "{self:#?}");
        self.expect_of_reads()
    }

    /// The same where writes may be refused.
    ///
    /// # Errors
    /// When a read was stale or failed, or nothing was ever answered from the store: then nothing
    /// was shown.
    pub fn expect_of_reads(&self) -> anyhow::Result<()> {
        ensure!(self.holds(), "{self:#?}");
        ensure!(self.hits > 0, "no read was ever a hit: {self:#?}");
        Ok(())
    }
}
