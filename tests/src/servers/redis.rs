//! A private Redis.

use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use super::port::free_port;
use super::process::{Process, Signal};

/// Keys asked for at a time, and commands in one pipeline: Redis answers other clients in between.
const PAGE: usize = 1000;
/// What `PTTL` answers for a key that exists and has no lifetime.
const NO_LIFETIME: i64 = -1;
/// A connection of the harness itself: generous, for it works on busy machines.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// A private `redis-server` without persistence; ends on drop.
pub struct Redis {
    process: Option<Process>,
    port: u16,
    args: Vec<String>,
    home: TempDir,
}

impl Redis {
    /// Starts it on a free port, and returns when it answers.
    ///
    /// # Errors
    /// When `redis-server` is not installed, or does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with arguments of `redis-server` (`--maxmemory`, `1mb`).
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn start_with(args: &[&str]) -> anyhow::Result<Self> {
        let args = args.iter().map(ToString::to_string).collect();
        let home = tempfile::tempdir()?;
        let mut redis = Self { process: None, port: free_port()?, args, home };
        redis.restart().await?;
        Ok(redis)
    }

    /// `redis://127.0.0.1:…`
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port it listens on, or listened on before it was killed.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Kills it with SIGKILL. What it held is lost.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port, empty; kills it before if it still runs.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        let mut process = Process::spawn(self.command(), self.home.path())?;
        let this = &*self;
        let answers = || async move {
            let Ok(mut connection) = this.connect().await else { return false };
            redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
        };
        process.until_ready(answers).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Freezes it (SIGSTOP): connections stay open, nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.signal(Signal::Stop)
    }

    /// Thaws it (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn cont(&self) -> anyhow::Result<()> {
        self.signal(Signal::Cont)
    }

    /// A connection of the test's own.
    ///
    /// # Errors
    /// When it can't be had in time.
    pub async fn connect(&self) -> anyhow::Result<MultiplexedConnection> {
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWERS_WITHIN))
            .set_response_timeout(Some(ANSWERS_WITHIN));
        let client = redis::Client::open(self.url())?;
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// Every key that matches `pattern` (`*`) and would stay for ever, sorted.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn keys_without_lifetime(&self, pattern: &str) -> anyhow::Result<Vec<String>> {
        let mut connection = self.connect().await?;
        let keys = self.keys(pattern).await?;
        let mut found = Vec::new();
        for page in keys.chunks(PAGE) {
            let mut pipeline = redis::pipe();
            for key in page {
                pipeline.cmd("PTTL").arg(key);
            }
            let lifetimes: Vec<i64> = pipeline.query_async(&mut connection).await?;
            let pairs = page.iter().zip(lifetimes);
            found.extend(pairs.filter(|(_, ms)| *ms == NO_LIFETIME).map(|(key, _)| key.clone()));
        }
        Ok(found)
    }

    /// The values whose key matches `pattern` (`v1:row:*`), whatever the definition of their entity, as
    /// they are called in Redis; sorted.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn values(&self, pattern: &str) -> anyhow::Result<Vec<String>> {
        self.keys(&format!("corral:1:{}:{pattern}", "[a-z2-7]".repeat(8))).await
    }

    /// Every key that matches `pattern`, sorted.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn keys(&self, pattern: &str) -> anyhow::Result<Vec<String>> {
        let mut connection = self.connect().await?;
        let mut found = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let (next, page): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(pattern)
                .arg("COUNT")
                .arg(PAGE)
                .query_async(&mut connection)
                .await?;
            found.extend(page);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        found.sort();
        // SCAN may name a key twice while the table grows or shrinks.
        found.dedup();
        Ok(found)
    }

    fn signal(&self, which: Signal) -> anyhow::Result<()> {
        self.process.as_ref().context("Redis was killed")?.signal(which)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &self.port.to_string()])
            .arg("--dir")
            .arg(self.home.path())
            .args(&self.args);
        command
    }
}
