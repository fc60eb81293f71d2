//! What the parts of one connection tell each other: how many requests are being answered, and how
//! much of the answers the client has still to take.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

use super::notice::Notice;

/// In the place of a time: the client waits for the host.
const HOST_WORKS: u64 = u64::MAX;

/// The counters of a connection. One task writes most of them; over HTTP/2 each request has its own.
#[derive(Default)]
pub(super) struct Pulse {
    /// Requests of which the head is here and the answer is not made yet.
    underway: AtomicU32,
    /// Requests that were answered.
    answered: AtomicU32,
    /// Bytes of answers that the client has not taken.
    owed: AtomicU64,
    /// Bytes of answers that it has taken.
    taken: AtomicU64,
    /// How often something of it arrived.
    heard: AtomicU32,
    /// Whether it speaks HTTP/2; known from its first request on.
    multiplexed: AtomicBool,
    /// Whether the host has said that it sends no more.
    closing: AtomicBool,
    /// Whether the next answer is the last one.
    leaving: AtomicBool,
    /// Whether the server accepts no new connection.
    stopping: AtomicBool,
    /// Since when the host waits for the client, as its server counts; else [`HOST_WORKS`].
    waits_ms: AtomicU64,
    /// Whether its place is needed for others.
    sent_away: AtomicBool,
    task: AtomicWaker,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TrafficCounts {
    pub(super) underway: bool,
    pub(super) answered: u32,
    pub(super) owed: u64,
    pub(super) taken: u64,
    pub(super) heard: u32,
    pub(super) multiplexed: bool,
    pub(super) closing: bool,
}

impl Pulse {
    /// A request began.
    pub(super) fn begin(&self, multiplexed: bool) {
        self.underway.fetch_add(1, Ordering::Relaxed);
        if multiplexed {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
    }

    /// A request has its answer, or is given up.
    pub(super) fn end(&self) {
        // Counted before `underway` falls: a reader that sees no request under way sees this answer.
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.underway.fetch_sub(1, Ordering::Release);
    }

    /// The client is to take so many bytes more.
    pub(super) fn owe(&self, bytes: u64) {
        self.owed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The client took so many bytes of what it is owed, or of a head, which no answer counts as owed.
    pub(super) fn take(&self, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        self.forgive(bytes);
    }

    /// Takes this many bytes off what is owed.
    pub(super) fn forgive(&self, bytes: u64) {
        let less = |owed: u64| Some(owed.saturating_sub(bytes));
        // Never fails: there is always an answer.
        let _owed = self.owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    pub(super) fn owed(&self) -> u64 {
        self.owed.load(Ordering::Relaxed)
    }

    /// Something arrived.
    pub(super) fn hear(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self) -> u32 {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Tells the connection what the server is told. Its task hears of a stop at once.
    pub(super) fn tell(&self, notice: Notice) {
        match notice {
            Notice::Serve => {}
            Notice::Drain => self.leaving.store(true, Ordering::Relaxed),
            Notice::Stop => {
                self.leaving.store(true, Ordering::Relaxed);
                self.stopping.store(true, Ordering::Release);
                self.task.wake();
            }
        }
    }

    /// Whether the server has stopped.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether each answer over HTTP/1 is the last one.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    pub(super) fn is_underway(&self) -> bool {
        self.underway.load(Ordering::Acquire) > 0
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
    }

    /// Whether it was answered at least once.
    pub(super) fn is_proven(&self) -> bool {
        self.answered() > 0
    }

    /// Ends the connection.
    pub(super) fn send_away(&self) {
        self.sent_away.store(true, Ordering::Release);
        self.task.wake();
    }

    pub(super) fn is_sent_away(&self) -> bool {
        self.sent_away.load(Ordering::Acquire)
    }

    /// The task that [`Pulse::send_away`] and [`Pulse::tell`] wake.
    pub(super) fn belongs_to(&self, task: &Waker) {
        self.task.register(task);
    }

    pub(super) fn beat(&self) -> TrafficCounts {
        TrafficCounts {
            underway: self.is_underway(),
            answered: self.answered(),
            owed: self.owed(),
            taken: self.taken.load(Ordering::Relaxed),
            heard: self.heard.load(Ordering::Relaxed),
            multiplexed: self.is_multiplexed(),
            closing: self.closing.load(Ordering::Relaxed),
        }
    }

    /// Says since when the host waits for the client; `None`: the client waits for the host.
    pub(super) fn waits_since(&self, ms: Option<u64>) {
        self.waits_ms.store(ms.unwrap_or(HOST_WORKS), Ordering::Relaxed);
    }

    /// Since when the host waits for the client; `None`: the client waits for the host.
    pub(super) fn waiting_since(&self) -> Option<u64> {
        let ms = self.waits_ms.load(Ordering::Relaxed);
        (ms != HOST_WORKS).then_some(ms)
    }
}
