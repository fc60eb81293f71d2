use std::ops::Range;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::{JoinHandle, JoinSet};

use super::patience::{HEAD_TIME, TAKE_TIME};
use super::*;

const IDLE: Duration = Duration::from_secs(75);

/// More bytes of an answer than the system takes from the host while the client reads nothing.
const LARGE: usize = 16 << 20;

/// Answers `/large` with much, and everything else with a word. It reads no body.
struct Greets;

impl Answers for Greets {
    async fn answer(&self, request: Request<Incoming>) -> Answered {
        let body = match request.uri().path() {
            "/large" => Bytes::from(vec![b'x'; LARGE]),
            _ => Bytes::from_static(b"hello"),
        };
        Response::new(Full::new(body))
    }
}

async fn server(connections: usize) -> SocketAddr {
    let (address, tell, served) = ending(connections, Duration::ZERO).await;
    tokio::spawn(async move {
        served.await.unwrap();
        drop(tell);
    });
    address
}

/// A server that can be told something, and its task.
async fn ending(
    connections: usize,
    grace: Duration,
) -> (SocketAddr, watch::Sender<Notice>, JoinHandle<()>) {
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = server.address().unwrap();
    let manners = Manners { connections, idle: IDLE, grace };
    let (tell, notices) = watch::channel(Notice::Serve);
    (address, tell, tokio::spawn(server.serve(Greets, notices, manners)))
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
        // The control: a client that asks in time is served for as long as it asks.
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
    // Time goes on while the client reads nothing.
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
    // A client that was answered before stays for as long as there are others to send away.
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
async fn over_http_2_too_the_answer_to_head_is_a_length_without_a_body() {
    let stream = TcpStream::connect(server(10).await).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = Request::head("http://corral/").body(Full::new(Bytes::new())).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.headers()[CONTENT_LENGTH], "5");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "");
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

/// Whether the answer, which has to come whole, is the last one of its connection.
async fn is_last(client: &mut TcpStream) -> bool {
    send(client, "/").await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert!(client.read_buf(&mut answer).await.unwrap() > 0, "cut off");
    }
    let is_last = String::from_utf8(answer).unwrap().contains("connection: close\r\n");
    assert!(!is_last || client.read_u8().await.is_err(), "more than it said");
    is_last
}

#[tokio::test]
async fn while_a_server_drains_each_answer_is_the_last_one_of_its_connection() {
    let (address, tell, served) = ending(10, Duration::from_secs(10)).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(TcpStream::connect(address).await.unwrap());
        assert!(!is_last(clients.last_mut().unwrap()).await, "the control: it serves on");
    }
    tell.send(Notice::Drain).unwrap();
    // The connection that is there, and the one that comes.
    clients.push(TcpStream::connect(address).await.unwrap());
    for client in &mut clients {
        assert!(is_last(client).await);
    }
    tell.send(Notice::Stop).unwrap();
    served.await.unwrap();
    TcpStream::connect(address).await.unwrap_err();
}

/// Clients that ask again and again, some over new connections and some over kept ones, until one can't
/// connect. All others have their answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_could_connect_to_a_server_that_stops_is_answered() {
    // A client that begins to connect at the moment of the end waits for a second: several servers end at a time.
    for _ in 0..3 {
        let mut servers = JoinSet::new();
        for after in 10..20 {
            servers.spawn(crowded_end(Duration::from_millis(after)));
        }
        servers.join_all().await;
    }
}

/// A server that ends so long after its clients began to ask.
async fn crowded_end(after: Duration) {
    let (address, tell, served) = ending(100, Duration::from_secs(10)).await;
    let mut clients = JoinSet::new();
    for client in 0..8_u64 {
        clients.spawn(async move {
            while let Ok(mut stream) = TcpStream::connect(address).await {
                let is_kept = client % 2 == 0;
                while !is_last(&mut stream).await && is_kept {
                    sleep(Duration::from_micros(100 * client)).await;
                }
            }
        });
    }
    sleep(after).await;
    tell.send(Notice::Stop).unwrap();
    clients.join_all().await;
    served.await.unwrap();
}

/// The control of the above: a connection that is quiet does not keep a server from ending.
#[tokio::test(start_paused = true)]
async fn a_server_that_stops_waits_a_moment_for_those_who_are_quiet() {
    let (address, tell, served) = ending(10, Duration::from_secs(10)).await;
    let mut kept = TcpStream::connect(address).await.unwrap();
    assert!(!is_last(&mut kept).await);
    let silent = TcpStream::connect(address).await.unwrap();
    let began = Instant::now();
    tell.send(Notice::Stop).unwrap();
    assert!(kept.read_u8().await.is_err());
    assert!(about(Duration::from_millis(250)).contains(&began.elapsed()), "{:?}", began.elapsed());
    drop((kept, silent));
    served.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
