//! SIGTERM: nobody new, nobody cut off in time, nothing left behind.

use std::time::{Duration, Instant};

use corral_tests::servers::{Host, eventually};
use hyper::StatusCode;
use serde_json::json;
use tokio::net::TcpStream;

use super::common::{SOON, Servers, get};

/// Longer than these tests take: a lease that is gone was given back, not forgotten.
const LONG_LEASE: &str = "[policy.settings]\nlease_ms = 60000\n";

#[tokio::test]
async fn a_request_in_progress_is_answered_and_nobody_new_is() {
    let mut host = start(23, "").await;
    let slow = get(&host, "/read/report.slow?id=1&ms=2000");
    let stopping = async {
        until_it_loads(&host).await;
        host.term().unwrap();
        until_it_refuses(&host).await;
    };
    let (answer, ()) = tokio::join!(slow, stopping);
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json().unwrap(), json!({"id": 1, "ms": 2000}));
    assert_eq!(host.exited().await.unwrap().code(), Some(0));
    assert!(leases(23).await.is_empty());
    // What it loaded last is there for the others.
    let other = start(23, "").await;
    assert!(get(&other, "/read/report.slow?id=1&ms=2000").await.is_hit());
}

#[tokio::test]
async fn what_does_not_end_in_time_is_told_so_and_gives_its_lease_back() {
    let grace = Duration::from_secs(1);
    let mut host = start(24, "grace = \"1s\"").await;
    let slow = get(&host, "/read/report.slow?id=1&ms=9000");
    let stopping = async {
        until_it_loads(&host).await;
        assert_eq!(leases(24).await.len(), 1, "the control: a lease is held");
        host.term().unwrap();
        Instant::now()
    };
    let (answer, asked) = tokio::join!(slow, stopping);
    let expected = r#"{"type":"urn:corral:problem:interrupted","title":"The request was interrupted","status":503,"detail":"this host is shutting down, or its work for the request ended early"}"#;
    assert_eq!(answer.text().unwrap(), expected);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(host.exited().await.unwrap().code(), Some(0));
    let took = asked.elapsed();
    assert!(took < grace + Duration::from_secs(2), "{took:?} for a grace time of {grace:?}");
    assert!(leases(24).await.is_empty());
}

#[tokio::test]
async fn an_idle_host_ends_at_once_with_connections_open() {
    let mut host = start(25, "").await;
    let idle = TcpStream::connect(address(&host)).await.unwrap();
    get(&host, "/read/user.profile?id=1").await;
    let asked = Instant::now();
    host.term().unwrap();
    assert_eq!(host.exited().await.unwrap().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    drop(idle);
}

async fn start(database: u8, top: &str) -> Host {
    let config = Servers::shared().await.config(database, top, LONG_LEASE);
    Host::start(&config).await.unwrap()
}

async fn until_it_loads(host: &Host) {
    eventually("a load runs", SOON, || async {
        let loads = host.metrics().await?.sum("corral_origin_loads_total");
        Ok((loads >= 1.0).then_some(()))
    })
    .await
    .unwrap();
}

async fn until_it_refuses(host: &Host) {
    eventually("new connections are refused", SOON, || async {
        Ok(TcpStream::connect(address(host)).await.is_err().then_some(()))
    })
    .await
    .unwrap();
}

fn address(host: &Host) -> String {
    host.url("").trim_start_matches("http://").to_owned()
}

/// The keys in the store on which somebody holds a lease.
async fn leases(database: u8) -> Vec<String> {
    let url = Servers::shared().await.store_url(database);
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    keys.into_iter().filter(|key| is_lease(key)).collect()
}

fn is_lease(key: &str) -> bool {
    key.starts_with("corral:1:lease:{")
}
