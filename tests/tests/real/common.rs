//! Servers that small tests share, and a lock by which tests that measure times run alone.

use std::time::Duration;

use bytes::Bytes;
use corral_tests::client::{Answer, Client};
use corral_tests::servers::{Host, Postgres, Redis, corral, eventually};
use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A slow answer on a busy machine is no outage.
const PATIENT_STORE: &str = "timeout = \"5s\"";

/// Long enough for a busy machine; only reached when a test fails.
const SOON: Duration = Duration::from_secs(30);

static TURNS: RwLock<()> = RwLock::const_new(());

/// For a test that may run beside others.
pub(super) async fn beside_others() -> RwLockReadGuard<'static, ()> {
    TURNS.read().await
}

/// For a test that measures times.
pub(super) async fn alone() -> RwLockWriteGuard<'static, ()> {
    TURNS.write().await
}

/// One Redis and one Postgres. They end with this process.
pub(super) struct Servers {
    pub(super) redis: Redis,
    pub(super) postgres: Postgres,
}

impl Servers {
    /// The servers, started for the first test that asks.
    pub(super) async fn shared() -> &'static Self {
        static SERVERS: OnceCell<Servers> = OnceCell::const_new();
        SERVERS
            .get_or_init(async || Self {
                redis: Redis::start_with(&["--databases", "64"]).await.unwrap(),
                postgres: Postgres::start().await.unwrap(),
            })
            .await
    }

    /// A store of its own for each test: one of Redis's numbered databases.
    pub(super) fn store_url(&self, database: u8) -> String {
        format!("{}/{database}", self.redis.url())
    }

    /// A whole configuration over these servers.
    pub(super) fn config(&self, database: u8, rest: &str) -> String {
        let (store, origin) = (self.store_url(database), self.postgres.url());
        format!("[store]\nurl = \"{store}\"\n{PATIENT_STORE}\n[origin]\nurl = \"{origin}\"\n{rest}")
    }

    /// A host with that configuration.
    pub(super) async fn host(&self, database: u8, rest: &str) -> Host {
        Host::start(&self.config(database, rest)).await.unwrap()
    }
}

/// The content of a read that has to succeed.
pub(super) async fn content(host: &Host, path: &str) -> Value {
    let answer = host.get(path).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
    answer.json().unwrap()
}

/// The same, repeated until it comes from the store.
pub(super) async fn hit(host: &Host, path: &str) -> Value {
    eventually(&format!("{path} is stored"), SOON, || async {
        let answer = host.get(path).await?;
        Ok(if answer.is_hit() { Some(answer.json()?) } else { None })
    })
    .await
    .unwrap()
}

/// `POST` of a JSON text; the answer may have any status.
pub(super) async fn post(host: &Host, path: &str, body: &Value) -> Answer {
    let json = [("content-type", "application/json")];
    let body = Bytes::from(body.to_string());
    Client::new().request(Method::POST, &host.url(path), &json, body).await.unwrap()
}

/// `POST` that has to succeed; returns its answer.
pub(super) async fn posted(host: &Host, path: &str, body: &Value) -> Value {
    let answer = post(host, path, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{path} {body}: {answer:?}");
    answer.json().unwrap()
}

/// Whether `corral check` accepts a host's configuration, and what it prints.
pub(super) fn check(host: &Host) -> (bool, String) {
    let output =
        corral().unwrap().args(["check", "--config"]).arg(host.config_path()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
