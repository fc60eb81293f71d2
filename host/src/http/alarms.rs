//! Timers for connections. hyper wants one for every request and drops it as soon as the head is
//! there; to register one with the runtime and to withdraw it costs a hit a twentieth. So one that
//! was dropped stays registered and is handed to whoever wants one next: its time only moves
//! further away, which needs no lock.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use hyper::rt::{Sleep, Timer};

type Inner = Pin<Box<tokio::time::Sleep>>;

/// How many wait for their next use. One that nobody takes wakes a connection that no longer
/// wants it, once, which does no harm.
const IDLE: usize = 1024;

/// The timers of a server's connections.
#[derive(Clone)]
pub(super) struct Alarms {
    idle: Arc<ArrayQueue<Inner>>,
}

impl Default for Alarms {
    fn default() -> Self {
        Self { idle: Arc::new(ArrayQueue::new(IDLE)) }
    }
}

impl Timer for Alarms {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let deadline = deadline.into();
        let inner = match self.idle.pop() {
            Some(mut inner) => {
                inner.as_mut().reset(deadline);
                inner
            }
            None => Box::pin(tokio::time::sleep_until(deadline)),
        };
        Box::pin(Alarm { inner: Some(inner), idle: Arc::clone(&self.idle) })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

/// A timer in use. Returned when it is dropped.
struct Alarm {
    /// `None` once it was returned.
    inner: Option<Inner>,
    idle: Arc<ArrayQueue<Inner>>,
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.as_mut().map_or(Poll::Pending, |inner| inner.as_mut().poll(cx))
    }
}

impl Sleep for Alarm {}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            let _enough = self.idle.push(inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn takes(alarm: Pin<Box<dyn Sleep>>) -> Duration {
        let began = tokio::time::Instant::now();
        alarm.await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_used_again_ends_at_its_new_time_and_not_at_the_old_one() {
        let alarms = Alarms::default();
        assert_eq!(takes(alarms.sleep(SECOND)).await, SECOND);
        assert_eq!(alarms.idle.len(), 1, "one that ended is used again too");
        for time in [3 * SECOND, 5 * SECOND, SECOND] {
            let mut alarm = alarms.sleep(time);
            assert_eq!(alarms.idle.len(), 0);
            // Registered, and dropped before its end.
            let pending = std::future::poll_fn(|cx| Poll::Ready(alarm.as_mut().poll(cx))).await;
            assert!(pending.is_pending());
            drop(alarm);
            assert_eq!(takes(alarms.sleep(2 * SECOND)).await, 2 * SECOND, "after {time:?}");
        }
        assert_eq!(alarms.idle.len(), 1);
    }

    #[tokio::test]
    async fn two_at_once_are_two_and_no_more_are_kept_than_there_is_room_for() {
        let alarms = Alarms::default();
        let all: Vec<_> = (0..=IDLE).map(|_| alarms.sleep(SECOND)).collect();
        drop(all);
        assert_eq!(alarms.idle.len(), IDLE);
    }
}
