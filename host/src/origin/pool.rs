//! A pool of connections in which whatever is not given back is closed.
//!
//! `sqlx`'s own pool is not used for two reasons. It meets a refused connection by trying again
//! until its timeout, where a cache in front of a stopped database wants to hear so at once. And it
//! takes back whatever is dropped, after a ping that a dead network never answers, where a load
//! that was cut short must never leave a half-read connection to the next one. Here a [`Lease`]
//! closes its connection unless [`Lease::give_back`] was called.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::{ConnectOptions, Connection, Database};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::OriginError;

/// A connection unused for this long is closed: firewalls forget idle connections after some
/// minutes, and a forgotten one is only noticed by a statement that hangs.
const IDLE_LIMIT: Duration = Duration::from_secs(120);

/// A connection is used for this long at most: server processes grow with what they have cached.
const AGE_LIMIT: Duration = Duration::from_secs(1800);

/// How to connect to a `DB`.
type Options<DB> = <<DB as Database>::Connection as Connection>::Options;

/// Connections that are opened when needed, up to a limit.
pub(super) struct Pool<DB: Database> {
    options: Options<DB>,
    limit: usize,
    slots: Arc<Semaphore>,
    /// The most recently used last.
    idle: Mutex<Vec<Idle<DB>>>,
}

struct Idle<DB: Database> {
    connection: DB::Connection,
    opened: Instant,
    since: Instant,
}

/// A connection in use. Dropped: closed.
pub(super) struct Lease<DB: Database> {
    // Before the slot, so that it is closed when the slot becomes free.
    connection: DB::Connection,
    pool: Arc<Pool<DB>>,
    opened: Instant,
    is_reused: bool,
    _slot: OwnedSemaphorePermit,
}

impl<DB: Database> Pool<DB> {
    /// An empty pool. Connects to nothing.
    pub(super) fn new(options: Options<DB>, limit: u32) -> Arc<Self> {
        let limit = usize::try_from(limit).unwrap_or(Semaphore::MAX_PERMITS).max(1);
        let slots = Arc::new(Semaphore::new(limit));
        Arc::new(Self { options, limit, slots, idle: Mutex::new(Vec::new()) })
    }

    /// An idle connection, or a new one.
    ///
    /// # Errors
    /// `Unavailable`: none became free, or none could be opened, in time.
    pub(super) async fn lease(
        self: &Arc<Self>,
        within: Duration,
    ) -> Result<Lease<DB>, OriginError> {
        let end = Instant::now() + within;
        let slot = match timeout(within, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => slot,
            Ok(Err(_)) | Err(_) => {
                let message = format!("all {} connections are in use", self.limit);
                return Err(OriginError::Unavailable(message));
            }
        };
        if let Some(Idle { connection, opened, .. }) = self.take_idle() {
            let pool = Arc::clone(self);
            return Ok(Lease { connection, pool, opened, is_reused: true, _slot: slot });
        }
        let connection = match timeout(end - Instant::now(), self.options.connect()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(OriginError::Unavailable(error.to_string())),
            Err(_) => {
                let message = format!("no connection within {within:?}");
                return Err(OriginError::Unavailable(message));
            }
        };
        let (pool, opened) = (Arc::clone(self), Instant::now());
        Ok(Lease { connection, pool, opened, is_reused: false, _slot: slot })
    }

    /// Closes what is idle: one connection was found dead, and a server that restarted has killed
    /// them all.
    pub(super) fn forget_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn take_idle(&self) -> Option<Idle<DB>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < IDLE_LIMIT);
        idle.pop()
    }
}

impl<DB: Database> Lease<DB> {
    /// The connection.
    pub(super) fn connection(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }

    /// Whether it was idle before, and so may have died unnoticed.
    pub(super) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// The pool it is from.
    pub(super) fn pool(&self) -> &Pool<DB> {
        &self.pool
    }

    /// Leaves the connection to others. It must be ready for a next statement.
    pub(super) fn give_back(self) {
        let Self { connection, pool, opened, .. } = self;
        if opened.elapsed() < AGE_LIMIT {
            let idle = Idle { connection, opened, since: Instant::now() };
            pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
        }
    }
}
