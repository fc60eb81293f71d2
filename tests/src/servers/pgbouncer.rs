//! A private `PgBouncer`.

use std::fs;
use std::path::Path;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tempfile::TempDir;

use super::port::free_port;
use super::postgres::Owner;
use super::process::{Process, Signal};

/// Debian's package puts this outside the path of users other than root.
const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// A private `PgBouncer` that lends connections by transaction. It ends on drop.
pub struct PgBouncer {
    process: Process,
    port: u16,
    _home: TempDir,
}

impl PgBouncer {
    /// Starts it in front of the Postgres that listens on a port, as Debian ships it except for the
    /// mode: its handling of a client's parameters is the default. `connections` bounds its
    /// connections to the server; `settings` are further lines of its file.
    ///
    /// # Errors
    /// When it is not installed, or does not come up; with its log.
    pub async fn start(server: u16, connections: u16, settings: &[&str]) -> anyhow::Result<Self> {
        let settings = settings.iter().map(ToString::to_string).collect();
        let home = Owner::find()?.temp_dir()?;
        Self::start_in(home, server, connections, settings).await
    }

    /// The same, but this user is asked for a password, and other users are not.
    ///
    /// # Errors
    /// As [`PgBouncer::start`].
    pub async fn start_guarded(
        server: u16,
        connections: u16,
        (user, password): (&str, &str),
    ) -> anyhow::Result<Self> {
        let home = Owner::find()?.temp_dir()?;
        let rules = format!(
            "host all {user} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
        );
        let users = format!("\"postgres\" \"\"\n\"{user}\" \"{password}\"\n");
        let mut settings = vec!["auth_type = hba".to_owned()];
        for (key, name, text) in
            [("auth_hba_file", "hba.conf", rules), ("auth_file", "guarded.txt", users)]
        {
            let path = home.path().join(name);
            fs::write(&path, text)?;
            settings.push(format!("{key} = {}", path.display()));
        }
        Self::start_in(home, server, connections, settings).await
    }

    async fn start_in(
        home: TempDir,
        server: u16,
        connections: u16,
        settings: Vec<String>,
    ) -> anyhow::Result<Self> {
        let (owner, port) = (Owner::find()?, free_port()?);
        let file = |name: &str| home.path().join(name);
        fs::write(file("userlist.txt"), "\"postgres\" \"\"\n\"reader\" \"\"\n")?;
        let own = [
            "[databases]".to_owned(),
            format!("* = host=127.0.0.1 port={server}"),
            "[pgbouncer]".to_owned(),
            "listen_addr = 127.0.0.1".to_owned(),
            format!("listen_port = {port}"),
            format!("unix_socket_dir = {}", home.path().display()),
            "auth_type = trust".to_owned(),
            format!("auth_file = {}", file("userlist.txt").display()),
            "pool_mode = transaction".to_owned(),
            format!("default_pool_size = {connections}"),
            "max_client_conn = 1000".to_owned(),
            "admin_users = postgres".to_owned(),
        ];
        let lines = own.into_iter().chain(settings);
        fs::write(file("pgbouncer.ini"), lines.collect::<Vec<_>>().join("\n"))?;
        let mut command = owner.command(Path::new(PROGRAM), home.path());
        command.arg(file("pgbouncer.ini"));
        let process = Process::spawn(command, home.path())?;
        let mut pooler = Self { process, port, _home: home };
        let url = pooler.url();
        pooler.process.until_ready(|| async { connect(&url).await.is_ok() }).await?;
        Ok(pooler)
    }

    /// `postgres://postgres@127.0.0.1:…/postgres`
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/postgres", self.address())
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends a command to its console, such as `RECONNECT`.
    ///
    /// # Errors
    /// Its error message.
    pub async fn admin(&self, command: &str) -> anyhow::Result<()> {
        let mut console = connect(&format!("{}/pgbouncer", self.address())).await?;
        sqlx::raw_sql(AssertSqlSafe(command)).execute(&mut console).await?;
        Ok(())
    }

    fn address(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}", self.port)
    }

    /// Freezes it, or thaws it.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process.signal(signal)
    }
}

async fn connect(url: &str) -> anyhow::Result<PgConnection> {
    let options: PgConnectOptions = url.parse()?;
    Ok(options.extra_float_digits(None).connect().await?)
}
