//! The private Postgres, shared by the tests that run at the same time. It ends with the last of
//! them.

use std::sync::{Arc, Weak};

use corral_tests::servers::Postgres;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use tokio::sync::Mutex;

/// Tests run side by side, each with pools of its own.
const CONNECTIONS: u16 = 200;

pub(crate) struct Server(Postgres);

impl Server {
    pub(crate) async fn start() -> Self {
        Self(Postgres::start_with(CONNECTIONS).await.unwrap())
    }

    /// The server that is running already, or a new one.
    pub(crate) async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&server);
        server
    }

    /// A server whose commits wait between `hold_commits` and `release_commits` of the inner
    /// server.
    pub(crate) async fn replicated() -> Self {
        Self(Postgres::start_replicated().await.unwrap())
    }

    pub(crate) async fn standby() -> Self {
        Self(Postgres::start_standby().await.unwrap())
    }

    /// A standby of this server, which has to be one of [`Server::replicated`].
    pub(crate) async fn follower(&self) -> Self {
        Self(self.0.start_follower().await.unwrap())
    }

    pub(crate) fn postgres(&self) -> &Postgres {
        &self.0
    }

    pub(crate) async fn resume(&mut self) {
        self.0.restart().await.unwrap();
    }

    pub(crate) async fn stop(&mut self) {
        self.0.kill().await.unwrap();
    }

    /// The URL of a new, empty schema.
    pub(crate) async fn schema(&self, name: &str) -> String {
        let mut admin = self.admin().await;
        run(&mut admin, &format!("CREATE SCHEMA {name}")).await;
        format!("{}?options=-c%20search_path%3D{name}", self.url())
    }

    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    pub(crate) async fn admin(&self) -> PgConnection {
        self.0.connect().await.unwrap()
    }
}

/// A connection for the test itself, in the schema of an origin's URL.
pub(crate) async fn connection(url: &str) -> PgConnection {
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    options.connect().await.unwrap()
}

/// A connection through a pooler, which refuses parameters that it does not know.
pub(crate) async fn lent(url: &str) -> PgConnection {
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    options.extra_float_digits(None).connect().await.unwrap()
}

pub(crate) async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}
