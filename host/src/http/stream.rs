//! A client's connection as hyper writes to it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What is no longer than this is sent in one piece. hyper hands over the head of an answer and
/// its body, and the kernel takes several times as long to gather them as it takes to copy them
/// here. Beyond this the copy is what costs more.
const PIECE: usize = 4096;

/// A stream that sends small answers in one piece.
pub(super) struct Stream {
    inner: TokioIo<TcpStream>,
    /// Kept for the next answer; never longer than a piece.
    piece: Vec<u8>,
}

impl Stream {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { inner: TokioIo::new(stream), piece: Vec::new() }
    }

    fn inner(self: Pin<&mut Self>) -> Pin<&mut TokioIo<TcpStream>> {
        Pin::new(&mut self.get_mut().inner)
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner().poll_read(cx, room)
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let inner = Pin::new(&mut this.inner);
        let length = parts.iter().map(|part| part.len()).sum();
        if length > PIECE {
            return inner.poll_write_vectored(cx, parts);
        }
        this.piece.clear();
        this.piece.reserve_exact(length);
        for part in parts {
            this.piece.extend_from_slice(part);
        }
        inner.poll_write(cx, &this.piece)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
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
        let mut stream = Stream::new(client);
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
