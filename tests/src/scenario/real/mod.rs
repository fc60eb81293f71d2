//! What real servers do: they come back with older data, fall behind, are two servers at a time,
//! and report a failure of a commit whose outcome they don't know. Rows carry versions, and no read
//! on any host may answer a version that is older than the newest one acknowledged before the read
//! began.
//!
//! Each scenario runs at full size as `scenario real …`, and shortened in `tests/real.rs`.

pub mod balanced;
pub mod campaign;
pub mod cluster;
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
pub mod sentinels;
pub mod tags;

use anyhow::ensure;
use serde::Serialize;

/// What clients saw, judged.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verdict {
    /// Requests made.
    pub requests: usize,
    /// How many of the reads were answered from the store.
    pub hits: usize,
    /// Writes acknowledged as pending.
    pub pending: usize,
    /// Answers older than a write that was acknowledged before their request began.
    pub stale: usize,
    /// Reads without the answer that they had to get.
    pub failed: usize,
    /// Writes that were refused, or whose writer did not learn the outcome.
    pub refused: usize,
    /// The first stale answers and failed reads.
    pub complaints: Vec<String>,
    /// The first refused writes.
    pub refusals: Vec<String>,
}

impl Verdict {
    /// Whether no read was stale or failed.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.complaints.is_empty()
    }

    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// As [`Verdict::expect_of_reads`], and when a client's write was refused.
    pub fn expect(&self) -> anyhow::Result<()> {
        ensure!(self.refused == 0, "{self:#?}");
        self.expect_of_reads()
    }

    /// The same, but writes may be refused.
    ///
    /// # Errors
    /// If a read was stale or failed, or if no read was ever answered from the store, since then
    /// the run shows nothing.
    pub fn expect_of_reads(&self) -> anyhow::Result<()> {
        ensure!(self.holds(), "{self:#?}");
        ensure!(self.hits > 0, "no read was ever a hit: {self:#?}");
        Ok(())
    }
}
