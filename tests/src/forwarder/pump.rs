//! One direction of one connection.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::link::{Link, TURN_BYTES};

/// How many pieces may be on their way at a time.
const PIECES: usize = 1024;

/// The properties of one direction of one connection.
pub(super) struct Lane {
    pub(super) number: usize,
    pub(super) delay: Duration,
    pub(super) held: watch::Receiver<bool>,
    pub(super) isolated: watch::Receiver<usize>,
    pub(super) link: Link,
}

impl Lane {
    /// Passes on what comes, each piece after the lane's delay, and then its end.
    pub(super) async fn pump(
        mut self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) {
        let (send, mut pieces) = mpsc::channel::<(Instant, Bytes)>(PIECES);
        let delay = self.delay;
        let reading = async move {
            let mut buffer = BytesMut::new();
            loop {
                buffer.reserve(TURN_BYTES);
                let read = (&mut from).take(TURN_BYTES as u64).read_buf(&mut buffer).await;
                let Ok(1..) = read else { return };
                let piece = (Instant::now() + delay, buffer.split().freeze());
                if send.send(piece).await.is_err() {
                    return;
                }
            }
        };
        let writing = async move {
            while let Some((due, piece)) = pieces.recv().await {
                // Even a wait for a moment that has come already lasts until the timer's next tick.
                if !delay.is_zero() {
                    sleep_until(due).await;
                }
                self.pass(piece.len()).await;
                if to.write_all(&piece).await.is_err() {
                    return;
                }
            }
            // An end is held back like a byte: a client that is cut off learns of neither.
            self.pass(0).await;
            // A connection that is gone already needs no end.
            let _ = to.shutdown().await;
        };
        // The writer drops its end of the channel when the other side takes no more bytes.
        tokio::join!(reading, writing);
    }

    /// Waits until so many bytes may go on.
    pub(super) async fn pass(&mut self, bytes: usize) {
        let number = self.number;
        if *self.isolated.borrow() > number {
            std::future::pending::<()>().await;
        }
        // The sender lives as long as the connection, so this can't fail.
        let _ = self.held.wait_for(|held| !held).await;
        self.link.carry(bytes).await;
        if *self.isolated.borrow() > number {
            std::future::pending::<()>().await;
        }
    }
}
