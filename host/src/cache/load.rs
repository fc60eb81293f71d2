//! Loading: what a flight runs when it has the right to, and how many may run at once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::origin::{Origin, OriginError, ReadStatement, Value};
use crate::policy::Cause;

/// Brings one value from where the truth is. SQL and closures are the two kinds.
#[async_trait]
pub trait Loader: Send + Sync {
    /// The value as JSON text, or none when there is no such row. To end within `deadline`.
    async fn load(&self, deadline: Duration) -> Result<Option<Bytes>, OriginError>;
}

/// A statement with its values.
pub struct SqlLoader {
    /// Where it runs.
    pub origin: Arc<dyn Origin>,
    /// What runs.
    pub statement: Arc<ReadStatement>,
    /// `$1`, `$2`, ….
    pub values: Vec<Value>,
}

#[async_trait]
impl Loader for SqlLoader {
    async fn load(&self, deadline: Duration) -> Result<Option<Bytes>, OriginError> {
        self.origin.load(&self.statement, &self.values, deadline).await
    }
}

/// A statement that a client wrote, with its values.
pub struct QueryLoader {
    /// Where it runs.
    pub origin: Arc<dyn Origin>,
    /// What runs.
    pub statement: ReadStatement,
    /// `$1`, `$2`, ….
    pub values: Vec<Value>,
}

#[async_trait]
impl Loader for QueryLoader {
    async fn load(&self, deadline: Duration) -> Result<Option<Bytes>, OriginError> {
        self.origin.query(&self.statement, &self.values, deadline).await
    }
}

/// What a load brought, and how long it took.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// JSON text; none: no such row.
    pub body: Option<Bytes>,
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
    /// As many loads as allowed are running, and none ended in time.
    #[error("too many loads are waiting")]
    Overloaded,
}

impl LoadError {
    /// The same in the policy's words.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Origin(OriginError::Unavailable(_)) => Cause::Unavailable,
            Self::Origin(OriginError::Timeout(_)) => Cause::Timeout,
            Self::Origin(OriginError::Rejected { .. } | OriginError::TooLarge) => Cause::Rejected,
            Self::Overloaded => Cause::Overloaded,
        }
    }
}

/// The limit of concurrent loads, so that an outage of the store is none of the origin.
#[derive(Debug)]
pub(super) struct Loads {
    permits: Semaphore,
}

impl Loads {
    /// At most `at_once` loads run at once.
    #[must_use]
    pub(super) fn new(at_once: usize) -> Self {
        Self { permits: Semaphore::new(at_once) }
    }

    /// Waits for its turn and loads, all by `deadline`; `begun` is called when its turn has come. A
    /// loader that does not keep the deadline is ended at `end`.
    pub(super) async fn run(
        &self,
        loader: &dyn Loader,
        deadline: Instant,
        end: Instant,
        begun: impl FnOnce(),
    ) -> Result<Loaded, LoadError> {
        let permit = timeout_at(deadline, self.permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else {
            return Err(LoadError::Overloaded);
        };
        begun();
        let began = Instant::now();
        let left = deadline.saturating_duration_since(began);
        let loaded = timeout_at(end, loader.load(left)).await;
        let body = loaded.unwrap_or(Err(OriginError::Timeout(left)))?;
        Ok(Loaded { body, cost: began.elapsed() })
    }
}
