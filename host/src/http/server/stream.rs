//! A client's connection as hyper reads and writes it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::pulse::Pulse;
use super::unreadable::{self, RequestLine};

/// What is no longer than this is sent in one piece. hyper hands over the head of an answer and
/// its body, and the kernel takes several times as long to gather them as it takes to copy them
/// here. Beyond this the copy is what costs more.
const PIECE: usize = 4096;

/// What is read and thrown away after the host's last word, at most: a body that was refused for its
/// size, or for its sender. A client that sends more learns of the refusal by a broken connection.
const FAREWELL_BYTES: usize = 64 << 20;

/// So much is read at a time of what is looked at, or thrown away: most heads.
const GULP: usize = 8 << 10;

/// A stream that sends small answers in one piece, counts what it moves, says why a request can't be
/// read, and closes so that the last answer arrives.
pub(super) struct ClientStream {
    inner: TokioIo<TcpStream>,
    pulse: Arc<Pulse>,
    /// Kept for the next answer; never longer than a piece.
    piece: Vec<u8>,
    /// What stands in the place of hyper's answer to a request that it can't read, as far as it is
    /// not sent.
    refusal: Vec<u8>,
    /// The request that is being read.
    line: RequestLine,
    /// How many answers have left hyper whole.
    flushed: u32,
    /// How much more is read after the last word; `None` before it.
    farewell: Option<usize>,
}

impl ClientStream {
    pub(super) fn new(stream: TcpStream, pulse: Arc<Pulse>) -> Self {
        Self {
            inner: TokioIo::new(stream),
            pulse,
            piece: Vec::new(),
            refusal: Vec::new(),
            line: RequestLine::default(),
            flushed: 0,
            farewell: None,
        }
    }

    /// Writes a document in the place of hyper's own answer to a request that it can't read, if these
    /// bytes are that. They are if no request of ours has an answer on its way.
    fn refuses(&mut self, bytes: &[u8]) -> bool {
        let beat = self.pulse.beat();
        if beat.underway || beat.owed > 0 || beat.answered != self.flushed {
            return false;
        }
        let Some(document) = unreadable::in_place_of(bytes, &self.line) else { return false };
        self.refusal = document;
        true
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.refusal))?;
            self.refusal.drain(..count);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
        length: usize,
    ) -> Poll<io::Result<usize>> {
        let mut piece = std::mem::take(&mut self.piece);
        piece.clear();
        piece.reserve_exact(length);
        for part in parts {
            piece.extend_from_slice(part);
        }
        let written = if self.refuses(&piece) {
            self.poll_refusal(cx)?.map(|()| ()).is_ready();
            Poll::Ready(Ok(length))
        } else {
            Pin::new(&mut self.inner).poll_write(cx, &piece)
        };
        self.piece = piece;
        written
    }

    /// Reads what still comes, until the client closes too. A reset, which what stays unread would
    /// cause, makes a client's system throw away what was sent last.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let left = self.farewell.get_or_insert(FAREWELL_BYTES);
        let mut gulp = [const { MaybeUninit::uninit() }; GULP];
        while *left > 0 {
            let mut room = ReadBuf::uninit(&mut gulp);
            ready!(Pin::new(&mut self.inner).poll_read(cx, room.unfilled()))?;
            let count = room.filled().len();
            if count == 0 {
                break;
            }
            *left = left.saturating_sub(count);
            self.pulse.hear();
        }
        Poll::Ready(Ok(()))
    }
}

impl Read for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // A body is read where hyper wants it; a head is looked at on its way.
        if this.pulse.is_underway() {
            ready!(Pin::new(&mut this.inner).poll_read(cx, room))?;
        } else {
            let mut gulp = [const { MaybeUninit::uninit() }; GULP];
            let size = room.remaining().min(GULP);
            let mut bytes = ReadBuf::uninit(&mut gulp[..size]);
            ready!(Pin::new(&mut this.inner).poll_read(cx, bytes.unfilled()))?;
            this.line.read(bytes.filled(), this.pulse.answered());
            room.put_slice(bytes.filled());
        }
        this.pulse.hear();
        Poll::Ready(Ok(()))
    }
}

impl Write for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_refusal(cx))?;
        let length = parts.iter().map(|part| part.len()).sum();
        let count = if length > PIECE {
            ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, parts))?
        } else {
            ready!(this.poll_piece(cx, parts, length))?
        };
        if !this.pulse.is_multiplexed() {
            this.pulse.take(count as u64);
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_refusal(cx))?;
        this.flushed = this.pulse.answered();
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.farewell.is_none() {
            ready!(this.poll_refusal(cx))?;
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
            this.pulse.close();
        }
        this.poll_farewell(cx)
    }
}

impl Drop for ClientStream {
    /// What a client has not taken by the end would stay in the system's memory for as long as the
    /// client lets it.
    fn drop(&mut self) {
        if self.pulse.owed() > 0 {
            let _best_effort = self.inner.inner().set_zero_linger();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn answers_arrive_whole_whatever_their_parts_are() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = ClientStream::new(client, Arc::default());
        let (mut server, _) = listener.accept().await.unwrap();
        for body in [0, 1, PIECE - 5, PIECE - 4, 3 * PIECE] {
            let whole = [&b"head;"[..], &vec![b'x'; body]].concat();
            let mut sent = 0;
            while sent < whole.len() {
                let (head, body) = whole.split_at(5.max(sent));
                let parts = [&head[sent.min(5)..5], body].map(IoSlice::new);
                let count = poll_fn(|cx| Pin::new(&mut stream).poll_write_vectored(cx, &parts));
                sent += count.await.unwrap();
            }
            let mut read = vec![0; whole.len()];
            server.read_exact(&mut read).await.unwrap();
            assert!(read == whole, "a body of {body} bytes");
            assert!(stream.piece.capacity() <= PIECE, "{}", stream.piece.capacity());
        }
    }
}
