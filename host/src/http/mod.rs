//! The HTTP face: a thin layer over [`Corral`]. It knows requests, headers and problem documents;
//! what is cached and how is none of its business.

mod access;
mod admin;
mod answered;
mod body;
mod cache_control;
mod cache_status;
mod etag;
mod pages;
mod problem;
mod query_string;
mod read;
mod route;
mod server;
mod unique;
mod write;

use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};

use crate::service::Corral;

pub use admin::Admin;
use answered::{Answered, of_json, of_type};
pub use problem::Problem;
use route::{GET, Handler, HttpCall, POST, to};
pub use server::{Answers, ConnectionShare, Manners, Notice, Server, shares};

/// What every handler works with.
struct Face {
    corral: Corral,
}

/// What applications see: reads, writes and health.
pub struct Front {
    face: Face,
}

impl Front {
    /// The front of a host.
    #[must_use]
    pub fn new(corral: Corral) -> Self {
        Self { face: Face { corral } }
    }
}

/// The paths of the front.
fn front<'r>(method: &Method, path: &'r [&'r str]) -> Option<Handler<'r>> {
    Some(match (method, path) {
        (&GET, ["read", entity]) => to(|call| read::read(call, entity)),
        (&POST, ["query"]) => to(read::query),
        (&POST, ["write", entity, write]) => to(|call| write::write(call, entity, write)),
        (&POST, ["invalidate"]) => to(write::invalidate),
        (&GET, ["healthz"]) => to(healthz),
        (&GET, ["readyz"]) => to(readyz),
        _ => return None,
    })
}

impl Answers for Front {
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice")]
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Answered> + Send {
        async move {
            let waiting = DisconnectCount(Some(&self.face.corral));
            let answer = match read::plainly(&request) {
                Some(entity) => {
                    let query = request.uri().query().unwrap_or_default();
                    self.face.read(entity, query, request.headers()).await
                }
                // Boxed, since every plain read would have to carry this larger future otherwise.
                None => Box::pin(route::answer(&self.face, front, request)).await,
            };
            waiting.answered();
            answer.unwrap_or_else(Problem::into_response)
        }
    }
}

/// Counts a request whose client goes away: one that is dropped before it has its answer.
struct DisconnectCount<'a>(Option<&'a Corral>);

impl DisconnectCount<'_> {
    fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for DisconnectCount<'_> {
    fn drop(&mut self) {
        if let Some(corral) = self.0 {
            corral.note_disconnect();
        }
    }
}

/// `GET /healthz`
async fn healthz(_: HttpCall<'_>) -> Result<Answered, Problem> {
    Ok(of_type("text/plain; charset=utf-8", "alive\n"))
}

/// `GET /readyz`
async fn readyz(call: HttpCall<'_>) -> Result<Answered, Problem> {
    let readiness = call.face.corral.readiness().await;
    let mut answer = of_json(&readiness)?;
    if !readiness.ready {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(answer)
}

/// Whether a query string is understood.
pub(crate) fn understands(query: &str) -> bool {
    query_string::pairs(query).is_ok()
}
