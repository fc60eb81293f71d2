//! One host's way to the simulated origin: loads, and transactions that commit, fail or end in
//! doubt.

mod commit;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use corral_host::cache::Loader;
use corral_host::origin::{
    Changes, Fetched, Footprint, Origin, OriginError, OriginIdentity, Prepared, ReadStatement,
    Uncommitted, Value, WriteStatement, Xid,
};
use tokio::time::{Instant, sleep, timeout};

use super::history::{Event, RequestId};
use super::protection::Protection;
use super::truth::{Change, Labelled, Subject};
use super::weather::Way;
use super::world::World;
use commit::{IDLE_LIMIT, Id, Open, locked};

/// Longest time of each way of a question about a transaction: a look into the catalogue, over a
/// connection that loads do not use.
const QUESTION: Duration = Duration::from_millis(150);

/// How long a commit lasts, for a host that guesses instead of waiting for its end.
const GUESS: Duration = Duration::from_secs(1);

/// A host's way to the origin (its lane). It ends with its host.
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

    /// One way of an exchange with the origin that carries rows.
    async fn leg(&self, deadline: Duration) -> Result<(), OriginError> {
        self.leg_of(self.world.climate.slow_load, deadline).await
    }

    /// One way of an exchange, which takes at most `slow` while the origin is not disturbed.
    async fn leg_of(&self, slow: Duration, deadline: Duration) -> Result<(), OriginError> {
        self.thawed().await;
        let world = &self.world;
        let slow = u64::try_from(slow.as_millis()).unwrap_or(0);
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
        self.thawed().await;
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
    /// Whether the load belongs to a flight, of which there must be one at a time.
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
        columns: &[String],
        deadline: Duration,
    ) -> Result<Fetched, OriginError> {
        let _running = Running::begin(self);
        let Self { lane, subject, .. } = self;
        let world = &lane.world;
        let failed = |_: &OriginError| world.note_failure(lane.host);
        lane.leg(deadline).await.inspect_err(failed)?;
        let body = world.truth().read(*subject, world.now_ms());
        world.remark(|| format!("origin: host {} reads {subject}: {body:?}", lane.host));
        lane.leg(deadline).await.inspect_err(failed)?;
        let row = |team: u8| columns.iter().map(|_| Some(team.to_string())).collect();
        let rows = body.map(|body| row(body.team)).into_iter().collect();
        Ok(Fetched {
            body: body.map(|body| Labelled::encode(*subject, body)),
            rows,
            ..Fetched::default()
        })
    }
}

/// The origin for one write.
pub(super) struct Writing {
    pub(super) lane: Arc<Lane>,
    pub(super) change: Change,
    pub(super) request: RequestId,
}

impl Lane {
    /// Waits until the host is not frozen, since a frozen host sends and reads nothing.
    async fn thawed(&self) {
        if self.world.climate.pauses {
            self.world.pauses.over(self.host).await;
        }
    }

    async fn ask_ended(&self, xid: Xid) -> Result<bool, OriginError> {
        let slow = QUESTION.min(self.world.climate.slow_load);
        self.leg_of(slow, Duration::from_secs(1)).await?;
        let guess = self.world.lacks(Protection::DoubtWaits).then_some(GUESS);
        let is_running =
            self.world.truth().transactions().is_running(xid.number, IDLE_LIMIT, guess);
        self.leg_of(slow, Duration::from_secs(1)).await?;
        Ok(!is_running)
    }
}

/// The columns that a write returns: the team of its row, and the team before the write.
fn returned(world: &World, change: Change, columns: &[String]) -> Vec<Vec<Option<String>>> {
    let Change::Rename(_) = change else {
        let before = world.truth().team(change.number());
        let after = match change {
            Change::Move(_, team) => team,
            Change::Put(_)
            | Change::Through(_)
            | Change::Delete(_)
            | Change::Rename(_)
            | Change::Behind(_) => before,
        };
        let column = |name: &String| if name.starts_with("old.") { before } else { after };
        return vec![columns.iter().map(|name| Some(column(name).to_string())).collect()];
    };
    Vec::new()
}

/// The origin for a host's questions about transactions.
#[async_trait]
impl Origin for Lane {
    async fn load(
        &self,
        _read: &ReadStatement,
        _values: &[Value],
        _columns: &[String],
        _deadline: Duration,
    ) -> Result<Fetched, OriginError> {
        Err(OriginError::Unavailable("rows are read by their loaders".into()))
    }

    async fn query(
        &self,
        _read: &ReadStatement,
        _values: &[Value],
        _deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError> {
        Err(OriginError::Unavailable("rows are read by their loaders".into()))
    }

    async fn execute(
        &self,
        _write: &WriteStatement,
        _values: &[Value],
        _columns: &[String],
        _deadline: Duration,
    ) -> Result<Uncommitted, OriginError> {
        Err(OriginError::Unavailable("a write has an origin of its own".into()))
    }

    async fn has_ended(&self, xid: Xid) -> Result<bool, OriginError> {
        self.ask_ended(xid).await
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

    async fn identity(&self) -> Result<OriginIdentity, OriginError> {
        Err(OriginError::Unavailable("it does not tell its identity".into()))
    }

    fn last_identity(&self) -> Option<OriginIdentity> {
        None
    }

    async fn ping(&self) -> Result<(), OriginError> {
        Ok(())
    }

    fn kind(&self) -> &'static str {
        "simulated"
    }
}

#[async_trait]
impl Origin for Writing {
    async fn load(
        &self,
        read: &ReadStatement,
        values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Fetched, OriginError> {
        self.lane.load(read, values, columns, deadline).await
    }

    async fn query(
        &self,
        read: &ReadStatement,
        values: &[Value],
        deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError> {
        self.lane.query(read, values, deadline).await
    }

    async fn execute(
        &self,
        _write: &WriteStatement,
        _values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Uncommitted, OriginError> {
        self.lane.leg(deadline).await?;
        let (lane, change, request) = (Arc::clone(&self.lane), self.change, self.request);
        let world = Arc::clone(&lane.world);
        let xid = timeout(deadline, locked(&world, change.subject())).await;
        let xid = xid.map_err(|_| OriginError::Timeout(deadline))?;
        let id = Id { world: Arc::clone(&world), xid };
        let returned = returned(&world, change, columns);
        Ok(Uncommitted {
            rows: 1,
            returned,
            missing: vec![],
            xid: (!world.climate.anonymous).then_some(Xid::from(xid)),
            transaction: Box::new(Open { lane, change, request, idle_since: Instant::now(), id }),
        })
    }

    async fn has_ended(&self, xid: Xid) -> Result<bool, OriginError> {
        self.lane.ask_ended(xid).await
    }

    async fn prepare_read(&self, read: &ReadStatement) -> Result<Prepared, OriginError> {
        self.lane.prepare_read(read).await
    }

    async fn prepare_write(&self, write: &WriteStatement) -> Result<Prepared, OriginError> {
        self.lane.prepare_write(write).await
    }

    async fn reads_from(&self, _read: &ReadStatement) -> Result<Footprint, OriginError> {
        Ok(Footprint::default())
    }

    async fn changes(&self, _write: &WriteStatement) -> Result<Changes, OriginError> {
        Ok(Changes::default())
    }

    async fn identity(&self) -> Result<OriginIdentity, OriginError> {
        Err(OriginError::Unavailable("it does not tell its identity".into()))
    }

    fn last_identity(&self) -> Option<OriginIdentity> {
        None
    }

    async fn ping(&self) -> Result<(), OriginError> {
        Ok(())
    }

    fn kind(&self) -> &'static str {
        "simulated"
    }
}
