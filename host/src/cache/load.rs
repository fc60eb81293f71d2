//! Loading a value from the origin, by SQL or by a closure.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::breaker::is_silence;
use super::loads::{Limit, LoadObserver, WaitingLoad};
use super::{Cache, CacheRead};
use crate::observe::LoadReason;
use crate::origin::{Fetched, Origin, OriginError, ReadStatement, Value};
use crate::policy::{Cause, Row};

/// Time kept back from a load's deadline for the stale answer that may follow its failure; more than an
/// origin needs to notice that its server went away silently.
const ANSWER_RESERVE: Duration = Duration::from_millis(150);

/// How long a load may take so that a read with this deadline still has time for its answer.
#[must_use]
pub fn load_time(deadline: Duration) -> Duration {
    deadline - ANSWER_RESERVE.min(deadline / 5)
}

/// After what time a reader that still waits takes the value at hand: later than the end of a load that began
/// with the read.
pub(super) fn late(deadline: Duration) -> Duration {
    deadline - (deadline - load_time(deadline)) / 3
}

/// Loads values from the origin: by a statement or by a closure.
#[async_trait]
pub trait Loader: Send + Sync {
    /// Loads the value of the read with these parameters as JSON text, `None` if there is no such row, and
    /// the canonical texts of `columns` for each row. Has to end within `deadline`.
    async fn load(
        &self,
        values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Fetched, OriginError>;
}

/// Loads by an entity's statement.
pub struct SqlLoader {
    /// The origin where the statement runs.
    pub origin: Arc<dyn Origin>,
    /// The statement.
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

/// Loads by a statement that a client wrote.
pub struct QueryLoader {
    /// The origin where the statement runs.
    pub origin: Arc<dyn Origin>,
    /// The statement.
    pub statement: ReadStatement,
    /// The largest answer, in bytes.
    pub max_bytes: u64,
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
        if body.as_ref().is_some_and(|body| body.len() as u64 > self.max_bytes) {
            return Err(OriginError::TooLarge);
        }
        // A client names the tags of its query: none of them is built from a column.
        Ok(Fetched { body, rows: Vec::new(), missing: columns.to_vec() })
    }
}

/// What a load brought, and how long it took.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// JSON text; `None` if there is no such row.
    pub body: Option<Bytes>,
    /// The canonical texts of the columns that tags need, for each row; or the column of which there is no
    /// text.
    pub rows: Result<Vec<Row>, String>,
    /// Time from the start of the load to its end, the queue not included.
    pub cost: Duration,
}

impl Loaded {
    /// The first half of the body's SHA-256: a client that can write rows must not be able to make two bodies
    /// with the same etag.
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
    /// As many loads as allowed are running, and this one's turn would come too late.
    #[error("too many loads are waiting")]
    Overloaded,
}

impl LoadError {
    /// The cause that the policy is told.
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

/// The times of a flight's load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Within {
    /// The deadline of the flight's readers.
    pub(super) deadline: Instant,
    /// When the load ends even if it holds a lease.
    pub(super) until: Instant,
}

/// Notes a load's progress in metrics, breaker and failings.
struct LoadNotes<'a> {
    cache: &'a Cache,
    read: &'a CacheRead,
    reason: LoadReason,
    /// When the load's turn came; `None` while it waits.
    began: Option<Instant>,
}

impl Cache {
    pub(super) async fn load(
        &self,
        read: &CacheRead,
        columns: &[String],
        reason: LoadReason,
        within: Within,
    ) -> Result<Loaded, LoadError> {
        let entity = read.entity();
        let reserve = entity.deadline - load_time(entity.deadline);
        // First ends what ends by itself: an origin ends a statement more gently than the host does. Readers
        // end last, so that the next reader already knows that loads fail.
        let by = |at: Instant| Limit { deadline: at - reserve, end: at - reserve * 2 / 3 };
        let waiting = WaitingLoad {
            entity: &entity.name,
            loader: &*read.loader,
            values: &read.values,
            columns,
            limit: by(within.deadline),
            last: (within.until > within.deadline).then(|| by(within.until)),
        };
        let loads = if read.query.is_some() { &self.query_loads } else { &self.loads };
        let mut watch = LoadNotes { cache: self, read, reason, began: None };
        let loaded = loads.run(waiting, &mut watch).await;
        watch.ended(&loaded);
        let loaded = loaded?;
        self.metrics.origin_load_seconds.record(loaded.cost);
        Ok(loaded)
    }
}

impl LoadObserver for LoadNotes<'_> {
    fn begun(&mut self) {
        self.read.definition.metrics(&self.cache.metrics).load(self.reason);
        self.began = Some(Instant::now());
    }

    fn overdue(&mut self) {
        let limit = load_time(self.read.entity().deadline);
        self.failed(&LoadError::Origin(OriginError::Timeout(limit)));
    }
}

impl LoadNotes<'_> {
    /// Notes what the load's end says about the origin.
    fn ended(&self, loaded: &Result<Loaded, LoadError>) {
        match loaded {
            // A client's own query says nothing about the configuration's statements and their database.
            _ if self.read.query.is_some() => {}
            Ok(_) => {
                let entity = &self.read.entity().name;
                self.cache.breaker.answered(entity);
                self.cache.failings.loaded(entity);
            }
            Err(error) => self.failed(error),
        }
    }

    fn failed(&self, error: &LoadError) {
        let (cache, entity) = (self.cache, self.read.entity());
        tracing::debug!(entity = entity.name, %error, "a load failed");
        let whose = self.began.and_then(|began| {
            if !is_silence(error) {
                cache.breaker.answered(&entity.name);
                return None;
            }
            let failure = (error.cause(), load_time(entity.deadline));
            Some(cache.breaker.failed(&entity.name, began, failure, cache.entropy.bits()))
        });
        cache.failings.load_failed(entity, error, whose);
    }
}
