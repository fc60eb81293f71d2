//! Accepting connections: limits against slow, silent and many clients, and an end that completes the
//! requests in progress.

mod connection;
mod descriptors;
mod host_header;
mod notice;
mod owing;
mod patience;
mod places;
mod pulse;
mod stream;
mod unreadable;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, Version};
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::answered::{AnswerBody, Answered};
use connection::Connection;
pub use descriptors::{ConnectionShare, shares};
pub use notice::Notice;
use owing::Owing;
use places::{ConnectionPlace, ConnectionPlaces};
use pulse::Pulse;
use stream::ClientStream;

/// The longest head of a request. A connection keeps as much of an unfinished one.
const HEAD_BYTES: usize = 80 << 10;

/// What the system keeps of an answer before it is on its way: enough for a fast network, and little
/// enough that a client's taking is noticed.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 256 << 10;

/// A pause after a failed accept: the reason does not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A face of the host: it answers the requests of a server.
pub trait Answers: Send + Sync + 'static {
    /// The answer to a request, be it an error. It says how long it may be kept.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Answered> + Send;
}

/// What a server's connections may do.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// How many there may be at once.
    pub connections: usize,
    /// How long one may be without a request.
    pub idle: Duration,
    /// How long requests in progress may take after the server was told to stop.
    pub grace: Duration,
}

/// A bound address that serves once it is told what.
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    /// The address is in use, or not ours.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await? })
    }

    /// The address that it has, with the port that the system chose for port 0.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it has notice to stop. While it drains, each answer is the last one of its connection.
    /// When it stops, it accepts the connections whose handshake has begun and no others, and gives the
    /// requests in progress the grace time to end.
    pub async fn serve(
        self,
        answers: impl Answers,
        mut notices: watch::Receiver<Notice>,
        manners: Manners,
    ) {
        let serving = Serving {
            answers: Arc::new(answers),
            places: ConnectionPlaces::new(manners.connections),
            builder: protocols(),
            manners,
        };
        loop {
            let (stream, place) = tokio::select! {
                biased;
                notice = notice::next(&mut notices) => {
                    serving.places.tell(notice);
                    match notice {
                        Notice::Stop => break,
                        Notice::Serve | Notice::Drain => continue,
                    }
                }
                accepted = self.accept(&serving.places) => accepted,
            };
            serving.begin(stream, place);
        }
        let cut = Instant::now() + manners.grace;
        notice::refuse_beginnings(&self.listener);
        let accepting = async {
            loop {
                let (stream, place) = self.accept(&serving.places).await;
                serving.begin(stream, place);
            }
        };
        let _everybody = timeout(notice::HANDSHAKE, accepting).await;
        drop(self.listener);
        if timeout_at(cut, serving.places.are_free()).await.is_err() {
            let grace = manners.grace;
            tracing::warn!(?grace, "requests were still running at the end of the grace time");
        }
    }

    /// The next client, with a place for it.
    async fn accept(&self, places: &Arc<ConnectionPlaces>) -> (TcpStream, ConnectionPlace) {
        let mut failing = false;
        loop {
            match self.listener.accept().await {
                Ok((stream, _peer)) => {
                    set_up(&stream);
                    return (stream, places.get().await);
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "connections can't be accepted");
                    }
                    failing = true;
                    // Perhaps too many files are open, and those are ours.
                    places.make_room();
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// What all connections of a server have in common.
struct Serving<A> {
    answers: Arc<A>,
    places: Arc<ConnectionPlaces>,
    builder: Builder<TokioExecutor>,
    manners: Manners,
}

impl<A: Answers> Serving<A> {
    fn begin(&self, stream: TcpStream, place: ConnectionPlace) {
        let (pulse, answers) = (Arc::clone(place.pulse()), Arc::clone(&self.answers));
        let stream = ClientStream::new(stream, Arc::clone(&pulse));
        let service =
            service_fn(move |request| answered(Arc::clone(&answers), Arc::clone(&pulse), request));
        let serving = self.builder.serve_connection(stream, service).into_owned();
        tokio::spawn(Connection::new(serving, place, self.manners));
    }
}

/// Both protocols, without timers of their own: [`Connection`] has one for all states.
fn protocols() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().header_read_timeout(None).max_buf_size(HEAD_BYTES);
    builder
}

fn set_up(stream: &TcpStream) {
    // Without it small answers wait for the client's acknowledgement.
    let _best_effort = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _best_effort = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES);
}

/// A request under way, as its connection counts it.
struct RequestUnderWay(Arc<Pulse>);

impl RequestUnderWay {
    fn begin(pulse: &Arc<Pulse>, version: Version) -> Self {
        pulse.begin(version == Version::HTTP_2);
        Self(Arc::clone(pulse))
    }
}

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The answer to a request, counted.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn keeps its arguments twice, and hyper moves it about"
)]
fn answered(
    answers: Arc<impl Answers>,
    pulse: Arc<Pulse>,
    mut request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Owing<AnswerBody>>, Infallible>> {
    async move {
        let version = request.version();
        let underway = RequestUnderWay::begin(&pulse, version);
        let bodiless = request.method() == Method::HEAD;
        let mut answer = match host_header::settle(&mut request) {
            Ok(()) => answers.answer(request).await,
            Err(problem) => problem.into_response(),
        };
        if bodiless {
            leave_out_body(&mut answer);
        }
        if pulse.is_leaving() && version < Version::HTTP_2 {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let answer = answer.map(|body| Owing::new(body, pulse));
        drop(underway);
        Ok(answer)
    }
}

/// Leaves the length in the place of a body, as the answer to HEAD has it.
fn leave_out_body(answer: &mut Answered) {
    let body = std::mem::take(answer.body_mut());
    if let Some(length @ 1..) = body.size_hint().exact() {
        answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

#[cfg(test)]
mod tests;
