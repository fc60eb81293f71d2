//! A pool of connections in which whatever is not given back is closed.
//!
//! `sqlx`'s own pool is not used for two reasons. It meets a refused connection by trying again
//! until its timeout, where a cache in front of a stopped database wants to hear so at once. And it
//! takes back whatever is dropped, after a ping that a dead network never answers, where a load
//! that was cut short must never leave a half-read connection to the next one. Here a [`Lease`]
//! closes its connection unless [`Lease::give_back`] was called.
//!
//! A connection says at its beginning which database it has. One that has another than the newest is
//! used for nothing more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::{ConnectOptions, Connection, Database};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::identity::Newest;
use super::{OriginError, OriginIdentity};

/// A connection unused for this long is closed: firewalls forget idle connections after some
/// minutes, and a forgotten one is only noticed by a statement that hangs.
const IDLE_LIMIT: Duration = Duration::from_secs(120);

/// A connection is used for this long at most: server processes grow with what they have cached.
const AGE_LIMIT: Duration = Duration::from_secs(1800);

/// How to connect to a `DB`.
pub(super) type Options<DB> = <<DB as Database>::Connection as Connection>::Options;

/// A database that says which one it is.
pub(super) trait Identify: Database {
    /// What can be told without a connection: which file is there now. None: nothing.
    fn place(options: &Options<Self>) -> Option<OriginIdentity>;

    /// Asks a connection. None: the database does not say.
    fn identify(
        connection: &mut Self::Connection,
        options: &Options<Self>,
    ) -> impl Future<Output = Result<Option<OriginIdentity>, OriginError>> + Send;
}

/// Connections that are opened when needed, up to a limit.
pub(super) struct Pool<DB: Database> {
    options: Options<DB>,
    newest: Arc<Newest>,
    limit: usize,
    slots: Arc<Semaphore>,
    /// The most recently used last.
    idle: Mutex<Vec<Idle<DB>>>,
}

struct Idle<DB: Database> {
    connection: DB::Connection,
    identity: Option<OriginIdentity>,
    opened: Instant,
    since: Instant,
}

/// A connection in use. Dropped: closed.
pub(super) struct Lease<DB: Database> {
    // Before the slot, so that it is closed when the slot becomes free.
    connection: DB::Connection,
    pool: Arc<Pool<DB>>,
    identity: Option<OriginIdentity>,
    opened: Instant,
    is_reused: bool,
    _slot: OwnedSemaphorePermit,
}

impl<DB: Identify> Pool<DB> {
    /// An empty pool. Connects to nothing. `newest` is that of all pools of the same database.
    pub(super) fn new(options: Options<DB>, limit: u32, newest: &Arc<Newest>) -> Arc<Self> {
        let limit = usize::try_from(limit).unwrap_or(Semaphore::MAX_PERMITS).max(1);
        let slots = Arc::new(Semaphore::new(limit));
        let newest = Arc::clone(newest);
        Arc::new(Self { options, newest, limit, slots, idle: Mutex::new(Vec::new()) })
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
        let pool = Arc::clone(self);
        if let Some(Idle { connection, identity, opened, .. }) = self.take_idle() {
            return Ok(Lease { connection, pool, identity, opened, is_reused: true, _slot: slot });
        }
        let Ok(opened) = timeout(end - Instant::now(), self.open()).await else {
            let message = format!("no connection within {within:?}");
            return Err(OriginError::Unavailable(message));
        };
        let (connection, identity) = opened?;
        let opened = Instant::now();
        Ok(Lease { connection, pool, identity, opened, is_reused: false, _slot: slot })
    }

    async fn open(&self) -> Result<(DB::Connection, Option<OriginIdentity>), OriginError> {
        let place = DB::place(&self.options);
        let connected = self.options.connect().await;
        let mut connection =
            connected.map_err(|error| OriginError::Unavailable(error.to_string()))?;
        let asked = Instant::now();
        let identity = DB::identify(&mut connection, &self.options).await?;
        if place.is_some() && place != identity {
            let message = "the file was replaced while it was opened".to_owned();
            return Err(OriginError::Unavailable(message));
        }
        self.newest.hear(identity, asked);
        Ok((connection, identity))
    }

    /// Closes what is idle: one connection was found dead, and a server that restarted has killed
    /// them all.
    pub(super) fn forget_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn take_idle(&self) -> Option<Idle<DB>> {
        let (place, newest) = (DB::place(&self.options), self.newest.get());
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| {
            let is_there = place.is_none() || place == idle.identity;
            is_there && idle.identity == newest && idle.since.elapsed() < IDLE_LIMIT
        });
        idle.pop()
    }
}

impl<DB: Identify> Lease<DB> {
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

    /// What it said last about its database.
    pub(super) fn identity(&self) -> Option<OriginIdentity> {
        self.identity
    }

    /// Notes what it says now, when it was asked again at `asked`. If that is something else than
    /// before, a pooler has given it another server.
    pub(super) fn hear(&mut self, identity: Option<OriginIdentity>, asked: Instant) {
        if self.identity != identity {
            self.identity = identity;
            self.pool.newest.hear(identity, asked);
        }
    }

    /// Closes the connection and waits for that.
    pub(super) async fn close(self) {
        // A connection that can't be closed in good order is closed all the same.
        let _ = self.connection.close().await;
    }

    /// Leaves the connection to others. It must be ready for a next statement.
    pub(super) fn give_back(self) {
        let Self { connection, pool, identity, opened, .. } = self;
        if opened.elapsed() < AGE_LIMIT && identity == pool.newest.get() {
            let idle = Idle { connection, identity, opened, since: Instant::now() };
            pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
        }
    }
}
