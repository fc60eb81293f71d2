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
            let connection = builder.serve_connection(Stream::new(stream), service).into_owned();
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

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use http_body_util::{Either, Full};
    use hyper::Response;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::*;

    struct Greets;

    impl Answers for Greets {
        async fn answer(&self, _request: Request<Incoming>) -> Answered {
            Response::new(Either::Left(Full::new(Bytes::from_static(b"hello"))))
        }
    }

    async fn client() -> TcpStream {
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = server.address().unwrap();
        tokio::spawn(server.serve(Greets, std::future::pending(), Duration::ZERO));
        TcpStream::connect(address).await.unwrap()
    }

    async fn ask(client: &mut TcpStream) {
        client.write_all(b"GET / HTTP/1.1\r\nhost: corral\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            assert!(client.read_buf(&mut answer).await.unwrap() > 0, "cut off");
        }
    }

    /// Sends half a head, byte after byte, until the server has had enough.
    async fn dawdle(client: &mut TcpStream) -> Duration {
        let began = Instant::now();
        loop {
            // Once the server has closed, what is sent arrives nowhere.
            let _sent = client.write_all(b"G").await;
            match timeout(Duration::from_secs(1), client.read_u8()).await {
                Ok(Err(_closed)) => return began.elapsed(),
                Ok(Ok(byte)) => panic!("answered {byte}"),
                Err(_elapsed) => assert!(began.elapsed() < 2 * HEADER_TIME, "never cut off"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_half_a_head_is_cut_off_at_the_first_request_and_at_later_ones() {
        let cut = HEADER_TIME..HEADER_TIME + Duration::from_millis(10);
        let mut client = client().await;
        let time = dawdle(&mut client).await;
        assert!(cut.contains(&time), "{time:?}");
        let mut client = self::client().await;
        for _ in 0..5 {
            // The control: who asks in time is served for as long as he likes.
            ask(&mut client).await;
            sleep(HEADER_TIME / 2).await;
        }
        ask(&mut client).await;
        let time = dawdle(&mut client).await;
        assert!(cut.contains(&time), "{time:?}");
    }
}
