use std::ops::Range;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::patience::{HEAD_TIME, TAKE_TIME};
use super::*;

const IDLE: Duration = Duration::from_secs(75);

/// More than the system takes of an answer that nobody reads.
const LARGE: usize = 16 << 20;

/// Answers `/large` with much, and everything else with a word. It reads no body.
struct Greets;

impl Answers for Greets {
    async fn answer(&self, request: Request<Incoming>) -> Answered {
        let body = match request.uri().path() {
            "/large" => Bytes::from(vec![b'x'; LARGE]),
            _ => Bytes::from_static(b"hello"),
        };
        Response::new(Either::Left(Full::new(body)))
    }
}

async fn server(connections: usize) -> SocketAddr {
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = server.address().unwrap();
    let manners = Manners { connections, idle: IDLE, grace: Duration::ZERO };
    tokio::spawn(server.serve(Greets, std::future::pending(), manners));
    address
}

async fn client() -> TcpStream {
    TcpStream::connect(server(10).await).await.unwrap()
}

async fn send(client: &mut TcpStream, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: corral\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
}

async fn ask(client: &mut TcpStream) {
    send(client, "/").await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert!(client.read_buf(&mut answer).await.unwrap() > 0, "cut off");
    }
}

/// Sends byte after byte of a head, or nothing, until the server has had enough.
async fn dawdle(client: &mut TcpStream, bytes: &[u8]) -> Duration {
    let began = Instant::now();
    loop {
        // Once the server has closed, what is sent arrives nowhere.
        let _sent = client.write_all(bytes).await;
        match timeout(Duration::from_secs(1), client.read_u8()).await {
            Ok(Err(_closed)) => return began.elapsed(),
            Ok(Ok(byte)) => panic!("answered {byte}"),
            Err(_elapsed) => assert!(began.elapsed() < 2 * IDLE, "never cut off"),
        }
    }
}

fn about(time: Duration) -> Range<Duration> {
    time..time + Duration::from_millis(10)
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_half_a_head_is_cut_off_and_who_asks_in_time_is_not() {
    for (first, then) in [(&b""[..], &b""[..]), (b"G", b"G"), (b"PRI * HTTP/2.0\r\n", b"")] {
        let mut client = client().await;
        client.write_all(first).await.unwrap();
        let time = dawdle(&mut client, then).await;
        assert!(about(HEAD_TIME).contains(&time), "{time:?} of {first:?}");
    }
    let mut client = client().await;
    for _ in 0..5 {
        // The control: who asks in time is served for as long as he likes.
        ask(&mut client).await;
        sleep(IDLE * 4 / 5).await;
    }
    ask(&mut client).await;
    let time = dawdle(&mut client, b"G").await;
    assert!(about(HEAD_TIME).contains(&time), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_requests_is_closed_after_the_time_that_is_configured() {
    let mut client = client().await;
    ask(&mut client).await;
    let time = dawdle(&mut client, b"").await;
    assert!(about(IDLE).contains(&time), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn over_http_2_too_a_connection_without_requests_is_closed() {
    let stream = TcpStream::connect(server(10).await).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
    let (mut sender, connection) = handshake.await.unwrap();
    let closed = tokio::spawn(connection);
    let request = Request::get("http://corral/").body(Full::new(Bytes::new())).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    let began = Instant::now();
    // In good order: the client hears that its next request is for another connection.
    closed.await.unwrap().unwrap();
    assert!(about(IDLE).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_never_takes_an_answer_is_cut_off() {
    let mut client = client().await;
    send(&mut client, "/large").await;
    // Time goes on while nobody reads.
    sleep(TAKE_TIME + Duration::from_secs(1)).await;
    let mut taken = Vec::new();
    let end = client.read_to_end(&mut taken).await;
    assert!(end.is_err() && taken.len() < LARGE, "{end:?} after {}", taken.len());
}

#[tokio::test(start_paused = true)]
async fn over_http_2_who_opens_no_window_is_cut_off() {
    let stream = TcpStream::connect(server(10).await).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
    let (mut sender, connection) = handshake.await.unwrap();
    let closed = tokio::spawn(connection);
    let request = Request::get("http://corral/large").body(Full::new(Bytes::new())).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let began = Instant::now();
    // The client reads its connection, and nothing of this body.
    let _closed = closed.await.unwrap();
    assert!(about(TAKE_TIME).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert!(answer.into_body().collect().await.is_err());
}

#[tokio::test]
async fn whoever_takes_an_answer_has_it_whole() {
    let mut client = client().await;
    for _ in 0..3 {
        send(&mut client, "/large").await;
        let mut left = LARGE;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        let mut buffer = vec![0; 1 << 20];
        while left > 0 {
            left -= client.read(&mut buffer).await.unwrap();
        }
    }
    ask(&mut client).await;
}

#[tokio::test]
async fn who_comes_when_all_places_are_taken_gets_that_of_who_is_silent_for_longest() {
    let address = server(3).await;
    let mut asker = TcpStream::connect(address).await.unwrap();
    ask(&mut asker).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut late = TcpStream::connect(address).await.unwrap();
    ask(&mut late).await;
    for silent in &mut silent[..18] {
        assert!(!matches!(silent.read_u8().await, Ok(_answer)), "still there");
    }
    // Who was answered before stays for as long as there are others.
    ask(&mut asker).await;
}

#[tokio::test]
async fn what_is_no_request_is_answered_with_a_document() {
    let long = "x".repeat(70_000);
    for (request, status) in [
        ("no request\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nhost corral\r\n\r\n".to_owned(), 400),
        (format!("GET /{long} HTTP/1.1\r\nhost: corral\r\n\r\n"), 414),
        (format!("GET /{long}{long} HTTP/1.1\r\nhost: corral\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nhost: corral\r\nx: {long}{long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nhost: corral\r\n{}\r\n", "x: y\r\n".repeat(101)), 431),
        ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n".to_owned(), 400),
    ] {
        let mut client = client().await;
        // Where another request came before, nothing of its answer is lost.
        ask(&mut client).await;
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer} to {request:.60}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-type: application/problem+json"), "{head}");
        assert!(head.contains("cache-control: no-store"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        let document: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(document["status"], status, "{document}");
    }
}

#[tokio::test]
async fn an_answer_arrives_at_a_client_that_is_still_sending() {
    let mut client = client().await;
    let head = "POST / HTTP/1.1\r\nhost: corral\r\ncontent-length: 33554432\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..32 {
        client.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
}
