//! A private Redis.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use redis::aio::MultiplexedConnection;
use tempfile::TempDir;

use super::edition::Edition;
use super::port::free_port;
use super::process::{Process, Signal, children, signal};
use super::{READY_WITHIN, copy, eventually};

/// Keys asked for at a time, and commands in one pipeline: in between, Redis answers other clients.
const PAGE: usize = 1000;
/// The answer of `PTTL` for a key that exists and has no lifetime.
const NO_LIFETIME: i64 = -1;
/// Time for a connection of the tests' own: long, since they run on busy machines.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// The log of every command, handed to the kernel at once and to the disk every second.
const APPEND_ONLY: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "everysec"];
/// How long a primary waits for more replicas before it sends the first one its data. Debian's five
/// seconds would only make tests slower.
const SYNC_DELAY: [&str; 2] = ["--repl-diskless-sync-delay", "0"];

/// A private server, set as Debian sets Redis. It ends on drop.
pub struct Redis {
    process: Option<Process>,
    edition: Edition,
    port: u16,
    args: Vec<String>,
    home: TempDir,
}

impl Redis {
    /// Starts it on a free port, as [`Edition::chosen`] says, and returns when it answers.
    ///
    /// # Errors
    /// When the server is not installed, or does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with arguments of `redis-server` (`--maxmemory`, `1mb`).
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn start_with(args: &[&str]) -> anyhow::Result<Self> {
        Self::start_edition(Edition::chosen()?, args).await
    }

