//! Servers that small tests share, and a lock by which tests that measure times run alone.

use std::ops::Deref;
use std::time::Duration;

use corral_tests::servers::{Host, SharedServers, corral, eventually};
use hyper::StatusCode;
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

/// The shared servers. They end with this process.
pub(super) struct Servers(SharedServers);

impl Deref for Servers {
    type Target = SharedServers;

    fn deref(&self) -> &SharedServers {
        &self.0
    }
}

impl Servers {
    /// The servers, started for the first test that asks.
    pub(super) async fn shared() -> &'static Self {
        static SERVERS: OnceCell<Servers> = OnceCell::const_new();
        SERVERS.get_or_init(async || Self(SharedServers::start().await.unwrap())).await
    }

    /// A whole configuration over these servers, with this store.
    pub(super) fn config_over(&self, store: &str, rest: &str) -> String {
        let origin = self.postgres.url();
        format!("[store]\nurl = \"{store}\"\n{PATIENT_STORE}\n[origin]\nurl = \"{origin}\"\n{rest}")
    }

    /// A host with a store that no other test has.
    pub(super) async fn host(&self, rest: &str) -> Host {
        self.host_over(&self.new_store().unwrap(), rest).await
    }

    /// A host with this store.
    pub(super) async fn host_over(&self, store: &str, rest: &str) -> Host {
        Host::start(&self.config_over(store, rest)).await.unwrap()
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

/// `POST` that has to succeed; returns its answer.
pub(super) async fn posted(host: &Host, path: &str, body: &Value) -> Value {
    let answer = host.post(path, body).await.unwrap();
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
