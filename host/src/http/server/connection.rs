//! One connection from its beginning to its end: served, watched, and ended when the client keeps it
//! waiting, when its place is needed, or when the host stops.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::server::graceful::GracefulConnection;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Manners;
use super::notice::{self, Notice};
use super::patience::{HEAD_TIME, Patience, Waits};
use super::places::Place;

/// A request that is being answered has no end of time here; the counters are looked at again after
/// this.
const LOOK_AGAIN: Duration = HEAD_TIME;

type Told = Pin<Box<dyn Future<Output = (Notice, watch::Receiver<Notice>)> + Send>>;

/// A connection that is served.
pub(super) struct Connection<C> {
    serving: Pin<Box<C>>,
    place: Place,
    patience: Patience,
    alarm: Pin<Box<Sleep>>,
    /// Held until the connection ends: the server ends once every connection has dropped its own.
    told: Told,
    /// How long it is kept without a request after the server stopped, and until when that is.
    quiet: Duration,
    leaves: Option<Instant>,
    /// Whether the alarm and the place know the task.
    is_begun: bool,
}

impl<C: GracefulConnection> Connection<C> {
    /// A connection that begins now.
    pub(super) fn new(
        serving: C,
        place: Place,
        manners: Manners,
        mut notices: watch::Receiver<Notice>,
    ) -> Self {
        let now = Instant::now();
        let patience = Patience::new(manners.idle, now, place.pulse().beat());
        let notice = *notices.borrow_and_update();
        let mut connection = Self {
            serving: Box::pin(serving),
            place,
            patience,
            alarm: Box::pin(sleep_until(now + HEAD_TIME)),
            told: told(notices),
            quiet: notice::quiet_time(manners.grace),
            leaves: None,
            is_begun: false,
        };
        connection.heed(notice);
        connection
    }

    fn heed_notices(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready((notice, notices)) = self.told.as_mut().poll(cx) {
            self.told = match notice {
                Notice::Serve | Notice::Drain => told(notices),
                Notice::Stop => Box::pin(nothing_more(notices)),
            };
            self.heed(notice);
        }
    }

    fn heed(&mut self, notice: Notice) {
        match notice {
            Notice::Serve => {}
            Notice::Drain => self.place.pulse().leave(),
            Notice::Stop => self.stop(),
        }
    }

    /// Over HTTP/2 the client hears which of its requests are answered, and can send the others again. Over
    /// HTTP/1 a connection that is closed while it is quiet loses what is on its way.
    fn stop(&mut self) {
        let pulse = self.place.pulse();
        pulse.leave();
        if pulse.is_multiplexed() || self.quiet.is_zero() {
            self.serving.as_mut().graceful_shutdown();
        } else {
            self.leaves = Some(Instant::now() + self.quiet);
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
        let ends = self.patience.end().into_iter().chain(self.leaves);
        if let Some(end) = ends.min()
            && end < self.alarm.deadline()
        {
            self.alarm.as_mut().reset(end);
        }
    }

    /// Whether the client's time is over. If it is not, the alarm is set anew.
    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        if self.leaves.take_if(|leaves| *leaves <= now).is_some() {
            self.serving.as_mut().graceful_shutdown();
        }
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
            this.heed_notices(cx);
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

/// What the server is told next.
fn told(mut notices: watch::Receiver<Notice>) -> Told {
    Box::pin(async move { (notice::next(&mut notices).await, notices) })
}

/// Keeps the receiver.
async fn nothing_more(notices: watch::Receiver<Notice>) -> (Notice, watch::Receiver<Notice>) {
    std::future::pending::<()>().await;
    (Notice::Stop, notices)
}