    /// The same, as this edition.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn start_edition(edition: Edition, args: &[&str]) -> anyhow::Result<Self> {
        Self::start_on(edition, free_port()?, args).await
    }

    /// The same, on this port.
    pub(super) async fn start_on(
        edition: Edition,
        port: u16,
        args: &[&str],
    ) -> anyhow::Result<Self> {
        let args = args.iter().map(ToString::to_string).collect();
        let home = tempfile::tempdir()?;
        fs::create_dir(home.path().join("data"))?;
        let mut redis = Self { process: None, edition, port, args, home };
        redis.restart().await?;
        Ok(redis)
    }

    /// The same, with an append-only file.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn start_append_only() -> anyhow::Result<Self> {
        Self::start_with(&APPEND_ONLY).await
    }

    /// The same in cluster mode, as a cluster of one node. Its bus gets a free port too, since the
    /// default, ten thousand above the main port, may be in use by another connection.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn start_cluster_node() -> anyhow::Result<Self> {
        let bus = free_port()?.to_string();
        Self::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]).await
    }

    /// A replica of the Redis at `port`. It has all of that server's data on return.
    ///
    /// # Errors
    /// As [`Redis::start`], and when the primary does not send its data.
    pub async fn start_replica(port: u16) -> anyhow::Result<Self> {
        let redis = Self::start().await?;
        redis.replicate(port).await?;
        redis.until_replicated().await?;
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

    /// Kills it with SIGKILL. Data that it had not yet written to its folder is lost.
    pub fn kill(&mut self) {
        let Some(process) = self.process.take() else { return };
        let writers = children(process.pid()).unwrap_or_default();
        drop(process);
        for writer in writers {
            // The snapshot's writer may have ended with its parent. If it went on, the snapshot
            // would come from a server that is dead.
            let _ = signal(writer, Signal::Kill);
        }
    }

    /// Starts it again on the same port with the data in its folder; kills it first if it still
    /// runs.
    ///
    /// # Errors
    /// As [`Redis::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        let mut process = Process::spawn(self.command()?, self.home.path())?;
        let this = &*self;
        let answers = || async move {
            let Ok(mut connection) = this.connect().await else { return false };
            redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
        };
        process.until_ready(answers).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Starts it again on the same port without data; kills it first if it still runs.
    ///
    /// # Errors
    /// As [`Redis::start`], and when its folder can't be emptied.
    pub async fn restart_empty(&mut self) -> anyhow::Result<()> {
        self.kill();
        fs::remove_dir_all(self.data())?;
        fs::create_dir(self.data())?;
        self.restart().await
    }

    /// Starts it again on the same port with the data that was on its disk when `image` was taken,
    /// as after a crash of the whole machine; kills it first if it still runs.
    ///
    /// # Errors
    /// As [`Redis::restart_empty`].
    pub async fn restart_from(&mut self, image: &Image) -> anyhow::Result<()> {
        self.kill();
        fs::remove_dir_all(self.data())?;
        copy(&image.data(), &self.data())?;
        self.restart().await
    }

    /// A copy of its folder: the data that is there after a crash of the machine at this moment,
    /// provided that the kernel has written everything.
    ///
    /// # Errors
    /// When the folder can't be copied.
    pub fn image(&self) -> anyhow::Result<Image> {
        let image = Image { home: tempfile::tempdir()? };
        copy(&self.data(), &image.data())?;
        Ok(image)
    }

    /// Writes a snapshot (`SAVE`).
    ///
    /// # Errors
    /// Redis's error.
    pub async fn save(&self) -> anyhow::Result<()> {
        self.say(&["SAVE"]).await.map(drop)
    }

    /// Makes it a replica of the Redis at `port` (`REPLICAOF`).
    ///
    /// # Errors
    /// Redis's error.
    pub async fn replicate(&self, port: u16) -> anyhow::Result<()> {
        self.say(&["REPLICAOF", "127.0.0.1", &port.to_string()]).await.map(drop)
    }

    /// Makes it a primary (`REPLICAOF NO ONE`).
    ///
    /// # Errors
    /// Redis's error.
    pub async fn promote(&self) -> anyhow::Result<()> {
        self.say(&["REPLICAOF", "NO", "ONE"]).await.map(drop)
    }

    /// Waits until it follows its primary and has all data that the primary had at some moment.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_replicated(&self) -> anyhow::Result<()> {
        eventually("a replica is in step", READY_WITHIN, || async {
            let link = self.info("replication", "master_link_status").await?;
            Ok((link == "up").then_some(()))
        })
        .await
    }

    /// The offset up to which it has the replicated log.
    ///
    /// # Errors
    /// When Redis does not say.
    pub async fn offset(&self) -> anyhow::Result<u64> {
        let replica = self.info("replication", "role").await? == "slave";
        let field = if replica { "slave_repl_offset" } else { "master_repl_offset" };
        Ok(self.info("replication", field).await?.parse()?)
    }

    /// A field of `INFO`. Empty if there is no such field.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn info(&self, section: &str, field: &str) -> anyhow::Result<String> {
        let mut connection = self.connect().await?;
        let text: String = redis::cmd("INFO").arg(section).query_async(&mut connection).await?;
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(value.unwrap_or_default().trim().to_owned())
    }

    /// Sends any command, and returns its answer.
    ///
    /// # Errors
    /// Redis's error.
    pub async fn say(&self, words: &[&str]) -> anyhow::Result<redis::Value> {
        let (first, others) = words.split_first().context("a command has a name")?;
        let mut connection = self.connect().await?;
        Ok(redis::cmd(first).arg(others).query_async(&mut connection).await?)
    }

    /// The URL of a user with all rights but those to these commands (`client|tracking`).
    ///
    /// # Errors
    /// Redis's error.
    pub async fn url_without(&self, commands: &[&str]) -> anyhow::Result<String> {
        let mut words = ["ACL", "SETUSER", "app", "reset", "on", ">secret", "~*", "&*", "+@all"]
            .map(ToOwned::to_owned)
            .to_vec();
        words.extend(commands.iter().map(|command| self.edition.without(command)));
        self.say(&words.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        Ok(format!("redis://app:secret@127.0.0.1:{}", self.port))
    }

    /// Freezes it (SIGSTOP): connections stay open and nothing is answered.
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

    /// A connection for the test itself.
    ///
    /// # Errors
    /// If it can't be made in time.
    pub async fn connect(&self) -> anyhow::Result<MultiplexedConnection> {
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWERS_WITHIN))
            .set_response_timeout(Some(ANSWERS_WITHIN));
        let client = redis::Client::open(self.url())?;
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// Every key that matches `pattern` (`*`) and has no lifetime, sorted.
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

    /// The names in Redis of values whose key matches `pattern` (`v1:row:*`), for every definition
    /// of their entity; sorted.
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

    fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(self.edition.program()?);
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(self.edition.snapshots())
            .args(SYNC_DELAY)
            .arg("--dir")
            .arg(self.data())
            .args(&self.args);
        Ok(command)
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }
}

/// The files of a [`Redis`] at some moment.
pub struct Image {
    home: TempDir,
}

impl Image {
    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }
}
