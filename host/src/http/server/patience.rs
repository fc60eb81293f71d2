//! How long the host waits for a client, in each state of a connection and over both protocols.
//!
//! One timer serves a connection for its whole life. It moves when it fires, or when the state that
//! the connection came into ends earlier: a request costs one look at the clock and no timer.

use std::time::Duration;

use tokio::time::Instant;

use super::pulse::TrafficCounts;

/// How long a client may take to send the head of a request; also the first one, from the moment it
/// connects.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(10);

/// A client that takes less than [`LEAST`] of what it is owed in this time does not take it. A mobile
/// network that is that slow has lost the connection.
pub(super) const TAKE_TIME: Duration = Duration::from_secs(30);

/// What is too little to count as taking an answer, in bytes.
const LEAST: u64 = 16 << 10;

/// How long the host listens after its last word and after what came then, so that what the client is
/// still sending does not make its system throw the answer away (RFC 9112, section 9.6).
const FAREWELL_TIME: Duration = Duration::from_secs(2);

/// A client that goes on sending after the host's last word is listened to for this long.
const FAREWELL_IN_ALL: Duration = Duration::from_secs(30);

/// What the host waits for, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// A request is being answered; its handler has its own limits of time.
    Works,
    /// The first request.
    First(Instant),
    /// The rest of a head. Over HTTP/2 a half of one is part of [`Waits::Idle`].
    Head(Instant),
    /// The next request.
    Idle(Instant),
    /// The client has to take what it is owed.
    Taking(Instant),
    /// The client has to close as well.
    Farewell(Instant),
}

impl Waits {
    /// Since when the host waits for the client; `None`: it does not.
    pub(super) fn since(self) -> Option<Instant> {
        match self {
            Self::Works => None,
            Self::First(since)
            | Self::Head(since)
            | Self::Idle(since)
            | Self::Taking(since)
            | Self::Farewell(since) => Some(since),
        }
    }
}

/// What a connection waits for, as its counters say.
pub(super) struct Patience {
    idle: Duration,
    waits: Waits,
    /// The counters when `waits` began.
    mark: TrafficCounts,
    /// When the host said its last word.
    closed: Option<Instant>,
}

impl Patience {
    /// Of a connection that begins now. `idle` is how long it may be without a request.
    pub(super) fn new(idle: Duration, now: Instant, beat: TrafficCounts) -> Self {
        Self { idle, waits: Waits::First(now), mark: beat, closed: None }
    }

    pub(super) fn waits(&self) -> Waits {
        self.waits
    }

    /// Looks at the counters. `now` is asked for only where a wait begins.
    pub(super) fn look(&mut self, beat: TrafficCounts, now: impl FnOnce() -> Instant) {
        let goes_on = match self.waits {
            Waits::Taking(_) => beat.owed > 0 && !self.took(beat),
            Waits::Works => beat.owed == 0 && beat.underway,
            Waits::Farewell(_) => beat.is_quiet() && beat.closing && beat.heard == self.mark.heard,
            Waits::First(_) => self.still_idle(beat),
            Waits::Head(_) => self.still_idle(beat),
            Waits::Idle(_) => {
                let begun = !beat.multiplexed && beat.heard != self.mark.heard;
                self.still_idle(beat) && !begun
            }
        };
        if goes_on {
            return;
        }
        let was_idle = matches!(self.waits, Waits::Idle(_));
        self.waits = if beat.owed > 0 {
            Waits::Taking(now())
        } else if beat.underway {
            Waits::Works
        } else if beat.closing {
            let now = now();
            self.closed.get_or_insert(now);
            Waits::Farewell(now)
        } else if was_idle && self.still_idle(beat) {
            Waits::Head(now())
        } else {
            Waits::Idle(now())
        };
        self.mark = beat;
    }

    /// Whether nothing was answered since this wait began.
    fn still_idle(&self, beat: TrafficCounts) -> bool {
        beat.is_quiet() && !beat.closing && beat.answered == self.mark.answered
    }

    /// Whether the client took enough, or has another answer to take.
    fn took(&self, beat: TrafficCounts) -> bool {
        let next = !beat.multiplexed && beat.answered != self.mark.answered;
        next || beat.taken - self.mark.taken >= LEAST
    }

    /// When the wait ends; `None`: no time is set.
    pub(super) fn end(&self) -> Option<Instant> {
        match self.waits {
            Waits::Works => None,
            Waits::First(since) | Waits::Head(since) => Some(since + HEAD_TIME),
            Waits::Idle(since) => Some(since + self.idle),
            Waits::Taking(since) => Some(since + TAKE_TIME),
            Waits::Farewell(since) => {
                let in_all = self.closed.unwrap_or(since) + FAREWELL_IN_ALL;
                Some(in_all.min(since + FAREWELL_TIME))
            }
        }
    }
}

