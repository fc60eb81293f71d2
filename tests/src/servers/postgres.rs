//! A private Postgres.

mod installed;

use std::fs;
use std::future::ready;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _};
use tempfile::TempDir;

use super::port::free_port;
use super::process::{Process, Signal, children, is_alive, signal};
use super::{READY_WITHIN, copy, eventually, run};

use installed::Installed;
pub(super) use installed::Owner;

/// Enough for a handful of hosts with their pools, and a test's own connections.
const MAX_CONNECTIONS: u16 = 200;

/// Settings that make a database fast which lives for one test: its data need not survive the
/// machine. It survives its own crash, since a commit still hands its log to the kernel.
const SETTINGS: [&str; 7] = [
    "fsync=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=4GB",
    "checkpoint_timeout=1h",
    "listen_addresses=127.0.0.1",
];

/// Settings of a server whose commits can be made to wait for a standby.
const REPLICATED: [&str; 2] = ["wal_level=replica", "max_wal_senders=2"];

/// A commit takes a millisecond here; a commit that takes so long waits for its standby.
const HANGS: Duration = Duration::from_millis(200);

/// A private Postgres whose superuser `postgres` needs no password; ends on drop.
pub struct Postgres {
    process: Option<Process>,
    installed: Installed,
    port: u16,
    settings: Vec<String>,
    home: TempDir,
}

