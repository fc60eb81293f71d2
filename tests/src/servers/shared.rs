//! Servers for many small tests of one process, with a store for each test.

use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context as _;

use super::{Postgres, Redis};

/// How many numbered databases Redis has. Each is given away once, so this many stores can be had.
const DATABASES: u8 = u8::MAX;

/// One Redis and one Postgres, shared by tests of which each has a store of its own.
pub struct SharedServers {
    /// The Redis whose numbered databases are the stores.
    pub redis: Redis,
    /// The origin of every test.
    pub postgres: Postgres,
    given: AtomicU8,
}

impl SharedServers {
    /// Starts both, on free ports.
    ///
    /// # Errors
    /// When one of them is not installed, or does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        let databases = DATABASES.to_string();
        let redis = Redis::start_with(&["--databases", &databases]).await?;
        let postgres = Postgres::start().await?;
        Ok(Self { redis, postgres, given: AtomicU8::new(0) })
    }

    /// The URL of a store that no other caller has.
    ///
    /// # Errors
    /// When every database was given away.
    pub fn new_store(&self) -> anyhow::Result<String> {
        let next = |given: u8| given.checked_add(1);
        let given = self.given.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let number = given.ok().context("every database of this Redis was given away")?;
        Ok(format!("{}/{number}", self.redis.url()))
    }
}