impl TrafficCounts {
    /// Nothing is asked and nothing is owed.
    fn is_quiet(&self) -> bool {
        self.owed == 0 && !self.underway
    }
}

#[cfg(test)]
mod tests {
    use super::super::pulse::Pulse;
    use super::*;

    const IDLE: Duration = Duration::from_secs(75);
    const SECOND: Duration = Duration::from_secs(1);

    /// A connection on which things happen, a second between any two.
    struct World {
        pulse: Pulse,
        patience: Patience,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            let (pulse, now) = (Pulse::default(), Instant::now());
            Self { patience: Patience::new(IDLE, now, pulse.beat()), pulse, now }
        }

        /// What the host waits for after this, and for how long from now on.
        fn after(&mut self, happens: impl FnOnce(&Pulse)) -> (Waits, Option<Duration>) {
            self.now += SECOND;
            happens(&self.pulse);
            self.patience.look(self.pulse.beat(), || self.now);
            (self.patience.waits, self.patience.end().map(|end| end - self.now))
        }
    }

    #[test]
    fn each_state_of_a_connection_has_its_own_end() {
        let mut world = World::new();
        let began = world.now;
        let half = world.after(Pulse::hear);
        assert_eq!(half, (Waits::First(began), Some(HEAD_TIME - SECOND)), "the first head");
        assert_eq!(world.after(|pulse| pulse.begin(false)), (Waits::Works, None));
        let owing = world.after(|pulse| {
            pulse.owe(3 * LEAST);
            pulse.end();
        });
        assert_eq!(owing, (Waits::Taking(world.now), Some(TAKE_TIME)));
        let since = world.now;
        let little = world.after(|pulse| pulse.take(LEAST - 1));
        assert_eq!(little, (Waits::Taking(since), Some(TAKE_TIME - SECOND)), "too little");
        let enough = world.after(|pulse| pulse.take(1));
        assert_eq!(enough, (Waits::Taking(world.now), Some(TAKE_TIME)));
        let whole = world.after(|pulse| pulse.take(2 * LEAST));
        assert_eq!(whole, (Waits::Idle(world.now), Some(IDLE)));
        let half = world.after(Pulse::hear);
        assert_eq!(half, (Waits::Head(world.now), Some(HEAD_TIME)));
        let since = world.now;
        let more = world.after(Pulse::hear);
        assert_eq!(more, (Waits::Head(since), Some(HEAD_TIME - SECOND)), "byte after byte");
        let closed = world.after(Pulse::close);
        assert_eq!(closed, (Waits::Farewell(world.now), Some(FAREWELL_TIME)));
        let since = world.now;
        let more = world.after(Pulse::hear);
        assert_eq!(more, (Waits::Farewell(since + SECOND), Some(FAREWELL_TIME)), "it goes on");
        while world.now < since + FAREWELL_IN_ALL {
            world.after(Pulse::hear);
        }
        assert_eq!(world.patience.end(), Some(since + FAREWELL_IN_ALL), "and not for ever");
    }

    #[test]
    fn a_request_that_is_answered_at_once_begins_the_time_without_requests_anew() {
        let mut world = World::new();
        for _ in 0..3 {
            let answered = world.after(|pulse| {
                pulse.hear();
                pulse.begin(false);
                pulse.end();
            });
            assert_eq!(answered, (Waits::Idle(world.now), Some(IDLE)));
        }
    }

    #[test]
    fn over_http_2_bytes_alone_neither_end_nor_prolong_the_time_without_requests() {
        let mut world = World::new();
        let answered = world.after(|pulse| {
            pulse.begin(true);
            pulse.end();
        });
        assert_eq!(answered, (Waits::Idle(world.now), Some(IDLE)));
        let since = world.now;
        let pinged = world.after(Pulse::hear);
        assert_eq!(pinged, (Waits::Idle(since), Some(IDLE - SECOND)));
    }

    #[test]
    fn requests_under_way_do_not_excuse_a_client_that_takes_nothing() {
        let mut world = World::new();
        world.after(|pulse| {
            pulse.begin(true);
            pulse.begin(true);
            pulse.owe(LEAST);
            pulse.end();
        });
        let since = world.now;
        let (waits, _) = world.after(|pulse| pulse.begin(true));
        assert_eq!(waits, Waits::Taking(since));
    }
}