impl Postgres {
    /// Starts it on a free port, and returns when it answers.
    ///
    /// # Errors
    /// When Postgres is not installed, or does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(MAX_CONNECTIONS).await
    }

    /// The same with a bound on connections.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn start_with(max_connections: u16) -> anyhow::Result<Self> {
        Self::start_set(vec![format!("max_connections={max_connections}")]).await
    }

    /// A server whose commits wait between [`Postgres::hold_commits`] and
    /// [`Postgres::release_commits`].
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn start_replicated() -> anyhow::Result<Self> {
        let settings = REPLICATED.iter().map(ToString::to_string);
        let postgres = Self::start_set(
            settings.chain([format!("max_connections={MAX_CONNECTIONS}")]).collect(),
        )
        .await?;
        postgres.psql("CREATE TABLE commits (n int)").await?;
        Ok(postgres)
    }

    /// A server that also speaks TLS, with this certificate and key (PEM).
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn start_encrypted(certificate: &str, key: &str) -> anyhow::Result<Self> {
        let (home, installed) = Self::fresh().await?;
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            installed.owner.write(&home.path().join("data").join(name), text)?;
        }
        Self::start_in(home, installed, vec!["ssl=on".to_owned()]).await
    }

    async fn start_set(settings: Vec<String>) -> anyhow::Result<Self> {
        let (home, installed) = Self::fresh().await?;
        Self::start_in(home, installed, settings).await
    }

    /// A folder with fresh data.
    async fn fresh() -> anyhow::Result<(TempDir, Installed)> {
        let installed = Installed::find()?;
        let template = installed.template().await?;
        let home = installed.owner.temp_dir()?;
        copy(&template, &home.path().join("data"))?;
        Ok((home, installed))
    }

    /// Starts a server over the folder `data`.
    async fn start_in(
        home: TempDir,
        installed: Installed,
        settings: Vec<String>,
    ) -> anyhow::Result<Self> {
        let mut postgres = Self { process: None, installed, port: free_port()?, settings, home };
        postgres.restart().await?;
        Ok(postgres)
    }

    /// A standby that follows this server, which was started by [`Postgres::start_replicated`]. It
    /// answers reads. `SELECT pg_promote()` makes it a primary on a new timeline.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn start_follower(&self) -> anyhow::Result<Self> {
        let (installed, settings) = (self.installed.clone(), self.settings.clone());
        let home = installed.owner.temp_dir()?;
        let mut copy = installed.command("pg_basebackup", home.path());
        copy.arg("-D").arg(home.path().join("data"));
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]);
        copy.args(["--dbname", &self.url()]);
        tokio::task::spawn_blocking(move || run(&mut copy)).await??;
        Self::start_in(home, installed, settings).await
    }

    /// A standby that follows no server. `SELECT pg_promote()` makes it a primary on a new
    /// timeline.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn start_standby() -> anyhow::Result<Self> {
        let settings = REPLICATED.iter().map(ToString::to_string).collect();
        let mut postgres = Self::start_set(settings).await?;
        fs::write(postgres.home.path().join("data/standby.signal"), "")?;
        postgres.restart().await?;
        Ok(postgres)
    }

    /// `postgres://postgres@127.0.0.1:…/postgres`
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The port it listens on, or listened on before it was killed.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process of the postmaster, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Kills it and all its sessions with SIGKILL. Committed data stays.
    ///
    /// # Errors
    /// If one of its processes does not end.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        // Stopped, it can't start children meanwhile.
        process.signal(Signal::Stop)?;
        let sessions = children(process.pid())?;
        process.kill();
        for pid in &sessions {
            // It may have ended together with the postmaster.
            let _ = signal(*pid, Signal::Kill);
        }
        // The next postmaster does not start while a session is still attached to the shared
        // memory.
        eventually("Postgres's sessions end", READY_WITHIN, || {
            ready(Ok((!sessions.iter().any(|pid| is_alive(*pid))).then_some(())))
        })
        .await
    }

    /// Starts it again on the same port and data; kills it first if it still runs.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill().await?;
        let mut process = Process::spawn(self.command(), self.home.path())?;
        let this = &*self;
        process.until_ready(|| async move { this.connect().await.is_ok() }).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Freezes it and all its sessions (SIGSTOP): connections stay open and nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.signal_all(Signal::Stop)
    }

    /// Thaws it (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn cont(&self) -> anyhow::Result<()> {
        self.signal_all(Signal::Cont)
    }

    /// From now on asks this role for its password, and other roles for none.
    ///
    /// # Errors
    /// If the server still lets the role in without a password after a while.
    pub async fn ask_for_password(&self, role: &str) -> anyhow::Result<()> {
        let rules = format!(
            "host all {role} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
        );
        fs::write(self.home.path().join("data/pg_hba.conf"), rules)?;
        self.psql("SELECT pg_reload_conf()").await?;
        let without = self.url().replace("postgres@", &format!("{role}:@"));
        eventually("passwords count", READY_WITHIN, || async {
            Ok(PgConnection::connect(&without).await.is_err().then_some(()))
        })
        .await
    }

    /// A connection for the test itself, whose sessions have the name `corral-tests`.
    ///
    /// # Errors
    /// If it can't be made.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        let options: PgConnectOptions = self.url().parse()?;
        Ok(options.application_name("corral-tests").connect().await?)
    }

    /// Runs one or more statements, and returns the rows of all of them as text; `None` is null.
    ///
    /// # Errors
    /// Postgres's error.
    pub async fn psql(&self, sql: &str) -> anyhow::Result<Vec<Vec<Option<String>>>> {
        let mut connection = self.connect().await?;
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut connection).await?;
        rows.iter().map(texts).collect()
    }

    /// Makes every commit wait from now on for a standby that is not there.
    ///
    /// # Errors
    /// Postgres's error, or that commits still end.
    pub async fn hold_commits(&self) -> anyhow::Result<()> {
        self.psql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await?;
        self.psql("SELECT pg_reload_conf()").await?;
        eventually("commits wait for a standby", READY_WITHIN, || async {
            let commit = self.psql("INSERT INTO commits VALUES (1)");
            Ok(tokio::time::timeout(HANGS, commit).await.is_err().then_some(()))
        })
        .await
    }

    /// Ends the commits that wait, and lets others end at once.
    ///
    /// # Errors
    /// Postgres's error.
    pub async fn release_commits(&self) -> anyhow::Result<()> {
        self.psql("ALTER SYSTEM RESET synchronous_standby_names").await?;
        self.psql("SELECT pg_reload_conf()").await?;
        Ok(())
    }

    fn signal_all(&self, which: Signal) -> anyhow::Result<()> {
        let process = self.process.as_ref().context("Postgres was killed")?;
        // The postmaster first: once it is stopped, it starts no session that would be missed here.
        process.signal(which)?;
        for pid in children(process.pid())? {
            // A session may end at any time.
            let _ = signal(pid, which);
        }
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = self.installed.command("postgres", self.home.path());
        command.arg("-D").arg(self.home.path().join("data"));
        command.args(["-p", &self.port.to_string()]);
        command.arg("-c").arg(format!("unix_socket_directories={}", self.home.path().display()));
        for setting in SETTINGS.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An immediate shutdown: the postmaster ends its sessions and waits for them, so that
        // nothing writes any more when the directory is removed. If it fails, the code below kills
        // it.
        let _ = self.signal_all(Signal::Cont);
        if let Some(process) = &mut self.process
            && process.signal(Signal::Quit).is_ok()
        {
            process.wait();
        }
    }
}

/// The values of a row that came over the simple protocol, where everything is text.
fn texts(row: &PgRow) -> anyhow::Result<Vec<Option<String>>> {
    let text = |column| {
        let value = row.try_get_raw(column)?;
        if sqlx::ValueRef::is_null(&value) {
            return Ok(None);
        }
        value.as_str().map(|text| Some(text.to_owned())).map_err(anyhow::Error::from_boxed)
    };
    (0..row.len()).map(text).collect()
}
