//! Servers that small tests share, and the turns that tests take on a machine of few cores.

use std::time::Duration;

use bytes::Bytes;
use corral_tests::client::{Answer, Client};
use corral_tests::servers::{Host, Postgres, Redis, corral, eventually};
use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A busy machine is no outage.
const PATIENT_STORE: &str = "timeout = \"5s\"";

/// Long enough for a busy machine; only reached when a test fails.
const SOON: Duration = Duration::from_secs(30);

static TURNS: RwLock<()> = RwLock::const_new(());

/// Taken by a test that may run beside others.
pub(super) async fn beside_others() -> RwLockReadGuard<'static, ()> {
    TURNS.read().await
}

/// Taken by a test that measures times.
pub(super) async fn alone() -> RwLockWriteGuard<'static, ()> {
    TURNS.write().await
}

/// One Redis and one Postgres. They end with this process.
pub(super) struct Servers {
    pub(super) redis: Redis,
    pub(super) postgres: Postgres,
}

impl Servers {
    /// The servers, started for whoever asks first.
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

/// The content of a read that is to succeed.
pub(super) async fn content(host: &Host, path: &str) -> Value {
    let answer = host.get(path).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
    answer.json().unwrap()
}

/// The same, again and again until it comes from the store.
pub(super) async fn hit(host: &Host, path: &str) -> Value {
    eventually(&format!("{path} is stored"), SOON, || async {
        let answer = host.get(path).await?;
        Ok(if answer.is_hit() { Some(answer.json()?) } else { None })
    })
    .await
    .unwrap()
}

/// `POST` of a JSON text, with a status of any kind.
pub(super) async fn post(host: &Host, path: &str, body: &Value) -> Answer {
    let json = [("content-type", "application/json")];
    let body = Bytes::from(body.to_string());
    Client::new().request(Method::POST, &host.url(path), &json, body).await.unwrap()
}

/// `POST` that is to succeed, and its answer.
pub(super) async fn posted(host: &Host, path: &str, body: &Value) -> Value {
    let answer = post(host, path, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{path} {body}: {answer:?}");
    answer.json().unwrap()
}

/// What `corral check` says of a host's configuration, and whether it is content.
pub(super) fn check(host: &Host) -> (bool, String) {
    let output =
        corral().unwrap().args(["check", "--config"]).arg(host.config_path()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
