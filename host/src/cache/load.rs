//! Loading: what a flight runs when it has the right to.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::breaker::is_silence;
use super::loads::{Limit, Progress, Waiting};
use super::{Cache, Read};
use crate::observe::LoadReason;
use crate::origin::{Fetched, Origin, OriginError, ReadStatement, Value};
use crate::policy::{Cause, Row};

/// Time kept back from a load's deadline, for the stale answer that may follow its failure; more
/// than an origin takes to notice that its server went away without a word.
const ANSWER_RESERVE: Duration = Duration::from_millis(150);

/// How long a load may take, so that a read with this deadline still has time for its answer.
#[must_use]
pub fn load_time(deadline: Duration) -> Duration {
    deadline - ANSWER_RESERVE.min(deadline / 5)
}

/// When a reader who still waits takes what is at hand: after the end of a load that began with the read.
pub(super) fn late(deadline: Duration) -> Duration {
    deadline - (deadline - load_time(deadline)) / 3
}

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
        // A client names its tags itself: none of them is built from a column.
        Ok(Fetched { body, rows: Vec::new(), missing: columns.to_vec() })
    }
}

/// What a load brought, and how long it took.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// JSON text; none: no such row.
    pub body: Option<Bytes>,
    /// Of each row the canonical texts of the columns that tags need, or the column that they can't be told
    /// of.
    pub rows: Result<Vec<Row>, String>,
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

/// By when a flight needs what it loads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Within {
    /// Its readers' deadline.
    pub(super) deadline: Instant,
    /// When it ends although it holds a lease.
    pub(super) until: Instant,
}

/// Notes how a load goes: in metrics, breaker and failings.
struct Watch<'a> {
    cache: &'a Cache,
    read: &'a Read,
    reason: LoadReason,
    /// Its turn had come.
    began: Option<Instant>,
}

impl Cache {
    pub(super) async fn load(
        &self,
        read: &Read,
        columns: &[String],
        reason: LoadReason,
        within: Within,
    ) -> Result<Loaded, LoadError> {
        let entity = read.entity();
        let reserve = entity.deadline - load_time(entity.deadline);
        // What ends by itself shall be first: an origin ends a statement more gently than we do. Readers shall be
        // last: whoever reads next is to know that loads fail.
        let by = |at: Instant| Limit { deadline: at - reserve, end: at - reserve * 2 / 3 };
        let waiting = Waiting {
            entity: &entity.name,
            loader: &*read.loader,
            values: &read.values,
            columns,
            limit: by(within.deadline),
            last: (within.until > within.deadline).then(|| by(within.until)),
        };
        let loads = if read.query.is_some() { &self.query_loads } else { &self.loads };
        let mut watch = Watch { cache: self, read, reason, began: None };
        let loaded = loads.run(waiting, &mut watch).await;
        watch.ended(&loaded);
        let loaded = loaded?;
        self.metrics.origin_load_seconds.record(loaded.cost);
        Ok(loaded)
    }
}

impl Progress for Watch<'_> {
    fn begun(&mut self) {
        self.read.definition.metrics(&self.cache.metrics).load(self.reason);
        self.began = Some(Instant::now());
    }

    fn overdue(&mut self) {
        let limit = load_time(self.read.entity().deadline);
        self.failed(&LoadError::Origin(OriginError::Timeout(limit)));
    }
}

impl Watch<'_> {
    /// What a load's end says of the origin.
    fn ended(&self, loaded: &Result<Loaded, LoadError>) {
        match loaded {
            // What a client asks says nothing of the statements of the configuration, nor of their database.
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
