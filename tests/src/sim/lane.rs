//! One host's way to the simulated origin: loads, and transactions that commit, fail or end in doubt.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use corral_host::cache::Loader;
use corral_host::origin::{
    Changes, CommitError, Footprint, Origin, OriginError, OriginIdentity, Prepared, ReadStatement,
    Transaction, Value, WriteStatement, Written, Xid,
};
use tokio::time::{Instant, sleep};

use super::history::{Event, RequestId};
use super::truth::{Change, Subject};
use super::weather::Way;
use super::world::World;

/// A transaction that is idle for longer is ended by the database.
const IDLE_LIMIT: Duration = Duration::from_secs(1);

/// A commit in doubt is decided within this.
const DOUBT: u64 = 1_500;

/// There is one origin, always the same.
const IDENTITY: OriginIdentity = OriginIdentity { database: [1; 16], timeline: 1 };

/// A host's way to the origin. It ends with its host.
pub(super) struct Lane {
    world: Arc<World>,
    host: usize,
    dead: AtomicBool,
    running: Mutex<BTreeMap<Subject, usize>>,
}

impl Lane {
    pub(super) fn new(world: &Arc<World>, host: usize) -> Self {
        let dead = AtomicBool::new(false);
        Self { world: Arc::clone(world), host, dead, running: Mutex::default() }
    }

    pub(super) fn cut(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    fn is_cut(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// One way of an exchange with the origin.
    async fn leg(&self, deadline: Duration) -> Result<(), OriginError> {
        let world = &self.world;
        let slow = u64::try_from(world.climate.slow_load.as_millis()).unwrap_or(0);
        let way = world.weather().origin;
        match way {
            Way::Open => sleep(world.chance.millis(0, slow)).await,
            Way::Slow(more) => sleep(world.chance.millis(0, slow) + more).await,
            Way::Refuses => return Err(OriginError::Unavailable("refused".into())),
            Way::Frozen => {
                sleep(deadline).await;
                return Err(OriginError::Timeout(deadline));
            }
        }
        if self.is_cut() { std::future::pending().await } else { Ok(()) }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Subject, usize>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How one subject is loaded.
pub(super) struct RowLoader {
    pub(super) lane: Arc<Lane>,
    pub(super) subject: Subject,
    /// For a flight: of these there must be one at a time.
    pub(super) counted: bool,
}

/// Counts a load for as long as it lasts.
struct Running<'a>(&'a RowLoader);

impl<'a> Running<'a> {
    fn begin(loader: &'a RowLoader) -> Self {
        let RowLoader { lane, subject, counted } = loader;
        let others = {
            let mut running = lane.running();
            let count = running.entry(*subject).or_default();
            *count += usize::from(*counted);
            *count - usize::from(*counted)
        };
        if *counted && others > 0 {
            lane.world.note(Event::LoadedTwiceAtOnce { host: lane.host, subject: *subject });
        }
        Self(loader)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.0.lane.running().get_mut(&self.0.subject) {
            *count -= usize::from(self.0.counted);
        }
    }
}

#[async_trait]
impl Loader for RowLoader {
    async fn load(
        &self,
        _values: &[Value],
        deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError> {
        let _running = Running::begin(self);
        let Self { lane, subject, .. } = self;
        let world = &lane.world;
        lane.leg(deadline).await?;
        let body = world.truth().read(*subject, world.now_ms());
        world.remark(|| format!("origin: host {} reads {subject}: {body:?}", lane.host));
        lane.leg(deadline).await?;
        Ok(body.map(|body| body.encode()))
    }
}

/// The origin as one write meets it.
pub(super) struct Writing {
    pub(super) lane: Arc<Lane>,
    pub(super) change: Change,
    pub(super) request: RequestId,
}

struct Open {
    lane: Arc<Lane>,
    change: Change,
    request: RequestId,
    idle_since: Instant,
}

#[async_trait]
impl Transaction for Open {
    async fn commit(self: Box<Self>) -> Result<(), CommitError> {
        let Self { lane, change, request, idle_since } = *self;
        let world = Arc::clone(&lane.world);
        let commit = {
            let world = Arc::clone(&world);
            move || {
                let (subject, mut truth) = (change.subject(), world.truth());
                let version = truth.commit(change);
                let there = truth.read(subject, 0).is_some();
                drop(truth);
                world.note(Event::Committed { request, subject, version, there });
            }
        };
        if world.climate.origin_faults && world.chance.percent(10) {
            if world.chance.percent(50) {
                let after = world.chance.millis(0, DOUBT);
                tokio::spawn(async move {
                    sleep(after).await;
                    commit();
                });
            }
            sleep(world.chance.millis(0, 20)).await;
            let broke = OriginError::Unavailable("the connection broke".into());
            return Err(CommitError::InDoubt(broke));
        }
        sleep(world.chance.millis(0, 5)).await;
        if lane.is_cut() && world.chance.percent(50) {
            return std::future::pending().await;
        }
        if idle_since.elapsed() > IDLE_LIMIT {
            let message = "the transaction was idle for too long".to_owned();
            let ended = OriginError::Rejected { code: "25P03".into(), message };
            return Err(CommitError::InDoubt(ended));
        }
        commit();
        sleep(world.chance.millis(0, 5)).await;
        if lane.is_cut() { std::future::pending().await } else { Ok(()) }
    }
}

#[async_trait]
impl Origin for Writing {
    async fn load(
        &self,
        _read: &ReadStatement,
        _values: &[Value],
        _deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError> {
        Err(OriginError::Unavailable("rows are read by their loaders".into()))
    }

    async fn query(
        &self,
        read: &ReadStatement,
        values: &[Value],
        deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError> {
        self.load(read, values, deadline).await
    }

    async fn execute(
        &self,
        _write: &WriteStatement,
        _values: &[Value],
        deadline: Duration,
    ) -> Result<Written, OriginError> {
        self.lane.leg(deadline).await?;
        let (lane, change, request) = (Arc::clone(&self.lane), self.change, self.request);
        let transaction = Open { lane, change, request, idle_since: Instant::now() };
        Ok(Written { rows: 1, returned: vec![], xid: None, transaction: Box::new(transaction) })
    }

    async fn prepare_read(&self, _read: &ReadStatement) -> Result<Prepared, OriginError> {
        Ok(Prepared::default())
    }

    async fn prepare_write(&self, _write: &WriteStatement) -> Result<Prepared, OriginError> {
        Ok(Prepared::default())
    }

    async fn reads_from(&self, _read: &ReadStatement) -> Result<Footprint, OriginError> {
        Ok(Footprint::default())
    }

    async fn changes(&self, _write: &WriteStatement) -> Result<Changes, OriginError> {
        Ok(Changes::default())
    }

    async fn ping(&self) -> Result<(), OriginError> {
        Ok(())
    }

    async fn has_ended(&self, _xid: Xid) -> Result<bool, OriginError> {
        Ok(true)
    }

    async fn identity(&self) -> Result<OriginIdentity, OriginError> {
        Ok(IDENTITY)
    }

    fn last_identity(&self) -> Option<OriginIdentity> {
        Some(IDENTITY)
    }

    fn kind(&self) -> &'static str {
        "simulated"
    }
}
