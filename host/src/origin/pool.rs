//! A pool that closes every connection that is not given back.
//!
//! `sqlx`'s own pool is not used for two reasons. It retries a refused connection until its
//! timeout, while a cache in front of a stopped database must learn of the refusal at once. And it
//! takes back every connection that is dropped, after a ping that a dead network never answers,
//! while a load that was cut short must never leave a half-read connection to the next one. Here a
//! [`PooledConnection`] closes its connection unless [`PooledConnection::give_back`] was called.
//!
//! A connection says at its beginning which database it leads to. If that is another one than the
//! newest connection's, the connection is not used again. A connection that was idle for a while is
//! pinged before it is used: a network that has forgotten it stays silent, and a statement would
//! wait for its whole deadline.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::{Connection, Database};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::identity::{KnownIdentity, Newest, ServerIdentity};
use super::{OriginError, OriginIdentity};

/// A connection unused for this long is closed: firewalls forget idle connections after some
/// minutes.
const IDLE_LIMIT: Duration = Duration::from_secs(120);

/// A connection is used for this long at most: server processes grow with what they have cached.
const AGE_LIMIT: Duration = Duration::from_secs(1800);

/// A connection unused for this long is pinged before it is used: the round trip is short beside
/// that rest, and a connection in steady use is never pinged.
const REST_LIMIT: Duration = Duration::from_secs(1);

/// How long the answer to that ping may take: far above a round trip.
const CHECK_LIMIT: Duration = Duration::from_millis(500);

/// The ping takes at most the time that is left divided by this, so that enough is left to open a
/// new connection.
const CHECK_PART: u32 = 4;

/// A database whose connections say which database they lead to.
pub(super) trait Identify: Database {
    /// What a connection is opened with: address, login, settings.
    type Door: Send + Sync;

    /// The identity that can be told without a connection: that of the file that is there now.
    /// `None` if only a connection can tell.
    fn place(door: &Self::Door) -> Option<OriginIdentity>;

    /// Opens a connection and asks it where it leads.
    fn open(
        door: &Self::Door,
    ) -> impl Future<Output = Result<(Self::Connection, ServerIdentity), OriginError>> + Send;
}

/// Connections that are opened when needed, up to a limit.
pub(super) struct ConnectionPool<DB: Identify> {
    door: DB::Door,
    newest: Arc<Newest>,
    limit: usize,
    slots: Arc<Semaphore>,
    shelf: Mutex<IdleConnections<DB>>,
}

/// The connections of a pool that are not in use.
struct IdleConnections<DB: Identify> {
    /// The most recently used one is last.
    idle: Vec<Idle<DB>>,
    /// When a connection was last found silent: those that were idle already are pinged before use.
    suspected: Option<Instant>,
    /// Connections that were opened before this lead to a server that is not wanted any more.
    renewed: Option<Instant>,
}

struct Idle<DB: Identify> {
    connection: DB::Connection,
    said: KnownIdentity,
    opened: Instant,
    since: Instant,
}

/// A connection in use; dropping it closes the connection.
pub(super) struct PooledConnection<DB: Identify> {
    // Declared before the slot, so that it is closed when the slot becomes free.
    connection: DB::Connection,
    pool: Arc<ConnectionPool<DB>>,
    said: KnownIdentity,
    opened: Instant,
    is_reused: bool,
    _slot: OwnedSemaphorePermit,
}

impl<DB: Identify> ConnectionPool<DB> {
    /// An empty pool. Connects to nothing. All pools of one database share one `newest`.
    pub(super) fn new(door: DB::Door, limit: u32, newest: &Arc<Newest>) -> Arc<Self> {
        let limit = usize::try_from(limit).unwrap_or(Semaphore::MAX_PERMITS).max(1);
        let slots = Arc::new(Semaphore::new(limit));
        let shelf =
            Mutex::new(IdleConnections { idle: Vec::new(), suspected: None, renewed: None });
        Arc::new(Self { door, newest: Arc::clone(newest), limit, slots, shelf })
    }

    /// An idle connection that lives, or a new one.
    ///
    /// # Errors
    /// `Unavailable` if no connection became free, or none could be opened, in time.
    pub(super) async fn lease(
        self: &Arc<Self>,
        within: Duration,
    ) -> Result<PooledConnection<DB>, OriginError> {
        let end = Instant::now() + within;
        let slot = match timeout(within, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(Ok(slot)) => slot,
            Ok(Err(_)) | Err(_) => {
                let message = format!("all {} connections are in use", self.limit);
                return Err(OriginError::Unavailable(message));
            }
        };
        let pool = Arc::clone(self);
        if let Some(Idle { connection, said, opened, .. }) = self.idle(end).await {
            return Ok(PooledConnection {
                connection,
                pool,
                said,
                opened,
                is_reused: true,
                _slot: slot,
            });
        }
        let Ok(opened) = timeout(end - Instant::now(), self.open()).await else {
            let message = format!("no connection within {within:?}");
            return Err(OriginError::Unavailable(message));
        };
        let (connection, said) = opened?;
        let opened = Instant::now();
        Ok(PooledConnection { connection, pool, said, opened, is_reused: false, _slot: slot })
    }

