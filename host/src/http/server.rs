//! Accepting connections: limits against slow and many clients, and an end that cuts nobody off.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::alarms::Alarms;
use super::read::Answered;
use super::stream::Stream;

/// How long a client may take to send its headers: a slow one must not hold a connection for ever.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// Connections that are served at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 10_000;

/// A pause after a failed accept (too many open files): the reason does not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who answers requests.
pub trait Answers: Send + Sync + 'static {
    /// The answer to a request, be it an error.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Answered> + Send;
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

    /// Serves until `stop` completes; then accepts nobody, tells clients to close, and gives the
    /// requests in progress `grace` to end.
    pub async fn serve(
        self,
        answers: impl Answers,
        stop: impl Future<Output = ()>,
        grace: Duration,
    ) {
        let answers = Arc::new(answers);
        let shutdown = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(Alarms::default()).header_read_timeout(HEADER_TIME);
        builder.http2().timer(TokioTimer::new());
        tokio::pin!(stop);
        loop {
            let (stream, place) = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = self.accept(&places) => accepted,
            };
            let answers = Arc::clone(&answers);
            let service = service_fn(move |request| {
                let answers = Arc::clone(&answers);
                async move { Ok::<_, Infallible>(answers.answer(request).await) }
            });
            let connection =
                builder.serve_connection_with_upgrades(Stream::new(stream), service).into_owned();
            let watched = shutdown.watch(connection);
            tokio::spawn(async move {
                // A client that breaks off is its own business.
                let _ended = watched.await;
                drop(place);
            });
        }
        drop(self.listener);
        if timeout(grace, shutdown.shutdown()).await.is_err() {
            tracing::warn!(?grace, "requests were still running at the end of the grace time");
        }
    }

    async fn accept(&self, places: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
        // The semaphore is never closed.
        let place = Arc::clone(places).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, _peer)) => {
                    // Without it small answers wait for the client's acknowledgement.
                    let _best_effort = stream.set_nodelay(true);
                    return (stream, place);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
