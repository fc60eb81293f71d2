//! The body of an answer that is counted until the client has taken it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::pulse::Pulse;

/// Over HTTP/2 a body goes out in pieces of this size: what was handed over is kept by the protocol
/// until the client's window opens, or until it closes the stream, and neither is heard of here.
const PIECE: usize = 64 << 10;

/// A body of which the connection's counters know what is left.
pub(super) struct Owing<B> {
    body: B,
    pulse: Arc<Pulse>,
    /// What is still counted as in this body.
    left: u64,
    /// A piece that was too large to be handed over at once.
    rest: Bytes,
}

impl<B: Body<Data = Bytes> + Unpin> Owing<B> {
    pub(super) fn new(body: B, pulse: Arc<Pulse>) -> Self {
        let left = body.size_hint().lower();
        pulse.owe(left);
        Self { body, pulse, left, rest: Bytes::new() }
    }

    /// Over HTTP/1.1 what is handed over counts until the system took it from the connection.
    fn hand_over(&mut self, mut data: Bytes) -> Bytes {
        let multiplexed = self.pulse.is_multiplexed();
        if multiplexed && data.len() > PIECE {
            self.rest = data.split_off(PIECE);
        }
        let counted = self.left.min(data.len() as u64);
        self.left -= counted;
        if multiplexed {
            self.pulse.take(counted);
        }
        data
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Owing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        if !this.rest.is_empty() {
            let rest = std::mem::take(&mut this.rest);
            return Poll::Ready(Some(Ok(Frame::data(this.hand_over(rest)))));
        }
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_data() {
                Ok(data) => Frame::data(this.hand_over(data)),
                Err(trailers) => trailers,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        if !self.rest.is_empty() {
            let rest = self.rest.len() as u64;
            let upper = hint.upper().map(|upper| upper + rest);
            hint.set_lower(hint.lower() + rest);
            if let Some(upper) = upper {
                hint.set_upper(upper);
            }
        }
        hint
    }
}

impl<B> Drop for Owing<B> {
    fn drop(&mut self) {
        self.pulse.forgive(self.left);
    }
}
