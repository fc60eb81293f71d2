//! Loading: what a flight runs when it has the right to, and how many may run at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::origin::{Fetched, Origin, OriginError, ReadStatement, Value};
use crate::policy::{Cause, Row};

/// Brings values from where the truth is. SQL and closures are the two kinds.
#[async_trait]
pub trait Loader: Send + Sync {
    /// The value of the read with these parameters, as JSON text, or none when there is no such row; and
    /// of each row the canonical texts of `columns`. To end within `deadline`.
    async fn load(
        &self,
        values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Fetched, OriginError>;
}

/// An entity's statement.
pub struct SqlLoader {
    /// Where it runs.
    pub origin: Arc<dyn Origin>,
    /// What runs.
    pub statement: Arc<ReadStatement>,
}

#[async_trait]
impl Loader for SqlLoader {
    async fn load(
        &self,
        values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Fetched, OriginError> {
        self.origin.load(&self.statement, values, columns, deadline).await
    }
}

/// A statement that a client wrote.
pub struct QueryLoader {
    /// Where it runs.
    pub origin: Arc<dyn Origin>,
    /// What runs.
    pub statement: ReadStatement,
}

#[async_trait]
impl Loader for QueryLoader {
    async fn load(
        &self,
        values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Fetched, OriginError> {
        let body = self.origin.query(&self.statement, values, deadline).await?;
        // A client names its tags itself: none of them is built from a column.
        Ok(Fetched { body, rows: Vec::new(), missing: columns.to_vec() })
    }
}

/// What a load brought, and how long it took.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// JSON text; none: no such row.
    pub body: Option<Bytes>,
    /// Of each row the canonical texts of the columns that tags need; `None`: they can't be told.
    pub rows: Option<Vec<Row>>,
    /// Time from the start of the load to its end, the queue not included.
    pub cost: Duration,
}

impl Loaded {
    /// The first half of the body's SHA-256: who can write rows must not be able to make two of
    /// one name.
    #[must_use]
    pub fn etag(&self) -> u128 {
        let digest = Sha256::digest(self.body.as_deref().unwrap_or_default());
        digest.iter().take(16).fold(0, |etag, byte| etag << 8 | u128::from(*byte))
    }
}

/// Why a load brought nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// The origin's own words.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// As many loads as allowed are running, and its turn would come too late.
    #[error("too many loads are waiting")]
    Overloaded,
}

impl LoadError {
    /// The same in the policy's words.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Origin(OriginError::Unavailable(_) | OriginError::Undone { .. }) => {
                Cause::Unavailable
            }
            Self::Origin(OriginError::Timeout(_)) => Cause::Timeout,
            Self::Origin(OriginError::Rejected { .. } | OriginError::TooLarge) => Cause::Rejected,
            Self::Overloaded => Cause::Overloaded,
        }
    }
}

/// The limit of concurrent loads, so that an outage of the store is none of the origin. Its queue
/// knows how long a load usually takes: whose turn would come too late is refused at once, instead of
/// waiting in vain and making others wait.
#[derive(Debug)]
pub(super) struct Loads {
    permits: Semaphore,
    at_once: u32,
    waiting: AtomicU32,
    /// How long a load takes, in microseconds: a moving average.
    usual_us: AtomicU64,
}

/// The newest load counts for so much of the average.
const NEWEST: u64 = 8;

