//! Clients that hold connections and do nothing with them do not keep others from being served.

use std::fs;

use corral_tests::client::Client;
use corral_tests::servers::{Host, corral, eventually};
use hyper::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::common::{SOON, Servers, get};

#[tokio::test]
async fn few_files_and_many_idle_connections_leave_room_for_who_asks() {
    let config = Servers::shared().await.config("", "");
    let program = corral().unwrap().get_program().to_owned();
    let limited = ["sh", "-c", "ulimit -n 256; exec \"$0\" \"$@\""].map(Into::into).into();
    let host = Host::start_as([limited, vec![program]].concat(), &config).await.unwrap();
    assert_eq!(open_files(&host), "256", "the control");
    let address = host.url("").replace("http://", "");
    let admin = host.url("/metrics").replace("http://", "").replace("/metrics", "");
    let mut crowd = Vec::new();
    for address in [&address, &admin] {
        for _ in 0..300 {
            crowd.push(TcpStream::connect(address).await.unwrap());
        }
    }
    // Every second one sends half a request.
    for client in crowd.iter_mut().step_by(2) {
        // The host has closed some of them already.
        let _sent = client.write_all(b"GET /healthz HTTP/1.1\r\n").await;
    }
    for path in ["/healthz", "/readyz", "/read/user.profile?id=1", "/metrics", "/admin/policy"] {
        for _ in 0..20 {
            let answer = Client::new().get(&host.url(path)).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "{path}");
        }
    }
    assert!(host.log().contains("fewer connections are served at once"), "{}", host.log());
}

#[tokio::test]
async fn whoever_was_answered_keeps_its_connection_while_silent_ones_come_and_go() {
    let config = Servers::shared().await.config("max_connections = 20", "");
    let host = Host::start(&config).await.unwrap();
    let address = host.url("").replace("http://", "");
    let mut kept = TcpStream::connect(&address).await.unwrap();
    health(&mut kept).await;
    for _ in 0..200 {
        let _silent = TcpStream::connect(&address).await.unwrap();
    }
    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(TcpStream::connect(&address).await.unwrap());
    }
    assert_eq!(get(&host, "/read/user.profile?id=1").await.status, StatusCode::OK);
    health(&mut kept).await;
    let gone = async |client: &mut TcpStream| client.read_u8().await.is_err();
    assert!(gone(&mut crowd[0]).await, "the first of the silent ones is gone");
}

#[tokio::test]
async fn readiness_is_asked_of_the_origin_once_for_all_who_ask() {
    let servers = Servers::shared().await;
    let origin = format!("url = \"{}\"", servers.origin_url());
    let config = servers.config("", "").replace(&origin, &format!("{origin}\nmax_loads = 1"));
    let host = Host::start(&config).await.unwrap();
    let slow = get(&host, "/read/report.slow?id=1&ms=3000");
    let ready = async {
        eventually("the only place is taken", SOON, || async {
            Ok((host.metrics().await?.sum("corral_flights") == 1.0).then_some(()))
        })
        .await
        .unwrap();
        let client = Client::new();
        let url = host.url("/readyz");
        let asked = (0..50).map(|_| client.request(Method::GET, &url, &[], ""));
        let answers = futures_util::future::join_all(asked).await;
        assert_eq!(host.metrics().await.unwrap().sum("corral_flights"), 1.0, "the control");
        answers
    };
    let (slow, answers) = tokio::join!(slow, ready);
    assert_eq!(slow.status, StatusCode::OK);
    for answer in answers {
        let answer = answer.unwrap().json().unwrap();
        assert_eq!(answer["origin"], true, "{answer}");
    }
}

/// Asks on this connection.
async fn health(client: &mut TcpStream) {
    client.write_all(b"GET /healthz HTTP/1.1\r\nhost: corral\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"alive\n") {
        assert!(client.read_buf(&mut answer).await.unwrap() > 0, "cut off");
    }
}

/// How many files the process may open.
fn open_files(host: &Host) -> String {
    let limits = fs::read_to_string(format!("/proc/{}/limits", host.pid().unwrap())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().to_owned()
}
