//! A primary with two replicas, and three sentinels that watch over them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use redis::FromRedisValue;
use tempfile::TempDir;

use super::port::free_port;
use super::process::Process;
use super::{READY_WITHIN, Redis, eventually};

/// The name under which sentinels know the primary.
const NAME: &str = "main";

/// How many sentinels have to agree that the primary is gone.
const QUORUM: &str = "2";

/// How long a server may be silent until a sentinel takes it for gone; production has more, and tests would only
/// take longer.
const GONE_AFTER_MS: &str = "500";

/// Two failovers are at least twice this far apart.
const FAILOVER_MS: &str = "2000";

/// The user as which replicas read from their primary. A primary that refuses this user has replicas that get
/// nothing.
const REPLICATES: [&str; 11] = [
    "--user",
    "replica",
    "on",
    ">secret",
    "+psync",
    "+replconf",
    "+ping",
    "--masteruser",
    "replica",
    "--masterauth",
    "secret",
];

/// One server takes writes, and the others follow it.
pub struct Sentinels {
    servers: Vec<Redis>,
    sentinels: Vec<Sentinel>,
}

impl Sentinels {
    /// Starts all, and returns when every sentinel knows every server and the other sentinels.
    ///
    /// # Errors
    /// When `redis-server` is not installed, or a server does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(Redis::start_with(&REPLICATES).await?);
        }
        let primary = servers[0].port();
        for replica in &servers[1..] {
            replica.replicate(primary).await?;
        }
        for replica in &servers[1..] {
            replica.until_replicated().await?;
        }
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(Sentinel::start(primary).await?);
        }
        let this = Self { servers, sentinels };
        this.settled().await?;
        Ok(this)
    }

    /// `redis+sentinel://…`
    #[must_use]
    pub fn url(&self) -> String {
        let ports: Vec<u16> = self.sentinels.iter().map(|sentinel| sentinel.port).collect();
        Self::url_over(&ports)
    }

    /// The same, with sentinels that are reached through these ports.
    #[must_use]
    pub fn url_over(ports: &[u16]) -> String {
        let at: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/{NAME}", at.join(","))
    }

    /// The ports on which the sentinels listen.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.sentinels.iter().map(|sentinel| sentinel.port).collect()
    }

    /// A server by its number.
    #[must_use]
    pub fn server(&self, number: usize) -> &Redis {
        &self.servers[number]
    }

    /// The number of the server that most sentinels name; `None` if they disagree.
    pub async fn primary(&self) -> Option<usize> {
        let mut votes = BTreeMap::<u16, usize>::new();
        for sentinel in &self.sentinels {
            let named = sentinel.say::<(String, u16)>(&["GET-MASTER-ADDR-BY-NAME", NAME]).await;
            if let Ok((_, port)) = named {
                *votes.entry(port).or_default() += 1;
            }
        }
        let (port, _) = votes.into_iter().find(|(_, votes)| votes * 2 > self.sentinels.len())?;
        self.servers.iter().position(|server| server.port() == port)
    }

    /// Waits until most sentinels name another server than this one; returns its number.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_another(&self, than: usize) -> anyhow::Result<usize> {
        eventually("another primary is named", READY_WITHIN, || async {
            Ok(self.primary().await.filter(|primary| *primary != than))
        })
        .await
    }

    /// Waits until all replicas of a server have everything that it has now.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn in_step(&self, primary: usize) -> anyhow::Result<()> {
        let goal = self.servers[primary].offset().await?;
        for replica in self.others(primary) {
            eventually("a replica has everything", READY_WITHIN, || async {
                Ok((replica.offset().await? >= goal).then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// From now on no replica gets anything from this server.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn withhold(&self, primary: usize) -> anyhow::Result<()> {
        let primary = &self.servers[primary];
        primary.say(&["ACL", "SETUSER", "replica", "off"]).await?;
        primary.say(&["CLIENT", "KILL", "TYPE", "replica"]).await?;
        Ok(())
    }

    /// Kills a server with SIGKILL.
    pub fn kill(&mut self, number: usize) {
        self.servers[number].kill();
    }

    /// Orders a failover.
    ///
    /// # Errors
    /// When no sentinel takes the order in time.
    pub async fn fail_over(&self) -> anyhow::Result<()> {
        eventually("a sentinel takes the order", READY_WITHIN, || async {
            Ok(self.sentinels[0].say::<String>(&["FAILOVER", NAME]).await.ok())
        })
        .await
        .map(drop)
    }

    /// Makes every other server a replica of the one that is named: dead ones come back empty.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn mend(&mut self) -> anyhow::Result<usize> {
        let primary =
            eventually("a primary is named", READY_WITHIN, || async { Ok(self.primary().await) })
                .await?;
        let port = self.servers[primary].port();
        for number in (0..self.servers.len()).filter(|number| *number != primary) {
            if self.servers[number].pid().is_none() {
                self.servers[number].restart_empty().await?;
            }
            self.servers[number].replicate(port).await?;
        }
        for server in &self.servers {
            server.say(&["ACL", "SETUSER", "replica", "on"]).await?;
        }
        for replica in self.others(primary) {
            replica.until_replicated().await?;
        }
        self.settled().await?;
        Ok(primary)
    }

    /// Moves the name to another server, on one sentinel after the other.
    ///
    /// # Errors
    /// When a sentinel refuses.
    pub async fn rename(&self, to: usize) -> anyhow::Result<()> {
        let port = self.servers[to].port().to_string();
        for sentinel in &self.sentinels {
            sentinel.say::<String>(&["REMOVE", NAME]).await?;
            sentinel.say::<String>(&["MONITOR", NAME, "127.0.0.1", &port, QUORUM]).await?;
            for (what, value) in
                [("down-after-milliseconds", GONE_AFTER_MS), ("failover-timeout", FAILOVER_MS)]
            {
                sentinel.say::<String>(&["SET", NAME, what, value]).await?;
            }
        }
        Ok(())
    }

    /// Sends any command to every sentinel.
    ///
    /// # Errors
    /// When a sentinel refuses.
    pub async fn tell_sentinels(&self, words: &[&str]) -> anyhow::Result<()> {
        for sentinel in &self.sentinels {
            sentinel.send::<redis::Value>(words).await?;
        }
        Ok(())
    }

    /// Kills a sentinel.
    pub fn kill_sentinel(&mut self, number: usize) {
        self.sentinels[number].process = None;
    }

    /// Starts a sentinel again, with what it knew.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart_sentinel(&mut self, number: usize) -> anyhow::Result<()> {
        self.sentinels[number].restart().await
    }

    fn others(&self, primary: usize) -> impl Iterator<Item = &Redis> {
        let others = self.servers.iter().enumerate().filter(move |(number, _)| *number != primary);
        others.map(|(_, server)| server)
    }

    /// Waits until all sentinels know all servers and each other, take all for alive, and have no failover
    /// under way.
    async fn settled(&self) -> anyhow::Result<()> {
        for sentinel in &self.sentinels {
            eventually("a sentinel knows all", READY_WITHIN, || async {
                Ok(sentinel.is_settled().await?.then_some(()))
            })
            .await?;
        }
        Ok(())
    }
}

