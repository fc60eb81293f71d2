//! A client for HTTP/1.1, by hand: it sends one request at a time over a kept connection, and keeps
//! of the answer only what is counted.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

mod answer;

pub(super) use answer::CacheMark;
use answer::{DiscardedBody, head};

/// What is read at a time, and the longest head of an answer.
const BUFFER: usize = 64 * 1024;

/// What is counted of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct HttpReply {
    pub(super) status: u16,
    pub(super) cache: CacheMark,
    /// Bytes of the answer, its head included.
    pub(super) bytes: u64,
    /// Connections that were opened for it.
    pub(super) connections: u64,
}

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WireError {
    /// No connection.
    Connect,
    /// The connection ended before the answer did.
    Closed,
    /// The time for an answer is over.
    TimedOut,
    /// The answer is not HTTP/1.1.
    Malformed,
}

impl WireError {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Closed => "closed",
            Self::TimedOut => "timeout",
            Self::Malformed => "malformed",
        }
    }
}

/// A connection that is opened when it is needed.
pub(super) struct Wire {
    addresses: Vec<SocketAddr>,
    stream: Option<TcpStream>,
    buffer: Box<[u8]>,
    limit: Duration,
    /// The time limit of an answer. It is one timer for all requests, which is only set anew when
    /// it fires.
    alarm: Pin<Box<Sleep>>,
}

impl Wire {
    pub(super) fn new(addresses: Vec<SocketAddr>, limit: Duration) -> Self {
        Self {
            addresses,
            stream: None,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            limit,
            alarm: Box::pin(sleep_until(Instant::now() + limit)),
        }
    }

    /// Sends a request and reads its answer whole, within the limit from `began` on.
    pub(super) async fn exchange(
        &mut self,
        message: &[u8],
        is_idempotent: bool,
        began: Instant,
    ) -> Result<HttpReply, WireError> {
        let end = began + self.limit;
        let Self { addresses, stream, buffer, alarm, .. } = self;
        let mut exchange = std::pin::pin!(tried(addresses, stream, buffer, message, is_idempotent));
        loop {
            tokio::select! {
                biased;
                outcome = &mut exchange => return outcome,
                () = alarm.as_mut() => {
                    if Instant::now() >= end {
                        return Err(WireError::TimedOut);
                    }
                    alarm.as_mut().reset(end);
                }
            }
        }
    }
}

/// Sends a request over the kept connection, or over a new one. If the server has closed the kept
/// one while nothing was asked, a request that may be sent again is, once, over a new one.
async fn tried(
    addresses: &[SocketAddr],
    kept: &mut Option<TcpStream>,
    buffer: &mut [u8],
    message: &[u8],
    is_idempotent: bool,
) -> Result<HttpReply, WireError> {
    // A request that is given up closes its connection: the next answer on it would belong to that request.
    if let Some(stream) = kept.take() {
        match asked(stream, kept, buffer, message).await {
            Ok(Some(reply)) => return Ok(reply),
            Ok(None) if is_idempotent => {}
            Ok(None) => return Err(WireError::Closed),
            Err(fault) => return Err(fault),
        }
    }
    let stream = TcpStream::connect(addresses).await.map_err(|_| WireError::Connect)?;
    stream.set_nodelay(true).map_err(|_| WireError::Connect)?;
    let reply = asked(stream, kept, buffer, message).await?.ok_or(WireError::Closed)?;
    Ok(HttpReply { connections: 1, ..reply })
}

/// `None` if the connection was closed before the first byte of an answer.
async fn asked(
    mut stream: TcpStream,
    kept: &mut Option<TcpStream>,
    buffer: &mut [u8],
    message: &[u8],
) -> Result<Option<HttpReply>, WireError> {
    if stream.write_all(message).await.is_err() {
        return Ok(None);
    }
    let mut filled = 0;
    let (head, length) = loop {
        if filled == buffer.len() {
            return Err(WireError::Malformed);
        }
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) | Err(_) if filled == 0 => return Ok(None),
            Ok(0) | Err(_) => return Err(WireError::Closed),
            Ok(read) => filled += read,
        }
        if let Some(whole) = head(&buffer[..filled])? {
            break whole;
        }
    };
    let mut body = DiscardedBody::new(&head);
    let mut bytes = filled as u64;
    let mut done = body.feed(&buffer[length..filled])?;
    while !done {
        match stream.read(buffer).await {
            Ok(0) if body.ends_with_the_connection() => break,
            Ok(0) | Err(_) => return Err(WireError::Closed),
            Ok(read) => {
                bytes += read as u64;
                done = body.feed(&buffer[..read])?;
            }
        }
    }
    if head.keeps {
        *kept = Some(stream);
    }
    Ok(Some(HttpReply { status: head.status, cache: head.cache, bytes, connections: 0 }))
}

#[cfg(test)]
mod tests;
