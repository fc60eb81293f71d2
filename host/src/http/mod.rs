//! The HTTP face: a thin layer over [`Corral`]. It knows requests, headers and problem documents;
//! what is cached and how is none of its business.

mod access;
mod admin;
mod body;
mod cache_control;
mod cache_status;
mod etag;
mod pages;
mod problem;
mod query_string;
mod read;
mod server;
mod unique;
mod write;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::service::Service as _;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::service::TowerToHyperService;

use crate::service::{Corral, Readiness};

use access::Scope;
pub use problem::Problem;
use read::Answered;
pub use server::{Answers, Manners, Notice, Server, Share, shares};

/// What every handler works with.
#[derive(Clone)]
struct Face {
    corral: Corral,
}

impl Face {
    fn new(corral: Corral) -> Self {
        Self { corral }
    }

    /// Lets a request pass by the tokens that are in force, or says why not.
    fn check(&self, scope: Scope, headers: &HeaderMap) -> Result<(), Problem> {
        access::check(&self.corral.config(), scope, headers)
    }
}

/// What applications see: reads, writes and health.
pub struct Front {
    face: Face,
    router: Router,
}

impl Front {
    /// The front of a host.
    #[must_use]
    pub fn new(corral: Corral) -> Self {
        let face = Face::new(corral);
        Self { router: router(face.clone()), face }
    }
}

/// A request until it has its answer; dropped before, it is one whose client went away.
struct Underway<'a>(Option<&'a Corral>);

impl Underway<'_> {
    fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if let Some(corral) = self.0 {
            corral.note_disconnect();
        }
    }
}

impl Answers for Front {
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice")]
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Answered> + Send {
        async move {
            let underway = Underway(Some(&self.face.corral));
            let answer = match read::plainly(&request) {
                Some(entity) => self.face.read(entity, request.uri(), request.headers()).await,
                // Apart, so that a plain read does not move about what only the others need.
                None => Ok(Box::pin(self.router.answer(request)).await),
            };
            underway.answered();
            answer.unwrap_or_else(|problem| problem.into_response().map(Either::Right))
        }
    }
}

impl Answers for Router {
    async fn answer(&self, request: Request<Incoming>) -> Answered {
        let Ok(mut response) = TowerToHyperService::new(self.clone()).call(request).await;
        if !response.headers().contains_key(CACHE_CONTROL) {
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response.map(Either::Right)
    }
}

fn router(face: Face) -> Router {
    Router::new()
        .route("/read/{entity}", get(read::read).fallback(|| only("GET, HEAD")))
        .route("/query", post(read::query).fallback(|| only("POST")))
        .route("/write/{entity}/{write}", post(write::write).fallback(|| only("POST")))
        .route("/invalidate", post(write::invalidate).fallback(|| only("POST")))
        .route("/healthz", get(healthz).fallback(|| only("GET, HEAD")))
        .route("/readyz", get(readyz).fallback(|| only("GET, HEAD")))
        .fallback(|| async { Problem::no_such_path() })
        .with_state(face)
}

/// Whether a query string is understood.
pub(crate) fn understands(query: &str) -> bool {
    query_string::pairs(query).is_ok()
}

/// The policy and metrics, as operators see them.
pub fn admin_router(corral: Corral) -> Router {
    let policy = get(admin::policy).put(admin::put_policy).fallback(|| only("GET, HEAD, PUT"));
    let shadow = get(admin::shadow::report).put(admin::shadow::start).delete(admin::shadow::end);
    let shadow = shadow.fallback(|| only("GET, HEAD, PUT, DELETE"));
    let explain = get(admin::explain).post(admin::explain_candidate);
    let settings =
        get(admin::settings).put(admin::put_settings).fallback(|| only("GET, HEAD, PUT"));
    Router::new()
        .route("/admin/explain/{entity}", explain.fallback(|| only("GET, HEAD, POST")))
        .route("/admin/policy", policy)
        .route("/admin/policy/shadow", shadow)
        .route("/admin/policy/settings", settings)
        .route("/admin/policy/rollback", post(admin::rollback).fallback(|| only("POST")))
        .route("/metrics", get(admin::metrics).fallback(|| only("GET, HEAD")))
        .route("/healthz", get(healthz).fallback(|| only("GET, HEAD")))
        .route("/readyz", get(readyz).fallback(|| only("GET, HEAD")))
        .fallback(|| async { Problem::no_such_path() })
        .with_state(Face::new(corral))
}

async fn only(allowed: &'static str) -> Problem {
    Problem::method(allowed)
}

async fn healthz() -> &'static str {
    "alive\n"
}

async fn readyz(State(face): State<Face>) -> (StatusCode, Json<Readiness>) {
    let readiness = face.corral.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}
