//! A periodic clock. The runtime's own timers count milliseconds; where a schedule is finer than
//! that, requests would come in bursts and be measured from the wrong time.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

/// Ticks until it is dropped; ticks that were missed come as one.
pub(in super::super) enum Clock {
    #[cfg(target_os = "linux")]
    Kernel(linux::Timer),
    Runtime(Interval),
}

impl Clock {
    /// The most exact clock that there is.
    pub(in super::super) fn exact(every: Duration) -> Self {
        #[cfg(target_os = "linux")]
        if let Ok(timer) = linux::Timer::new(every) {
            return Self::Kernel(timer);
        }
        Self::of_the_runtime(every)
    }

    /// One that follows the runtime's time, virtual time included.
    pub(super) fn of_the_runtime(every: Duration) -> Self {
        let mut interval = interval(every.max(super::LONGEST_TICK));
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // The first tick of an interval comes at once.
        interval.reset();
        Self::Runtime(interval)
    }

    pub(super) async fn tick(&mut self) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Kernel(timer) => timer.tick().await,
            Self::Runtime(interval) => {
                interval.tick().await;
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::io::read;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// A timer of the kernel, exact to a few microseconds.
    pub(in super::super::super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        pub(super) fn new(every: Duration) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            let every = Timespec {
                tv_sec: every.as_secs().cast_signed(),
                tv_nsec: every.subsec_nanos().into(),
            };
            let period = Itimerspec { it_interval: every, it_value: every };
            timerfd_settime(&timer, TimerfdTimerFlags::empty(), &period)?;
            #[expect(
                deprecated,
                reason = "what follows it is unsafe for the sake of types that give their \
                          descriptor away, which this one does not"
            )]
            let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
            Ok(Self(timer))
        }

        pub(super) async fn tick(&mut self) {
            let read = |timer: &OwnedFd| Ok(read(timer, &mut [0; 8])?);
            // A timer that can't be read any more is late at worst: what is due is due.
            let _ticks = self.0.async_io(Interest::READABLE, read).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn the_exact_clock_does_not_run_ahead() {
        let every = Duration::from_micros(200);
        let mut clock = Clock::exact(every);
        let began = Instant::now();
        for ticks in 1..=20 {
            clock.tick().await;
            assert!(began.elapsed() >= every * ticks - every);
        }
    }
}