    async fn open(&self) -> Result<(DB::Connection, KnownIdentity), OriginError> {
        let place = DB::place(&self.door);
        let asked = Instant::now();
        let (connection, server) = DB::open(&self.door).await?;
        if place.is_some() && place != server.identity {
            let message = "the file was replaced while it was opened".to_owned();
            return Err(OriginError::Unavailable(message));
        }
        self.newest.hear(server, asked);
        Ok((connection, KnownIdentity { server, asked }))
    }

    /// Replaces the connection that was idle longest with a new one, which says where the address
    /// leads now: open connections can't tell that.
    ///
    /// # Errors
    /// As [`ConnectionPool::lease`]. A failure says nothing of the open connections.
    pub(super) async fn look(self: &Arc<Self>, within: Duration) -> Result<(), OriginError> {
        let late = |_elapsed| OriginError::Unavailable(format!("no connection within {within:?}"));
        let looking = async {
            let slot = Arc::clone(&self.slots).acquire_owned().await;
            let slot = slot.map_err(|closed| OriginError::Unavailable(closed.to_string()))?;
            let (connection, said) = self.open().await?;
            let (opened, pool) = (Instant::now(), Arc::clone(self));
            let resting = {
                let mut shelf = self.shelf();
                (!shelf.idle.is_empty()).then(|| shelf.idle.remove(0))
            };
            drop(resting);
            PooledConnection { connection, pool, said, opened, is_reused: false, _slot: slot }
                .give_back();
            Ok(())
        };
        timeout(within, looking).await.map_err(late)?
    }

    /// An idle connection that lives. If the first one does not answer, the others are closed
    /// untried: they have most likely died with it.
    async fn idle(&self, end: Instant) -> Option<Idle<DB>> {
        let (mut idle, is_suspect) = self.take_idle()?;
        if !is_suspect {
            return Some(idle);
        }
        let limit = CHECK_LIMIT.min((end - Instant::now()) / CHECK_PART);
        if let Ok(Ok(())) = timeout(limit, idle.connection.ping()).await {
            return Some(idle);
        }
        self.forget_idle();
        None
    }

    /// Closes all idle connections, because one was found dead: a server that restarted has killed
    /// them all.
    pub(super) fn forget_idle(&self) {
        self.shelf().idle.clear();
    }

    /// Has the connections that are idle now pinged before use, because another one was silent.
    pub(super) fn suspect_idle(&self) {
        self.shelf().suspected = Some(Instant::now());
    }

    /// Retires the connections that were opened before now: they lead to a server that is not
    /// wanted any more.
    pub(super) fn renew(&self) {
        let mut shelf = self.shelf();
        shelf.renewed = Some(Instant::now());
        shelf.idle.clear();
    }

    /// The most recently used connection, and whether it may have died.
    fn take_idle(&self) -> Option<(Idle<DB>, bool)> {
        let (place, newest) = (DB::place(&self.door), self.newest.server());
        let mut shelf = self.shelf();
        shelf.idle.retain(|idle| {
            let KnownIdentity { server, .. } = &idle.said;
            let is_there = place.is_none() || place == server.identity;
            is_there && server.is_wanted_beside(&newest) && idle.since.elapsed() < IDLE_LIMIT
        });
        let idle = shelf.idle.pop()?;
        let is_suspect = shelf.suspected.is_some_and(|suspected| idle.since <= suspected);
        let is_suspect = is_suspect || idle.since.elapsed() >= REST_LIMIT;
        Some((idle, is_suspect))
    }

    fn shelf(&self) -> MutexGuard<'_, IdleConnections<DB>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<DB: Identify> PooledConnection<DB> {
    pub(super) fn connection(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }

    /// Whether it was idle before, and so may have died unnoticed.
    pub(super) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// The pool it is from.
    pub(super) fn pool(&self) -> &ConnectionPool<DB> {
        &self.pool
    }

    /// The database that the connection named last.
    pub(super) fn identity(&self) -> Option<OriginIdentity> {
        self.said.server.identity
    }

    /// When the connection was last asked for its database.
    pub(super) fn asked(&self) -> Instant {
        self.said.asked
    }

    /// Notes what the connection said when it was asked again at `asked`. If the answer is another
    /// one than before, a pooler has given the connection another server.
    pub(super) fn hear(&mut self, identity: Option<OriginIdentity>, asked: Instant) {
        let before = self.said.server;
        let server = ServerIdentity { identity, ..before };
        self.said = KnownIdentity { server, asked };
        if before != server {
            self.pool.newest.hear(server, asked);
        }
    }

    /// Closes the connection and waits for that.
    #[cfg(feature = "sqlite")]
    pub(super) async fn close(self) {
        // A connection that can't be closed in good order is closed all the same.
        let _ = self.connection.close().await;
    }

    /// Puts the connection back among the idle ones. It must be ready for a next statement.
    pub(super) fn give_back(self) {
        let Self { connection, pool, said, opened, .. } = self;
        let mut shelf = pool.shelf();
        let is_wanted = shelf.renewed.is_none_or(|renewed| opened > renewed);
        if is_wanted
            && opened.elapsed() < AGE_LIMIT
            && said.server.is_wanted_beside(&pool.newest.server())
        {
            shelf.idle.push(Idle { connection, said, opened, since: Instant::now() });
        }
    }
}
