//! What somebody would write by hand: a service over Redis, with hyper, the same one with a constant
//! instead, and the origin that HTTP caches stand before. Each is a process of its own, this
//! program started with other arguments.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use clap::ValueEnum;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::item;

/// Which service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// Answers from its own memory: what the HTTP stack can do.
    Constant,
    /// Answers what a plain `GET` finds in Redis.
    Redis,
    /// Answers anything, and lets caches keep it for an hour.
    Origin,
}

/// How it is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Which one.
    #[arg(value_enum)]
    pub service: Service,
    /// Where it listens.
    #[arg(long)]
    pub listen: SocketAddr,
    /// Threads: 1 is a single-threaded runtime, more are a work-stealing one.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Its Redis.
    #[arg(long, default_value = "redis://127.0.0.1")]
    pub redis: String,
}

/// Serves until the process is ended.
///
/// # Errors
/// When it can't listen or reach Redis.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut builder = match options.threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if options.threads > 1 {
        builder.worker_threads(options.threads);
    }
    builder.enable_all().build()?.block_on(serve(options))
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let values = match options.service {
        Service::Constant => Values::Kept(constants()),
        Service::Redis => {
            let client = redis::Client::open(options.redis.as_str())?;
            let connection = client.get_multiplexed_async_connection().await.context("--redis")?;
            Values::Stored(connection)
        }
        Service::Origin => Values::Made,
    };
    let listener = TcpListener::bind(options.listen).await.context("--listen")?;
    loop {
        let (stream, _client) = listener.accept().await?;
        // Without it small answers wait for the client's acknowledgement.
        let _best_effort = stream.set_nodelay(true);
        let values = values.clone();
        let service = service_fn(move |request| answer(values.clone(), request));
        let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(serving);
    }
}

/// Where a service has its values from.
#[derive(Clone)]
enum Values {
    Kept(&'static [Bytes]),
    Stored(MultiplexedConnection),
    Made,
}

fn constants() -> &'static [Bytes] {
    let all = (0..=item::KEYS).map(|id| Bytes::from(item::body(id, item::BYTES)));
    Vec::leak(all.collect())
}

/// The answer to `GET /item?id=42`.
async fn answer(
    values: Values,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let found = match wanted(&request) {
        Some(id) => value(values, id).await,
        None => Err(StatusCode::NOT_FOUND),
    };
    Ok(found.unwrap_or_else(|status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    }))
}

fn wanted(request: &Request<Incoming>) -> Option<u64> {
    let query = request.uri().query().filter(|_| request.uri().path() == "/item")?;
    let mut parameters = query.split('&');
    parameters.find_map(|parameter| parameter.strip_prefix("id="))?.parse().ok()
}

async fn value(values: Values, id: u64) -> Result<Response<Full<Bytes>>, StatusCode> {
    match values {
        Values::Kept(all) => {
            let index = usize::try_from(id).map_err(|_| StatusCode::NOT_FOUND)?;
            Ok(json(all.get(index).ok_or(StatusCode::NOT_FOUND)?.clone()))
        }
        Values::Stored(mut redis) => {
            let found: Result<Option<Bytes>, _> = redis.get(format!("item:{id}")).await;
            Ok(json(found.map_err(|_| StatusCode::BAD_GATEWAY)?.ok_or(StatusCode::NOT_FOUND)?))
        }
        Values::Made => {
            let mut response = json(Bytes::from(item::body(id, item::BYTES)));
            let hour = HeaderValue::from_static("max-age=3600");
            response.headers_mut().insert(CACHE_CONTROL, hour);
            Ok(response)
        }
    }
}

fn json(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
