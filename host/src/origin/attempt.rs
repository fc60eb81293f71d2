//! One piece of work on a connection: its time, and what its failure means for the connection.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::OriginError;
use super::pool::{Identify, PooledConnection};

/// How much longer than the database's own timeout the host waits. The database shall end the
/// statement first, because the connection then stays usable.
const GRACE: Duration = Duration::from_millis(100);

/// The time that one call may take, waiting for a connection included.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallTime {
    start: Instant,
    deadline: Duration,
}

/// A failure, and what has become of the connection.
#[derive(Debug)]
pub(super) struct FailedAttempt {
    pub(super) error: OriginError,
    pub(super) connection: Condition,
}

/// The state that a failure leaves a connection in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// Ready for a next statement.
    Usable,
    /// Alive, perhaps, but in the middle of something.
    Dirty,
    /// Silent for longer than it should be; the idle connections of its pool may be so too.
    Silent,
    /// In order, but its session is shared: statements are prepared in it by another client of a
    /// pooler.
    Shared,
    /// Gone, and the idle connections of its pool probably too.
    Lost,
}

impl CallTime {
    /// Starts now.
    pub(super) fn new(deadline: Duration) -> Self {
        Self { start: Instant::now(), deadline }
    }

    /// The whole time, as it was asked for.
    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// What is left of the time.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_sub(self.start.elapsed())
    }

    /// Waits for work that should end itself in time, and at most `GRACE` beyond that: a server may
    /// be gone without closing the connection.
    pub(super) async fn guard<T>(
        &self,
        work: impl Future<Output = Result<T, FailedAttempt>>,
    ) -> Result<T, FailedAttempt> {
        match timeout(self.left() + GRACE, work).await {
            Ok(result) => result,
            Err(_) => Err(FailedAttempt {
                error: OriginError::Timeout(self.deadline),
                connection: Condition::Silent,
            }),
        }
    }
}

impl FailedAttempt {
    /// The statement's own failure, which leaves the connection usable.
    pub(super) fn usable(error: OriginError) -> Self {
        Self { error, connection: Condition::Usable }
    }

    /// A failure in the middle of an answer.
    pub(super) fn dirty(error: OriginError) -> Self {
        Self { error, connection: Condition::Dirty }
    }

    /// An answer that ended before the database had said that it ends.
    pub(super) fn broken() -> Self {
        Self::dirty(OriginError::Unavailable("the answer broke off".to_owned()))
    }

    /// Whether the connection is ready for a next statement.
    pub(super) fn is_usable(&self) -> bool {
        self.connection == Condition::Usable
    }

    /// Gives the connection back if it can be used, and closes it otherwise. True if the connection
    /// had died while it was idle, so that nothing was attempted yet.
    pub(super) fn settle<DB: Identify>(&self, lease: PooledConnection<DB>) -> bool {
        match self.connection {
            Condition::Usable => lease.give_back(),
            Condition::Dirty | Condition::Shared => drop(lease),
            Condition::Silent => lease.pool().suspect_idle(),
            Condition::Lost => {
                lease.pool().forget_idle();
                return lease.is_reused();
            }
        }
        false
    }
}
