//! Whatever is sent, a host answers it, without a failure of its own, and lives on.

use std::collections::BTreeMap;

use corral_tests::servers::{Host, is_alive};
use tokio::task::JoinSet;

use super::common::{PASSWORD, Servers, get};
use super::generator::{Generator, Request};
use super::wire::{Broken, Reply, Wire};

const REQUESTS: usize = 100_000;
const CONNECTIONS: usize = 24;
/// One of so many connections goes to the admin face.
const ADMIN_EVERY: usize = 8;
const SEED: u64 = 20_240_229;

/// How requests were answered.
#[derive(Default)]
struct Tally {
    by_status: BTreeMap<u16, usize>,
    problems: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_whatever_makes_a_host_fail() {
    let servers = Servers::shared().await;
    let host = servers.host("[query]\nenabled = true\ndeadline = \"1s\"\n").await;
    let pid = host.pid().unwrap();
    let mut clients = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let path = if connection % ADMIN_EVERY == 0 { "/metrics" } else { "/" };
        clients.spawn(converse(address(&host, path), SEED + connection as u64));
    }
    let mut total = Tally::default();
    while let Some(tally) = clients.join_next().await {
        total.add(tally.unwrap());
    }
    let Tally { by_status, problems } = total;
    assert!(problems.is_empty(), "{} problems, such as\n{}", problems.len(), problems[0]);
    let answered: usize = by_status.values().sum();
    assert!(answered > REQUESTS * 9 / 10, "{by_status:?}");
    // The generator reaches every kind of answer.
    for status in [200, 304, 400, 404, 405, 409, 415, 502] {
        assert!(by_status.contains_key(&status), "no {status} in {by_status:?}");
    }

    assert!(is_alive(pid));
    assert_eq!(host.pid(), Some(pid));
    let log = host.log();
    for word in ["panicked", PASSWORD] {
        assert!(!log.contains(word), "{log}");
    }
    let after = get(&host, "/read/user.orders?id=50").await;
    assert_eq!(after.status, 200);
}

/// One client's share of the requests, over as few connections as possible.
async fn converse(address: String, seed: u64) -> Tally {
    let mut generator = Generator::new(seed);
    let mut tally = Tally::default();
    let mut kept = None;
    for index in 0..REQUESTS.div_ceil(CONNECTIONS) {
        let request = generator.next();
        let (mut replies, mut wire) = match kept.take().filter(|_| request.is_framed) {
            Some(wire) => send(wire, &request).await,
            None => (Err(Broken::Silence), None),
        };
        // A host may close an idle connection at any time; then a new one is opened.
        if let Err(Broken::Silence) = replies {
            (replies, wire) = send(Wire::connect(&address).await.unwrap(), &request).await;
        }
        kept = wire;
        match replies {
            Ok(replies) => {
                replies.iter().for_each(|reply| tally.note(reply, seed, index, &request))
            }
            Err(broken) => tally.problem(&format!("{broken:?}"), seed, index, &request),
        }
    }
    tally
}

async fn send(mut wire: Wire, request: &Request) -> (Result<Vec<Reply>, Broken>, Option<Wire>) {
    if !request.is_framed {
        return (wire.send_all(&request.bytes).await, None);
    }
    match wire.exchange(&request.bytes, request.is_head).await {
        Ok(reply) if reply.closes => (Ok(vec![reply]), None),
        Ok(reply) => (Ok(vec![reply]), Some(wire)),
        Err(broken) => (Err(broken), None),
    }
}

impl Tally {
    fn note(&mut self, reply: &Reply, seed: u64, index: usize, request: &Request) {
        *self.by_status.entry(reply.status).or_default() += 1;
        let body = String::from_utf8_lossy(&reply.body);
        if reply.status == 500 || body.contains(PASSWORD) || body.contains("127.0.0.1") {
            self.problem(&format!("{}: {body}", reply.status), seed, index, request);
        }
    }

    fn problem(&mut self, what: &str, seed: u64, index: usize, request: &Request) {
        let sent = request.bytes.escape_ascii();
        self.problems.push(format!("request {index} of seed {seed}: {what}\n{sent}"));
    }

    fn add(&mut self, other: Self) {
        for (status, count) in other.by_status {
            *self.by_status.entry(status).or_default() += count;
        }
        self.problems.extend(other.problems);
    }
}

fn address(host: &Host, path: &str) -> String {
    let url = host.url(path);
    url.trim_start_matches("http://").trim_end_matches(path).to_owned()
}
