//! The replay, tested against an impostor of a host: the replay must notice everything that a real
//! host could do wrong.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use corral_tests::replay::{Replay, Summary};
use corral_tests::shop::expected_product;
use corral_tests::trace::Trace;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The product whose content is wrong at [`Impostor`].
const WRONG: u32 = 13;
/// The product that is answered with 503.
const FAILING: u32 = 14;
/// The product that is loaded for every request.
const GREEDY: u32 = 15;

#[tokio::test]
async fn a_replay_of_right_answers_holds() {
    let summary = replay(&[1, 2, 1, 1, 3, 2, 1], 2).await.unwrap();
    assert!(summary.holds(), "{summary:?}");
    assert_eq!((summary.requests, summary.distinct_keys), (7, 3));
    assert_eq!(summary.origin_loads, Some(3));
    assert_eq!(summary.hit_ratio, 4.0 / 7.0);
    assert!(summary.p50_ms > 0.0 && summary.p50_ms <= summary.p99_ms);
    assert!(summary.p99_ms <= summary.max_ms);
}

#[tokio::test]
async fn wrong_content_is_seen_in_every_answer() {
    let summary = replay(&[1, WRONG, 2, WRONG], 2).await.unwrap();
    assert_eq!((summary.wrong_answers, summary.errors), (2, 0));
    assert_eq!(summary.examples.len(), 2);
    assert!(!summary.holds());
}

#[tokio::test]
async fn an_answer_that_is_not_200_is_an_error() {
    let summary = replay(&[1, FAILING, 2], 2).await.unwrap();
    assert_eq!((summary.wrong_answers, summary.errors), (0, 1));
    assert!(!summary.holds());
}

#[tokio::test]
async fn a_key_that_is_loaded_twice_is_seen() {
    let summary = replay(&[1, GREEDY, GREEDY], 2).await.unwrap();
    assert_eq!((summary.wrong_answers, summary.errors), (0, 0));
    assert_eq!((summary.distinct_keys, summary.origin_loads), (2, Some(3)));
    assert!(!summary.holds());
}

#[tokio::test]
async fn loads_of_other_times_and_entities_do_not_count() {
    let impostor = Impostor::start().await.unwrap();
    let first = impostor.replay(&[1, 2], 1).await.unwrap();
    let second = impostor.replay(&[1, 2, 3], 1).await.unwrap();
    assert_eq!((first.origin_loads, second.origin_loads), (Some(2), Some(1)));
}

#[tokio::test]
async fn requests_are_taken_in_order_and_connections_are_kept() {
    let impostor = Impostor::start().await.unwrap();
    let accesses: Vec<u32> = (100..200).collect();
    impostor.replay(&accesses, 1).await.unwrap();
    assert_eq!(*impostor.state.asked.lock().unwrap(), accesses);
    // One connection for the metrics before, one for those after, and one for the reads.
    assert!(impostor.state.connections.load(Ordering::Relaxed) <= 3);
}

#[tokio::test]
async fn at_a_rate_requests_are_not_sent_before_their_time() {
    let impostor = Impostor::start().await.unwrap();
    let mut replay = impostor.replaying(2);
    replay.rate = Some(100.0);
    let accesses = vec![1, GREEDY, GREEDY, 1, 2, 1];
    let summary = replay.run(Trace::from(accesses), || ()).await.unwrap();
    // The sixth request is due fifty milliseconds after the first.
    assert!(summary.seconds >= 0.05, "{summary:?}");
    assert_eq!((summary.requests, summary.rate), (6, Some(100.0)));
    // More loads than keys, as if values expired.
    assert_eq!((summary.distinct_keys, summary.origin_loads), (3, Some(4)));
    assert!(summary.holds(), "{summary:?}");
}

