//! SIGTERM: the host takes no new connections, cuts no request off that ends in time, and leaves
//! nothing behind.

use std::time::{Duration, Instant};

use corral_tests::servers::{Host, eventually};
use hyper::StatusCode;
use serde_json::json;
use tokio::net::TcpStream;

use super::common::{SOON, Servers, get, new_store};

/// Longer than these tests take, so that a lease that is gone was given back and did not run out.
const LONG_LEASE: &str = "[policy.settings]\nlease_ms = 60000\n";

#[tokio::test]
async fn a_request_in_progress_is_answered_and_nobody_new_is() {
    let store = new_store().await;
    let mut host = start(&store, "").await;
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
    assert!(leases(&store).await.is_empty());
    // A value that it loaded last is there for other hosts.
    let other = start(&store, "").await;
    assert!(get(&other, "/read/report.slow?id=1&ms=2000").await.is_hit());
}

#[tokio::test]
async fn what_does_not_end_in_time_is_told_so_and_gives_its_lease_back() {
    let grace = Duration::from_secs(1);
    let store = new_store().await;
    let mut host = start(&store, "grace = \"1s\"").await;
    let slow = get(&host, "/read/report.slow?id=1&ms=9000");
    let stopping = async {
        until_it_loads(&host).await;
        assert_eq!(leases(&store).await.len(), 1, "the control: a lease is held");
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
    assert!(leases(&store).await.is_empty());
}

#[tokio::test]
async fn an_idle_host_ends_at_once_with_connections_open() {
    let mut host = start(&new_store().await, "").await;
    let idle = TcpStream::connect(address(&host)).await.unwrap();
    get(&host, "/read/user.profile?id=1").await;
    let asked = Instant::now();
    host.term().unwrap();
    assert_eq!(host.exited().await.unwrap().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    drop(idle);
}

#[tokio::test]
async fn a_host_that_is_to_end_is_avoided_before_it_refuses_anybody() {
    let mut host = start(&new_store().await, "drain = \"2s\"").await;
    assert_eq!(get(&host, "/readyz").await.status, StatusCode::OK);
    host.term().unwrap();
    // A balancer notices that, and requests that it sends meanwhile are served, over new and old
    // connections.
    let mut served = 0;
    eventually("it is not ready", SOON, || async {
        assert_eq!(host.get("/read/user.profile?id=1").await?.status, StatusCode::OK);
        Ok((host.get("/readyz").await?.status == StatusCode::SERVICE_UNAVAILABLE).then_some(()))
    })
    .await
    .unwrap();
    let reasons = get(&host, "/readyz").await.json().unwrap()["reasons"].clone();
    assert_eq!(reasons, json!(["this host is shutting down"]));
    assert_eq!(get(&host, "/admin/policy").await.status, StatusCode::OK);
    while let Ok(answer) = host.get("/read/user.profile?id=1").await {
        assert_eq!(answer.status, StatusCode::OK);
        served += 1;
    }
    assert!(served > 0, "nothing was served while it was avoided");
    assert_eq!(host.exited().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn whoever_asks_twice_does_not_wait_for_what_is_under_way() {
    for ask_again in [Host::term as fn(&Host) -> _, Host::interrupt] {
        let store = new_store().await;
        let mut host = start(&store, "drain = \"60s\"\ngrace = \"60s\"").await;
        host.term().unwrap();
        eventually("it is not ready", SOON, || async {
            Ok((host.get("/readyz").await?.status == StatusCode::SERVICE_UNAVAILABLE).then_some(()))
        })
        .await
        .unwrap();
        ask_again(&host).unwrap();
        assert_eq!(host.exited().await.unwrap().code(), Some(0));
        assert!(host.log().contains("asked again"), "{}", host.log());
    }
}

#[tokio::test]
async fn a_second_interrupt_cuts_off_what_the_first_one_waits_for() {
    let store = new_store().await;
    let mut host = start(&store, "grace = \"60s\"").await;
    let slow = host.get("/read/report.slow?id=1&ms=9000");
    let stopping = async {
        until_it_loads(&host).await;
        host.interrupt().unwrap();
        until_it_refuses(&host).await;
        host.interrupt().unwrap();
    };
    let (answer, ()) = tokio::join!(slow, stopping);
    // A request that is refused or cut off; the host does not wait for it.
    assert!(answer.is_err() || answer.unwrap().status == StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(host.exited().await.unwrap().code(), Some(0));
    assert!(leases(&store).await.is_empty());
}

async fn start(store: &str, top: &str) -> Host {
    let config = Servers::shared().await.config_over(store, top, LONG_LEASE);
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

/// The keys in the store whose lease is held.
async fn leases(store: &str) -> Vec<String> {
    let client = redis::Client::open(store).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    keys.into_iter().filter(|key| is_lease(key)).collect()
}

fn is_lease(key: &str) -> bool {
    key.starts_with("corral:1:lease:{")
}
