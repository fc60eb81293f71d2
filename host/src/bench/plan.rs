//! What a load is.

use std::time::Duration;

use super::{BenchError, Keys, LoadTarget, Pace};

/// The longest time a load may take: twice the longest soak that is asked for.
pub const MAX_TIME: Duration = Duration::from_secs(20 * 60);

/// The most requests of a load: what the fastest of servers would answer in [`MAX_TIME`].
pub const MAX_REQUESTS: u64 = 1_000_000_000;

/// The most connections: a host serves ten thousand at once, and a port range holds no more.
pub const MAX_CONNECTIONS: usize = 10_000;

/// The most requests per second that are sent on a schedule.
const MAX_RATE: u64 = 5_000_000;

/// A load: which servers to ask, for what, how fast and for how long.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// The hosts that are asked; connections go to them in turn.
    pub targets: Vec<LoadTarget>,
    /// Which share of the requests are writes, 0 to 1, where a target has any.
    pub writes: f64,
    /// What they are asked for.
    pub keys: Keys,
    /// How fast they are asked.
    pub pace: Pace,
    /// Connections, over all threads.
    pub connections: usize,
    /// Threads of the generator.
    pub threads: usize,
    /// The load ends after this time; answers to requests on their way are awaited.
    pub time: Duration,
    /// The load ends after so many requests.
    pub requests: u64,
    /// How long an answer may take, connecting included, until it counts as missing.
    pub answer_within: Duration,
    /// The seed of all draws: the same seed gives the same draws.
    pub seed: u64,
}

impl LoadPlan {
    /// A load of ten seconds over 64 connections, on one thread.
    #[must_use]
    pub fn new(targets: Vec<LoadTarget>, keys: Keys) -> Self {
        Self {
            targets,
            writes: 0.0,
            keys,
            pace: Pace::Closed,
            connections: 64,
            threads: 1,
            time: Duration::from_secs(10),
            requests: MAX_REQUESTS,
            answer_within: Duration::from_secs(10),
            seed: 1,
        }
    }

    /// The threads that get a connection.
    pub(super) fn used_threads(&self) -> usize {
        self.threads.min(self.connections)
    }

    pub(super) fn check(&self) -> Result<(), BenchError> {
        let within = |what, value: u64, most: u64| match value {
            value if (1..=most).contains(&value) => Ok(()),
            _ => Err(BenchError::Bounds { what, least: 1, most }),
        };
        within("targets", self.targets.len() as u64, MAX_CONNECTIONS as u64)?;
        within("connections", self.connections as u64, MAX_CONNECTIONS as u64)?;
        within("threads", self.threads as u64, 256)?;
        within("requests", self.requests, MAX_REQUESTS)?;
        within("milliseconds of a load", millis(self.time), millis(MAX_TIME))?;
        within("milliseconds for an answer", millis(self.answer_within), millis(MAX_TIME))?;
        if let Pace::Open { per_second } = self.pace {
            within("requests per second", per_second.ceil() as u64, MAX_RATE)?;
        }
        if !(0.0..=1.0).contains(&self.writes) {
            return Err(BenchError::Bounds { what: "the share of writes", least: 0, most: 1 });
        }
        self.keys.check()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
