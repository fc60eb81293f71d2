//! When requests are sent: as soon as an answer is there, or at times that are fixed beforehand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How fast requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Closed loop: a connection asks again as soon as it has its answer, so a slow server is asked
    /// less. Latency is the time of the exchange.
    Closed,
    /// Open loop: so many requests a second over all connections, whatever the server does. Latency
    /// counts from when the request was to be sent.
    Open {
        /// Requests per second, over all connections.
        per_second: f64,
    },
}

/// Ticks are no closer than this: ten thousand a second cost a few percent of a core.
const SHORTEST_TICK: Duration = Duration::from_micros(100);

/// Ticks are no farther apart than this, so that a slow schedule is kept exactly enough.
const LONGEST_TICK: Duration = Duration::from_millis(1);

/// The times at which requests are to be sent: evenly spread, each on the tick that comes next,
/// so that what is due within one tick is due together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    per_second: f64,
    tick: Duration,
}

impl Schedule {
    pub(super) fn new(per_second: f64) -> Self {
        let spacing = Duration::from_secs_f64(1.0 / per_second.max(f64::MIN_POSITIVE).max(1e-3));
        Self { per_second, tick: spacing.clamp(SHORTEST_TICK, LONGEST_TICK) }
    }

    /// How many requests are due in all by the tick of this number, counted from 0.
    fn due_at(self, tick: u64) -> u64 {
        let elapsed = tick as f64 * self.tick.as_secs_f64();
        // The first request is due at once; a rounding error must not delay the last one of a
        // second.
        (elapsed * self.per_second + 1e-6) as u64 + 1
    }

    fn ticks_in(self, elapsed: Duration) -> u64 {
        (elapsed.as_nanos() / self.tick.as_nanos()) as u64
    }

    fn time_of(self, tick: u64) -> Duration {
        Duration::from_nanos(tick.saturating_mul(self.tick.as_nanos() as u64))
    }
}

/// The queue of one thread's requests that are due, at which idle connections wait for the next
/// one.
pub(super) struct Desk {
    schedule: Schedule,
    start: Instant,
    state: Mutex<Due>,
    idle: Notify,
}

#[derive(Default)]
struct Due {
    /// Ticks that have passed.
    ticks: u64,
    /// Requests that became due at those ticks.
    total: u64,
    /// Requests that no connection has taken: when they were due, and how many.
    waiting: VecDeque<(Instant, u64)>,
    closed: bool,
}

impl Desk {
    pub(super) fn new(schedule: Schedule, start: Instant) -> Arc<Self> {
        Arc::new(Self { schedule, start, state: Mutex::default(), idle: Notify::new() })
    }

    /// Waits for the next request that is due; returns the time at which it was to be sent. `None`
    /// if the load is over.
    pub(super) async fn next(&self) -> Option<Instant> {
        loop {
            {
                let mut due = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if due.closed {
                    return None;
                }
                if let Some(intended) = due.take() {
                    return Some(intended);
                }
            }
            self.idle.notified().await;
        }
    }

    /// Queues the requests that are due by now, and wakes as many idle connections.
    fn tick(&self, now: Instant) {
        let passed = self.schedule.ticks_in(now.saturating_duration_since(self.start)) + 1;
        let mut put_out = 0;
        {
            let mut due = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            while due.ticks < passed {
                let total = self.schedule.due_at(due.ticks);
                let count = total - due.total;
                if count > 0 {
                    let intended = self.start + self.schedule.time_of(due.ticks);
                    due.waiting.push_back((intended, count));
                    put_out += count;
                }
                (due.ticks, due.total) = (due.ticks + 1, total);
            }
        }
        for _ in 0..put_out {
            self.idle.notify_one();
        }
    }

    /// Ends the schedule at this time; returns how many requests were due before it and never sent.
    fn close(&self, end: Instant) -> u64 {
        // The thread that keeps the schedule may wake up after its end.
        self.tick(end - Duration::from_nanos(1));
        let mut due = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        due.closed = true;
        let unsent = due.waiting.drain(..).map(|(_, count)| count).sum();
        drop(due);
        self.idle.notify_waiters();
        // For a connection that found nothing before this and begins to wait only now.
        self.idle.notify_one();
        unsent
    }

    /// Keeps the schedule until `end`, or until `stopped`, on the calling thread: the runtime's
    /// timers count milliseconds, so requests would come in bursts and be measured from the wrong
    /// time. Returns how many requests were due and never sent.
    pub(super) fn keep(&self, end: Instant, stopped: impl Fn() -> bool) -> u64 {
        wake_exactly();
        loop {
            let now = Instant::now();
            if now >= end || stopped() {
                return self.close(now.min(end));
            }
            self.tick(now);
            let next = self.schedule.ticks_in(now.saturating_duration_since(self.start)) + 1;
            let next = self.start + self.schedule.time_of(next);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
}

/// Lets this thread wake on time: by default the kernel may be 50 µs late, which would lengthen
/// every latency. Where that can't be changed, it stays so.
fn wake_exactly() {
    let _as_it_is = std::fs::read_link("/proc/thread-self").and_then(|own| {
        let thread = own.file_name().unwrap_or_default().to_string_lossy().into_owned();
        std::fs::write(format!("/proc/{thread}/timerslack_ns"), "1")
    });
}

impl Due {
    fn take(&mut self) -> Option<Instant> {
        let (intended, count) = self.waiting.front_mut()?;
        let intended = *intended;
        *count -= 1;
        if *count == 0 {
            self.waiting.pop_front();
        }
        Some(intended)
    }
}

#[cfg(test)]
mod tests;