#[tokio::test]
async fn every_access_that_was_answered_is_told_with_its_times() {
    let impostor = Impostor::start().await.unwrap();
    let mut replay = impostor.replaying(1);
    replay.rate = Some(100.0);
    let trace = Trace::from(vec![1, FAILING, 2, 1]);
    let (summary, seen) = replay.run_seen(trace, || ()).await.unwrap();
    assert_eq!((summary.requests, summary.errors), (4, 1));
    assert_eq!(seen.iter().map(|access| access.id).collect::<Vec<_>>(), [1, 2, 1]);
    assert!(seen.iter().all(|access| access.began_us <= access.ended_us), "{seen:?}");
    // Sent one after the other, none before its time.
    assert!(seen.is_sorted_by_key(|access| access.ended_us), "{seen:?}");
    assert!(seen[2].began_us >= 30_000, "{seen:?}");
}

#[tokio::test]
async fn without_an_admin_face_loads_are_unknown_and_do_not_decide() {
    let impostor = Impostor::start().await.unwrap();
    let mut replay = impostor.replaying(2);
    replay.admin_urls.clear();
    let summary = replay.run(Trace::from(vec![GREEDY, GREEDY]), || ()).await.unwrap();
    assert_eq!(summary.origin_loads, None);
    assert!(summary.holds());
}

#[tokio::test]
async fn a_host_that_is_not_there_is_an_error_of_every_request() {
    let impostor = Impostor::start().await.unwrap();
    let mut replay = impostor.replaying(2);
    // Nothing listens on this port: the kernel does not assign it.
    replay.urls = vec!["http://127.0.0.1:1".to_owned()];
    let counted = Arc::new(AtomicUsize::new(0));
    let progress = counted.clone();
    let summary = replay.run(Trace::from(vec![1, 2, 3]), move || {
        progress.fetch_add(1, Ordering::Relaxed);
    });
    let summary = summary.await.unwrap();
    assert_eq!((summary.requests, summary.errors), (3, 3));
    assert_eq!(counted.load(Ordering::Relaxed), 3);
}

async fn replay(accesses: &[u32], connections: usize) -> anyhow::Result<Summary> {
    Impostor::start().await?.replay(accesses, connections).await
}

/// Answers reads and metrics like a host, except for the products above.
struct Impostor {
    url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    asked: Mutex<Vec<u32>>,
    loads: AtomicUsize,
    connections: AtomicUsize,
}

impl Impostor {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(State::default());
        tokio::spawn(serve(listener, state.clone()));
        Ok(Self { url, state })
    }

    fn replaying(&self, connections: usize) -> Replay {
        Replay {
            urls: vec![self.url.clone()],
            admin_urls: vec![self.url.clone()],
            connections,
            entity: "product.page".to_owned(),
            rate: None,
        }
    }

    async fn replay(&self, accesses: &[u32], connections: usize) -> anyhow::Result<Summary> {
        self.replaying(connections).run(Trace::from(accesses.to_vec()), || ()).await
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        state.connections.fetch_add(1, Ordering::Relaxed);
        let state = state.clone();
        let service = service_fn(move |request| {
            let answer = state.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
    }
}

impl State {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let id = request.uri().query().and_then(|query| query.strip_prefix("id=")?.parse().ok());
        match id {
            Some(id) => self.read(id),
            None => self.metrics(),
        }
    }

    fn read(&self, id: u32) -> Response<Full<Bytes>> {
        let known = {
            let mut asked = self.asked.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let known = asked.contains(&id);
            asked.push(id);
            known && id != GREEDY
        };
        if !known {
            self.loads.fetch_add(1, Ordering::Relaxed);
        }
        let content = expected_product(if id == WRONG { id + 1 } else { id });
        let mut response = Response::new(Full::from(content.to_string()));
        if id == FAILING {
            *response.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
        }
        let status = if known { "corral; hit; ttl=9" } else { "corral; fwd=miss; stored" };
        let headers = response.headers_mut();
        headers.insert("cache-status", hyper::header::HeaderValue::from_static(status));
        response
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let loads = self.loads.load(Ordering::Relaxed);
        Response::new(Full::from(format!(
            "corral_origin_loads_total{{entity=\"product.page\",reason=\"miss\"}} {loads}\n\
             corral_origin_loads_total{{entity=\"user.profile\",reason=\"miss\"}} 1000\n"
        )))
    }
}
