//! Transactions of the simulated origin: how they lock rows, commit, fail and end in doubt.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use corral_host::origin::{CommitError, OriginError, Transaction};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::Lane;
use crate::sim::history::{Event, RequestId};
use crate::sim::truth::{Change, Changed, Subject};
use crate::sim::world::World;

/// The database ends a transaction that is idle for longer.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(1);

/// The outcome of a commit in doubt is decided within this time, if commits are not slow.
const DOUBT: Duration = Duration::from_millis(1_500);

/// How long a client waits for the answer to a commit.
const COMMIT_LIMIT: Duration = Duration::from_secs(10);

/// If hosts die, a host dies in so many of a hundred commits, before it learns the outcome.
const DIES: u32 = 2;

/// The same for commits that last longer than [`LONG`].
const DIES_OF_LONG: u32 = 25;
const LONG: Duration = Duration::from_secs(1);

/// How often a write that waits for a locked row looks again.
const LOCKED: Duration = Duration::from_millis(2);

/// An open transaction.
pub(super) struct Open {
    pub(super) lane: Arc<Lane>,
    pub(super) change: Change,
    pub(super) request: RequestId,
    pub(super) idle_since: Instant,
    pub(super) id: Id,
}

/// A transaction that ends when this is dropped.
pub(super) struct Id {
    pub(super) world: Arc<World>,
    pub(super) xid: u64,
}

impl Drop for Id {
    fn drop(&mut self) {
        self.world.truth().transactions().end(self.xid);
    }
}

/// How a commit goes.
#[derive(Debug, Clone, Copy)]
struct Fate {
    /// The time that it takes beyond the usual.
    lasts: Duration,
    commits: bool,
    /// Whether the connection breaks meanwhile.
    breaks: bool,
}

impl Open {
    fn fate(&self) -> Fate {
        let world = &self.lane.world;
        let climate = &world.climate;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(0);
        let in_doubt = climate.origin_faults && !climate.anonymous && world.chance.percent(10);
        let is_slow = !climate.slow_commit.is_zero() && world.chance.percent(climate.slow_commits);
        let longest = if is_slow { climate.slow_commit } else { DOUBT };
        let longest = if climate.anonymous { longest.min(COMMIT_LIMIT / 2) } else { longest };
        match (in_doubt, is_slow) {
            (false, false) => Fate { lasts: Duration::ZERO, commits: true, breaks: false },
            (breaks, _) => Fate {
                lasts: world.chance.millis(0, millis(longest)),
                commits: !breaks || world.chance.percent(50),
                breaks,
            },
        }
    }
}

/// Notes what a commit changed.
fn commit(world: &World, request: RequestId, change: Change) {
    let changed = world.truth().commit(change);
    for Changed { subject, version, there } in changed {
        world.note(Event::Committed { request, subject, version, there });
    }
}

#[async_trait]
impl Transaction for Open {
    async fn commit(self: Box<Self>) -> Result<(), CommitError> {
        let fate = self.fate();
        let Self { lane, change, request, idle_since, id } = *self;
        let world = Arc::clone(&lane.world);
        lane.thawed().await;
        sleep(world.chance.millis(0, 5)).await;
        if lane.is_cut() && world.chance.percent(50) {
            return std::future::pending().await;
        }
        if idle_since.elapsed() > IDLE_LIMIT {
            let message = "the transaction was idle for too long".to_owned();
            let idle = OriginError::Rejected { code: "25P03".into(), message };
            return Err(CommitError::RolledBack(idle));
        }
        world.truth().transactions().send(id.xid);
        let (tell, mut told) = oneshot::channel();
        let database = Arc::clone(&lane);
        // The database goes on even if its client waits no longer.
        tokio::spawn(async move {
            sleep(fate.lasts).await;
            // A transaction without an id belongs to a database in the host's own process.
            let died = id.world.climate.anonymous && database.is_cut();
            if fate.commits && !died {
                commit(&id.world, request, change);
                let dies = if fate.lasts > LONG { DIES_OF_LONG } else { DIES };
                if id.world.climate.crashes && id.world.chance.percent(dies) {
                    id.world.doom(database.host);
                }
            }
            drop(id);
            let _gone = tell.send(());
        });
        let doubt = |why: &str| Err(CommitError::InDoubt(OriginError::Unavailable(why.into())));
        let answered = tokio::select! {
            biased;
            () = sleep(world.chance.millis(0, 20)), if fate.breaks => doubt("the connection broke"),
            _ = &mut told => Ok(()),
            () = sleep(COMMIT_LIMIT) => doubt("no answer"),
        };
        sleep(world.chance.millis(0, 5)).await;
        lane.thawed().await;
        if lane.is_cut() { std::future::pending().await } else { answered }
    }
}

/// Begins a transaction as soon as no other transaction has the row locked.
pub(super) async fn locked(world: &World, row: Subject) -> u64 {
    loop {
        let xid = world.truth().transactions().begin(row, IDLE_LIMIT);
        match xid {
            Some(xid) => return xid,
            None => sleep(LOCKED).await,
        }
    }
}
