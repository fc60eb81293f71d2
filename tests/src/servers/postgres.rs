//! A private Postgres.

use std::fs;
use std::future::ready;
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::port::free_port;
use super::process::{Process, Signal, children, is_alive, signal};
use super::{READY_WITHIN, build_dir, copy, eventually, run};

/// Enough for a handful of hosts with their pools, and a test's own connections.
const MAX_CONNECTIONS: u16 = 200;

/// What makes a database that lives for one test fast: nothing has to survive the machine.
/// It survives its own crash: a commit still hands its log to the kernel.
const SETTINGS: [&str; 7] = [
    "fsync=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=4GB",
    "checkpoint_timeout=1h",
    "listen_addresses=127.0.0.1",
];

/// What a server needs whose commits can be made to wait for a standby.
const REPLICATED: [&str; 2] = ["wal_level=replica", "max_wal_senders=2"];

/// A commit takes a millisecond here; one that takes so much longer waits for its standby.
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

    /// One whose commits wait between [`Postgres::hold_commits`] and [`Postgres::release_commits`].
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

    async fn start_set(settings: Vec<String>) -> anyhow::Result<Self> {
        let installed = Installed::find()?;
        let template = installed.template().await?;
        let home = installed.owner.temp_dir()?;
        copy(&template, &home.path().join("data"))?;
        let port = free_port()?;
        let mut postgres = Self { process: None, installed, port, settings, home };
        postgres.restart().await?;
        Ok(postgres)
    }

    /// A standby that follows nobody. `SELECT pg_promote()` makes it a primary, on a timeline of its
    /// own.
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

    /// Kills it and all its sessions with SIGKILL. What was committed stays.
    ///
    /// # Errors
    /// When one of its processes does not go.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        // Stopped, it starts no more children behind our back.
        process.signal(Signal::Stop)?;
        let sessions = children(process.pid())?;
        process.kill();
        for pid in &sessions {
            // It may have gone with the postmaster.
            let _ = signal(*pid, Signal::Kill);
        }
        // The next postmaster refuses to start while one of them is still attached to its memory.
        eventually("Postgres's sessions end", READY_WITHIN, || {
            ready(Ok((!sessions.iter().any(|pid| is_alive(*pid))).then_some(())))
        })
        .await
    }

    /// Starts it again on the same port and data; kills it before if it still runs.
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

    /// Freezes it and all its sessions (SIGSTOP): connections stay open, nothing is answered.
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

    /// A connection of the test's own.
    ///
    /// # Errors
    /// When it can't be had.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&self.url()).await?)
    }

    /// Runs one or more statements, and returns the rows of all as text; None: null.
    ///
    /// # Errors
    /// What Postgres says.
    pub async fn psql(&self, sql: &str) -> anyhow::Result<Vec<Vec<Option<String>>>> {
        let mut connection = self.connect().await?;
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut connection).await?;
        rows.iter().map(texts).collect()
    }

    /// From now on every commit waits for a standby that is not there.
    ///
    /// # Errors
    /// What Postgres says, and when commits go on.
    pub async fn hold_commits(&self) -> anyhow::Result<()> {
        self.psql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await?;
        self.psql("SELECT pg_reload_conf()").await?;
        eventually("commits wait for a standby", READY_WITHIN, || async {
            let commit = self.psql("INSERT INTO commits VALUES (1)");
            Ok(tokio::time::timeout(HANGS, commit).await.is_err().then_some(()))
        })
        .await
    }

    /// Commits that wait end, and others wait no more.
    ///
    /// # Errors
    /// What Postgres says.
    pub async fn release_commits(&self) -> anyhow::Result<()> {
        self.psql("ALTER SYSTEM RESET synchronous_standby_names").await?;
        self.psql("SELECT pg_reload_conf()").await?;
        Ok(())
    }

    fn signal_all(&self, which: Signal) -> anyhow::Result<()> {
        let process = self.process.as_ref().context("Postgres was killed")?;
        // The postmaster first: stopped, it starts no session that would be missed.
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
        // nothing writes any more when the directory is removed. If it fails, what follows kills.
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

/// Postgres as it is installed here, and the user that may run it.
#[derive(Clone)]
struct Installed {
    bin: PathBuf,
    owner: Owner,
}

impl Installed {
    /// Debian keeps versions side by side and out of the path; the newest is taken.
    fn find() -> anyhow::Result<Self> {
        let version =
            |bin: &Path| -> Option<u32> { bin.parent()?.file_name()?.to_str()?.parse().ok() };
        let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = debian
            .map(|entry| entry.path().join("bin"))
            .filter(|bin| bin.join("initdb").exists())
            .max_by_key(|bin| version(bin));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let bin = newest
            .or_else(|| std::env::split_paths(&path).find(|dir| dir.join("initdb").exists()))
            .context("Postgres is not installed; tests/prepare installs it")?;
        Ok(Self { bin, owner: Owner::find()? })
    }

    /// A data directory fresh from `initdb`, to copy. Making one takes seconds, so it is kept
    /// beside the executables, for the test processes to come.
    async fn template(&self) -> anyhow::Result<PathBuf> {
        static TEMPLATE: OnceCell<PathBuf> = OnceCell::const_new();
        let made = TEMPLATE.get_or_try_init(|| async {
            let this = self.clone();
            tokio::task::spawn_blocking(move || this.make_template()).await?
        });
        made.await.cloned()
    }

    fn make_template(&self) -> anyhow::Result<PathBuf> {
        let template = build_dir()?.join(self.template_name()?);
        if template.exists() {
            return Ok(template);
        }
        let home = self.owner.temp_dir()?;
        let data = home.path().join("data");
        run(self
            .command("initdb", home.path())
            .arg("-D")
            .arg(&data)
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .arg("--no-sync"))?;
        let partial = template.with_extension(std::process::id().to_string());
        copy(&data, &partial)?;
        match fs::rename(&partial, &template) {
            Err(error) if !template.exists() => Err(error.into()),
            // Another test process was faster.
            Err(_) => Ok(fs::remove_dir_all(&partial).map(|()| template)?),
            Ok(()) => Ok(template),
        }
    }

    /// Differs where the content would: by version and by owner.
    fn template_name(&self) -> anyhow::Result<String> {
        let output = Command::new(self.bin.join("postgres")).arg("--version").output()?;
        ensure!(output.status.success(), "`postgres --version` failed");
        let version: String = String::from_utf8_lossy(&output.stdout)
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        Ok(format!("postgres-template-{}-{}", version.trim_matches('-'), self.owner.uid))
    }

    fn command(&self, program: &str, home: &Path) -> Command {
        self.owner.command(&self.bin.join(program), home)
    }
}

/// Postgres refuses to run as root: then it runs as the user that its package made.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
    differs: bool,
}

impl Owner {
    pub(super) fn find() -> anyhow::Result<Self> {
        let me = fs::metadata("/proc/self")?;
        if me.uid() != 0 {
            return Ok(Self { uid: me.uid(), gid: me.gid(), differs: false });
        }
        let users = fs::read_to_string("/etc/passwd")?;
        let user = |line: &str| {
            let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
            let uid = fields.next()?.parse().ok()?;
            Some(Self { uid, gid: fields.next()?.parse().ok()?, differs: true })
        };
        users.lines().find_map(user).context("root can't run Postgres, and no user `postgres` can")
    }

    /// A command that runs as this user.
    pub(super) fn command(self, program: &Path, home: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(home);
        if self.differs {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    pub(super) fn temp_dir(self) -> io::Result<TempDir> {
        let dir = tempfile::tempdir()?;
        if self.differs {
            chown(dir.path(), Some(self.uid), Some(self.gid))?;
        }
        Ok(dir)
    }
}
