//! One connection from its beginning to its end: served, watched, and ended when the client keeps it
//! waiting, when its place is needed, or when the host stops.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::server::graceful::GracefulConnection;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Manners;
use super::notice::quiet_time;
use super::patience::{HEAD_TIME, Patience, Waits};
use super::places::ConnectionPlace;

/// A request that is being answered has no end of time here; the counters are looked at again after
/// this.
const LOOK_AGAIN: Duration = HEAD_TIME;

/// A connection that is served.
pub(super) struct Connection<C> {
    serving: Pin<Box<C>>,
    place: ConnectionPlace,
    patience: Patience,
    alarm: ConnectionTimer,
    /// How long it is kept without a request after the server stopped.
    quiet: Duration,
    ending: Ending,
    /// Whether the alarm and the place know the task.
    is_begun: bool,
}

/// The one timer of a connection.
struct ConnectionTimer {
    sleep: Pin<Box<Sleep>>,
    /// Whether it wakes the task without being asked again.
    is_heard: bool,
}

impl ConnectionTimer {
    fn at(end: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(end)), is_heard: false }
    }

    fn set(&mut self, end: Instant) {
        self.sleep.as_mut().reset(end);
        self.is_heard = false;
    }

    /// Ready once its time has come. A connection asks with each request, so most of the time it is not more
    /// than a look.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_heard && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        let rang = self.sleep.as_mut().poll(cx);
        self.is_heard = rang.is_pending();
        rang
    }
}

/// How far a connection is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It has none in sight.
    Open,
    /// The server has stopped, and requests may still be on their way until then.
    Quiet(Instant),
    /// Nothing more is read than what is under way.
    Closing,
}

impl Ending {
    fn at(self) -> Option<Instant> {
        match self {
            Self::Quiet(end) => Some(end),
            Self::Open | Self::Closing => None,
        }
    }
}

impl<C: GracefulConnection> Connection<C> {
    /// A connection that begins now.
    pub(super) fn new(serving: C, place: ConnectionPlace, manners: Manners) -> Self {
        let now = Instant::now();
        let patience = Patience::new(manners.idle, now, place.pulse().beat());
        Self {
            serving: Box::pin(serving),
            place,
            patience,
            alarm: ConnectionTimer::at(now + HEAD_TIME),
            quiet: quiet_time(manners.grace),
            ending: Ending::Open,
            is_begun: false,
        }
    }

    /// Over HTTP/2 the client hears which of its requests are answered, and can send the others again. Over
    /// HTTP/1 a connection that is closed while it is quiet loses what is on its way.
    fn stop(&mut self) {
        if self.place.pulse().is_multiplexed() || self.quiet.is_zero() {
            self.close();
        } else {
            self.ending = Ending::Quiet(Instant::now() + self.quiet);
        }
    }

    fn close(&mut self) {
        self.ending = Ending::Closing;
        self.serving.as_mut().graceful_shutdown();
    }

    /// Looks at what the connection waits for, and sets the alarm to its end if that comes earlier.
    fn look(&mut self) {
        let before = self.patience.waits();
        self.patience.look(self.place.pulse().beat(), Instant::now);
        let waits = self.patience.waits();
        if waits != before || matches!(waits, Waits::Taking(_)) {
            self.place.note(waits.since());
        }
        let ends = self.patience.end().into_iter().chain(self.ending.at());
        if let Some(end) = ends.min()
            && end < self.alarm.sleep.deadline()
        {
            self.alarm.set(end);
        }
    }

    /// Whether the client's time is over. If it is not, the alarm is set anew.
    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        if self.ending.at().is_some_and(|end| end <= now) {
            self.close();
        }
        match self.patience.end() {
            Some(end) if end <= now => true,
            Some(end) => {
                self.alarm.set(end);
                false
            }
            None => {
                self.alarm.set(now + LOOK_AGAIN);
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
            if this.ending == Ending::Open && this.place.pulse().is_stopping() {
                this.stop();
            }
            // A client that breaks off is its own business.
            if let Poll::Ready(_ended) = this.serving.as_mut().poll(cx) {
                return Poll::Ready(());
            }
            this.look();
            if this.alarm.poll(cx).is_pending() {
                return Poll::Pending;
            }
            if this.is_over() && this.end().is_ready() {
                return Poll::Ready(());
            }
        }
    }
}
