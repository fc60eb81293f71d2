//! One connection from its beginning to its end: served, watched, and ended when the client keeps it
//! waiting, when its place is needed, or when the host stops.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::server::graceful::GracefulConnection;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use super::patience::{HEAD_TIME, Patience, Waits};
use super::places::Place;

/// A request that is being answered has no end of time here; the counters are looked at again after
/// this.
const LOOK_AGAIN: Duration = HEAD_TIME;

type Stop = Pin<Box<dyn Future<Output = watch::Receiver<()>> + Send>>;

/// A connection that is served.
pub(super) struct Connection<C> {
    serving: Pin<Box<C>>,
    place: Place,
    patience: Patience,
    alarm: Pin<Box<Sleep>>,
    /// `None` once the host has told the client that it stops.
    stop: Option<Stop>,
    /// Held until the connection ends: the server stops once every connection has dropped its own.
    _stopping: Option<watch::Receiver<()>>,
    /// Whether the alarm and the place know the task.
    is_begun: bool,
}

impl<C: GracefulConnection> Connection<C> {
    /// A connection that begins now, and may be without a request for `idle`.
    pub(super) fn new(
        serving: C,
        place: Place,
        idle: Duration,
        mut stopped: watch::Receiver<()>,
    ) -> Self {
        let now = Instant::now();
        let patience = Patience::new(idle, now, place.pulse().beat());
        let stop: Stop = Box::pin(async move {
            // A server that is gone has stopped.
            let _gone = stopped.changed().await;
            stopped
        });
        Self {
            serving: Box::pin(serving),
            place,
            patience,
            alarm: Box::pin(sleep_until(now + HEAD_TIME)),
            stop: Some(stop),
            _stopping: None,
            is_begun: false,
        }
    }

    fn heed_stop(&mut self, cx: &mut Context<'_>) {
        if let Some(stop) = &mut self.stop
            && let Poll::Ready(stopping) = stop.as_mut().poll(cx)
        {
            self.stop = None;
            self._stopping = Some(stopping);
            self.serving.as_mut().graceful_shutdown();
        }
    }

    /// Looks at what the connection waits for, and sets the alarm to its end if that comes earlier.
    fn look(&mut self) {
        let before = self.patience.waits();
        self.patience.look(self.place.pulse().beat(), Instant::now);
        let waits = self.patience.waits();
        if waits != before || matches!(waits, Waits::Taking(_)) {
            self.place.note(waits.since());
        }
        if let Some(end) = self.patience.end()
            && end < self.alarm.deadline()
        {
            self.alarm.as_mut().reset(end);
        }
    }

    /// Whether the client's time is over. If it is not, the alarm is set anew.
    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        match self.patience.end() {
            Some(end) if end <= now => true,
            Some(end) => {
                self.alarm.as_mut().reset(end);
                false
            }
            None => {
                self.alarm.as_mut().reset(now + LOOK_AGAIN);
                false
            }
        }
    }

    /// Ends a connection that waited for too long: in good order where nothing was half done, at once
    /// where it was.
    fn end(&mut self) -> Poll<()> {
        match self.patience.waits() {
            Waits::Idle(_) => {
                self.place.pulse().close();
                self.serving.as_mut().graceful_shutdown();
                Poll::Pending
            }
            Waits::Works
            | Waits::First(_)
            | Waits::Head(_)
            | Waits::Taking(_)
            | Waits::Farewell(_) => Poll::Ready(()),
        }
    }
}

impl<C: GracefulConnection> Future for Connection<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !this.is_begun {
            this.is_begun = true;
            this.place.pulse().belongs_to(cx.waker());
        }
        loop {
            if this.place.pulse().is_sent_away() {
                return Poll::Ready(());
            }
            this.heed_stop(cx);
            // A client that breaks off is its own business.
            if let Poll::Ready(_ended) = this.serving.as_mut().poll(cx) {
                return Poll::Ready(());
            }
            this.look();
            if this.alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if this.is_over() && this.end().is_ready() {
                return Poll::Ready(());
            }
        }
    }
}
