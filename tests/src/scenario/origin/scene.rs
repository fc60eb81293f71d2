//! The servers of the scenario, and the blows to them.

use serde::Serialize;
use tempfile::TempDir;

use crate::forwarder::Forwarder;
use crate::servers::{Postgres, replace};
use crate::shop::Shop;

/// A role that the server can refuse: for superusers it reserves connections.
const ROLE: &str =
    "CREATE ROLE app LOGIN PASSWORD 'first'; GRANT ALL ON ALL TABLES IN SCHEMA public TO app";
const NO_CONNECTIONS: &str = "ALTER ROLE app CONNECTION LIMIT 0";
const CONNECTIONS_AGAIN: &str = "ALTER ROLE app CONNECTION LIMIT -1";
const TERMINATE: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";

/// A blow: what happens to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Blow {
    /// Connections stay open, but the server answers nothing.
    Frozen,
    /// Connections break, and new ones are refused.
    Killed,
    /// Connections break, and new ones are told that there are too many.
    OutOfConnections,
    /// The server becomes read-only, and its address leads to a standby. Later it writes again, and
    /// the address leads back to it. Connections stay open, to either.
    FailedOver,
    /// The same, but later the standby is promoted, and the former server stays as it is.
    Promoted,
    /// Connections break, and new ones have another password; later the file with the URL has it
    /// too.
    PasswordRotated,
}

impl Blow {
    /// All blows.
    pub const ALL: [Self; 6] = [
        Self::Frozen,
        Self::Killed,
        Self::OutOfConnections,
        Self::FailedOver,
        Self::Promoted,
        Self::PasswordRotated,
    ];
}

/// A server, and for some blows a second server and the way to both.
pub(super) struct Scene {
    blow: Blow,
    first: Postgres,
    pair: Option<(Postgres, Forwarder)>,
    /// The folder with the file that holds the origin's URL.
    home: TempDir,
}

impl Scene {
    pub(super) async fn set(blow: Blow) -> anyhow::Result<Self> {
        let first = Postgres::start_replicated().await?;
        Shop::small().load(&first.url()).await?;
        first.psql(ROLE).await?;
        let pair = match blow {
            Blow::FailedOver | Blow::Promoted => {
                let second = first.start_follower().await?;
                Some((second, Forwarder::start(first.port()).await?))
            }
            Blow::Frozen | Blow::Killed | Blow::OutOfConnections => None,
            Blow::PasswordRotated => {
                first.ask_for_password("app").await?;
                None
            }
        };
        let scene = Self { blow, first, pair, home: tempfile::tempdir()? };
        scene.tell("first")?;
        Ok(scene)
    }

    /// The environment variables that tell a host where the origin is.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![("CORRAL_ORIGIN_URL_FILE", self.home.path().join("url").display().to_string())]
    }

    /// The port of the server from which reads have to come in the end.
    pub(super) fn last(&self) -> u16 {
        match (&self.pair, self.blow) {
            (Some((second, _)), Blow::Promoted) => second.port(),
            (Some(_) | None, _) => self.first.port(),
        }
    }

    fn tell(&self, password: &str) -> anyhow::Result<()> {
        let port = self.pair.as_ref().map_or(self.first.port(), |(_, way)| way.port());
        let url = format!("postgres://app:{password}@127.0.0.1:{port}/postgres");
        Ok(replace(&self.home.path().join("url"), url)?)
    }

    pub(super) async fn strike(&mut self) -> anyhow::Result<()> {
        match self.blow {
            Blow::Frozen => self.first.stop()?,
            Blow::Killed => self.first.kill().await?,
            Blow::OutOfConnections => {
                self.first.psql(NO_CONNECTIONS).await?;
                self.first.psql(TERMINATE).await?;
            }
            Blow::FailedOver | Blow::Promoted => {
                self.first.psql("ALTER SYSTEM SET default_transaction_read_only = on").await?;
                self.first.psql("SELECT pg_reload_conf()").await?;
                self.lead(|_, second| second);
            }
            Blow::PasswordRotated => {
                self.first.psql("ALTER ROLE app PASSWORD 'second'").await?;
                self.first.psql(TERMINATE).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn relieve(&mut self) -> anyhow::Result<()> {
        match self.blow {
            Blow::Frozen => self.first.cont()?,
            Blow::Killed => self.first.restart().await?,
            Blow::OutOfConnections => {
                self.first.psql(CONNECTIONS_AGAIN).await?;
            }
            Blow::FailedOver => {
                self.first.psql("ALTER SYSTEM RESET default_transaction_read_only").await?;
                self.first.psql("SELECT pg_reload_conf()").await?;
                self.lead(|first, _| first);
            }
            Blow::Promoted => {
                if let Some((second, _)) = &self.pair {
                    second.psql("SELECT pg_promote()").await?;
                }
            }
            Blow::PasswordRotated => self.tell("second")?,
        }
        Ok(())
    }

    /// Leads new connections to one of the two servers.
    fn lead(&self, to: impl Fn(u16, u16) -> u16) {
        if let Some((second, way)) = &self.pair {
            way.point_to(to(self.first.port(), second.port()));
        }
    }
}