struct Sentinel {
    process: Option<Process>,
    port: u16,
    home: TempDir,
}

impl Sentinel {
    async fn start(primary: u16) -> anyhow::Result<Self> {
        let sentinel = Self { process: None, port: free_port()?, home: tempfile::tempdir()? };
        let (port, home) = (sentinel.port, sentinel.home.path().display());
        let config = format!(
            "bind 127.0.0.1\nport {port}\ndir {home}\n\
             sentinel monitor {NAME} 127.0.0.1 {primary} {QUORUM}\n\
             sentinel down-after-milliseconds {NAME} {GONE_AFTER_MS}\n\
             sentinel failover-timeout {NAME} {FAILOVER_MS}\n\
             sentinel parallel-syncs {NAME} 2\n"
        );
        fs::write(sentinel.home.path().join("sentinel.conf"), config)?;
        let mut sentinel = sentinel;
        sentinel.restart().await?;
        Ok(sentinel)
    }

    async fn restart(&mut self) -> anyhow::Result<()> {
        self.process = None;
        let mut command = Command::new("redis-server");
        command.arg(self.home.path().join("sentinel.conf")).arg("--sentinel");
        let mut process = Process::spawn(command, self.home.path())?;
        let this = &*self;
        let answers = || async move { this.say::<String>(&["MYID"]).await.is_ok() };
        process.until_ready(answers).await?;
        self.process = Some(process);
        Ok(())
    }

    /// `SENTINEL …`
    async fn say<T: FromRedisValue>(&self, words: &[&str]) -> anyhow::Result<T> {
        self.send(&[&["SENTINEL"], words].concat()).await
    }

    async fn send<T: FromRedisValue>(&self, words: &[&str]) -> anyhow::Result<T> {
        const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWERS_WITHIN))
            .set_response_timeout(Some(ANSWERS_WITHIN));
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let (first, others) = words.split_first().context("a command has a name")?;
        Ok(redis::cmd(first).arg(others).query_async(&mut connection).await?)
    }

    async fn is_settled(&self) -> anyhow::Result<bool> {
        let primary: BTreeMap<String, String> = self.say(&["MASTER", NAME]).await?;
        let field = |name: &str| primary.get(name).map_or("", String::as_str);
        let knows_all = field("num-slaves") == "2" && field("num-other-sentinels") == "2";
        let replicas: Vec<BTreeMap<String, String>> = self.say(&["REPLICAS", NAME]).await?;
        let is_well = |replica: &BTreeMap<String, String>| {
            let field = |name: &str| replica.get(name).map_or("", String::as_str);
            field("flags") == "slave" && field("master-link-status") == "ok"
        };
        Ok(field("flags") == "master" && knows_all && replicas.iter().all(is_well))
    }
}
