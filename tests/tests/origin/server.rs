//! A private Postgres, shared by the tests that run at the same time and ended with the last one.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;

const BINARIES: &str = "/usr/lib/postgresql/15/bin";

pub(crate) struct Server {
    directory: TempDir,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("corral-pg").tempdir().unwrap();
        // The server runs as another user.
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { directory, port };
        server.run("initdb", &["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"]);
        server.resume();
        server
    }

    /// One that is running already, if a test has one.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *shared = Arc::downgrade(&server);
        server
    }

    pub(crate) fn resume(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off \
             -c max_connections=200",
            self.port
        );
        let log = self.directory.path().join("log");
        self.run("pg_ctl", &["start", "-w", "-l", log.to_str().unwrap(), "-o", &options]);
    }

    pub(crate) fn stop(&self) {
        self.run("pg_ctl", &["stop", "-w", "-m", "immediate"]);
    }

    /// The URL of a new, empty schema.
    pub(crate) async fn schema(&self, name: &str) -> String {
        let mut admin = self.admin().await;
        let create = AssertSqlSafe(format!("CREATE SCHEMA {name}"));
        sqlx::raw_sql(create).execute(&mut admin).await.unwrap();
        format!("{}?options=-c%20search_path%3D{name}", self.url())
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) async fn admin(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let data = self.directory.path().join("data");
        let path = Path::new(BINARIES).join(program);
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(path).arg("-D").arg(data).args(arguments);
        // A server would keep a pipe open that somebody waits for.
        command.stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        assert!(command.status().unwrap().success(), "{program} failed");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.directory.path().join("data");
        let _ = Command::new("runuser")
            .args(["-u", "postgres", "--"])
            .arg(Path::new(BINARIES).join("pg_ctl"))
            .args(["stop", "-m", "immediate", "-D"])
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// A connection of the test's own, in the schema of an origin's URL.
pub(crate) async fn connection(url: &str) -> PgConnection {
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    options.connect().await.unwrap()
}

pub(crate) async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}