impl Loads {
    /// At most `at_once` loads run at once.
    #[must_use]
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            permits: Semaphore::new(at_once),
            at_once: u32::try_from(at_once).unwrap_or(u32::MAX).max(1),
            waiting: AtomicU32::new(0),
            usual_us: AtomicU64::new(0),
        }
    }

    /// Waits for its turn and loads, all by `deadline`; `begun` is called when its turn has come. A
    /// loader that does not keep the deadline is ended at `end`.
    pub(super) async fn run(
        &self,
        load: (&dyn Loader, &[Value], &[String]),
        deadline: Instant,
        end: Instant,
        begun: impl FnOnce(),
    ) -> Result<Loaded, LoadError> {
        let (loader, values, columns) = load;
        let _permit = self.turn(deadline).await?;
        begun();
        let began = Instant::now();
        let left = deadline.saturating_duration_since(began);
        let loaded = timeout_at(end, loader.load(values, columns, left)).await;
        let cost = began.elapsed();
        self.learn(cost);
        let Fetched { body, rows, missing } = loaded.unwrap_or(Err(OriginError::Timeout(left)))?;
        Ok(Loaded { body, rows: missing.is_empty().then_some(rows), cost })
    }

    async fn turn(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, LoadError> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let queue = Queued::new(&self.waiting);
        if Instant::now() + self.wait_of(queue.place) > deadline {
            return Err(LoadError::Overloaded);
        }
        let turn = timeout_at(deadline, self.permits.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or(LoadError::Overloaded)
    }

    /// How long the one at this place of the queue will wait for its turn. One load ends in each
    /// part of the usual time, there being as many parts as loads at once.
    fn wait_of(&self, place: u32) -> Duration {
        Duration::from_micros(self.usual_us.load(Ordering::Relaxed)) * place / self.at_once
    }

    fn learn(&self, cost: Duration) {
        let newest = u64::try_from(cost.as_micros()).unwrap_or(u64::MAX >> 1);
        let average = |usual: u64| match usual {
            0 => newest,
            usual => usual - usual / NEWEST + newest / NEWEST,
        };
        self.usual_us.update(Ordering::Relaxed, Ordering::Relaxed, average);
    }
}

/// A place in the queue, given up on drop.
struct Queued<'a> {
    waiting: &'a AtomicU32,
    /// From 1.
    place: u32,
}

impl<'a> Queued<'a> {
    fn new(waiting: &'a AtomicU32) -> Self {
        Self { waiting, place: waiting.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Duration = Duration::from_millis(100);

    struct Slow;

    #[async_trait]
    impl Loader for Slow {
        async fn load(
            &self,
            _: &[Value],
            _: &[String],
            _: Duration,
        ) -> Result<Fetched, OriginError> {
            tokio::time::sleep(LOAD).await;
            Ok(Fetched::default())
        }
    }

    /// How long each of some loads that begin together takes, with a deadline of three and a half.
    async fn together(loads: &Loads, count: usize) -> Vec<(bool, Duration)> {
        let began = Instant::now();
        let deadline = began + LOAD * 7 / 2;
        let one = || async {
            let loaded = loads.run((&Slow, &[], &[]), deadline, deadline, || {}).await;
            (loaded.is_ok(), began.elapsed())
        };
        futures_util::future::join_all((0..count).map(|_| one())).await
    }

    #[tokio::test(start_paused = true)]
    async fn whose_turn_would_come_too_late_is_refused_at_once() {
        let loads = Loads::new(1);
        assert!(together(&loads, 1).await[0].0, "the first load teaches how long one takes");
        let ends = together(&loads, 8).await;
        let (loaded, refused): (Vec<_>, Vec<_>) = ends.iter().partition(|(loaded, _)| *loaded);
        assert_eq!(loaded.len(), 3, "{ends:?}");
        // The fourth would have had its turn and half of its load.
        assert!(refused.iter().filter(|(_, took)| took.is_zero()).count() >= 4, "{ends:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_experience_everybody_waits_until_the_deadline() {
        let ends = together(&Loads::new(1), 8).await;
        assert!(ends.iter().all(|(_, took)| !took.is_zero()), "{ends:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gave_up_makes_room_in_the_queue() {
        let loads = Loads::new(1);
        together(&loads, 1).await;
        drop(tokio::time::timeout(LOAD / 2, together(&loads, 8)).await);
        assert_eq!(loads.waiting.load(Ordering::Relaxed), 0);
        assert!(together(&loads, 1).await[0].0);
    }
}
