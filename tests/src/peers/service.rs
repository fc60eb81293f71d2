//! Services as an author would write them by hand: an axum service over Redis, the same service
//! with a constant instead, and the origin behind HTTP caches. Each is a process of its own, which
//! is this program started with other arguments.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use clap::ValueEnum;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::item;

/// Which service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// Answers from its own memory, which shows what the HTTP stack can do.
    Constant,
    /// Answers what a plain `GET` finds in Redis.
    Redis,
    /// Answers anything, and lets caches keep it for an hour.
    Origin,
}

/// How a service is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Which one.
    #[arg(value_enum)]
    pub service: Service,
    /// The address that it listens on.
    #[arg(long)]
    pub listen: SocketAddr,
    /// Threads: 1 is a single-threaded runtime, more are a work-stealing one.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Its Redis.
    #[arg(long, default_value = "redis://127.0.0.1")]
    pub redis: String,
}

#[derive(Deserialize)]
struct Wanted {
    id: u64,
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
    let router = match options.service {
        Service::Constant => Router::new().route("/item", get(constant)).with_state(constants()),
        Service::Redis => {
            let client = redis::Client::open(options.redis.as_str())?;
            let connection = client.get_multiplexed_async_connection().await.context("--redis")?;
            Router::new().route("/item", get(stored)).with_state(connection)
        }
        Service::Origin => Router::new().route("/item", get(made)),
    };
    let listener = TcpListener::bind(options.listen).await.context("--listen")?;
    // Without it, small answers wait for the client's acknowledgement.
    let listener = listener.tap_io(|stream| {
        let _best_effort = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await?;
    Ok(())
}

fn constants() -> &'static [Bytes] {
    let all = (0..=item::KEYS).map(|id| Bytes::from(item::body(id, item::BYTES)));
    Vec::leak(all.collect())
}

async fn constant(
    State(all): State<&'static [Bytes]>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, StatusCode> {
    let index = usize::try_from(wanted.id).map_err(|_| StatusCode::NOT_FOUND)?;
    let body = all.get(index).ok_or(StatusCode::NOT_FOUND)?;
    Ok(json(body.clone()))
}

async fn stored(
    State(mut redis): State<MultiplexedConnection>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, StatusCode> {
    let found: Result<Option<Bytes>, _> = redis.get(format!("item:{}", wanted.id)).await;
    let body = found.map_err(|_| StatusCode::BAD_GATEWAY)?.ok_or(StatusCode::NOT_FOUND)?;
    Ok(json(body))
}

async fn made(Query(wanted): Query<Wanted>) -> Response {
    let mut response = json(Bytes::from(item::body(wanted.id, item::BYTES)));
    let hour = axum::http::HeaderValue::from_static("max-age=3600");
    response.headers_mut().insert(CACHE_CONTROL, hour);
    response
}

fn json(body: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
