//! A write: executed → named → announced → committed, or in doubt. Each phase is a type of its own, so that
//! no step can be left out.
//!
//! What a write touches is decided before it commits: a policy that can't say it makes the write fail, and
//! can't make the cache lie. From the commit on nothing can fail: what the store does not take now is owed,
//! and paid before the store is trusted again.

mod doubt;
mod intents;
mod phases;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::origin::{Origin, OriginError, Value, WriteStatement};
use crate::policy::run::guard;
use crate::policy::{Argument, Generation, Named, Request};
use crate::store::{IntentTarget, StoreKey, StoreTag};

use super::flight::Flight;
use super::{Cache, CacheRead, Definition};
use phases::{Announced, Ended, Executed};

/// The first pause before a write is tried again: about the time of a short transaction.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Finds the read that a policy named; `None` if it can't be read by name.
pub type Resolve = Arc<dyn Fn(Request) -> Option<CacheRead> + Send + Sync>;

/// A write with everything it needs.
pub struct WriteCall {
    /// The definition of the entity.
    pub definition: Arc<Definition>,
    /// The entity's name.
    pub entity: String,
    /// The write's name.
    pub write: String,
    /// The write's arguments, as canonical texts.
    pub arguments: Vec<Argument>,
    /// The statement.
    pub statement: Arc<WriteStatement>,
    /// The values of `$1`, `$2`, ….
    pub values: Vec<Value>,
    /// The columns that the write's touches need.
    pub needs: Vec<String>,
    /// The origin where the statement runs.
    pub origin: Arc<dyn Origin>,
    /// How long the write may take.
    pub deadline: Duration,
    /// For write-through: finds the read to load again.
    pub resolve: Resolve,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Wrote {
    /// Rows that the statement changed.
    pub rows: u64,
    /// What happened to the values that the write touched.
    pub cache: CacheEffect,
}

/// What happened to the values that a write touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheEffect {
    /// They are gone from the store, or replaced there by newer ones.
    Invalidated,
    /// They were loaded again and stored.
    Refreshed,
    /// The store can't be reached or is not trusted; it is not trusted again before the values are gone.
    Pending,
}

/// How far an invalidation got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalidated {
    /// It is carried out; the number of names that had something to remove.
    Done(u64),
    /// The store can't be reached: the invalidation is owed, and paid before the store is trusted again.
    Pending,
}

/// Why a write did not happen, or may not have happened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The origin's own words; nothing was written.
    #[error(transparent)]
    Origin(OriginError),
    /// The commit was sent and its outcome was not known by the deadline. What the write touches is
    /// invalidated once its transaction has ended.
    #[error("it is unknown whether the write was committed: {0}")]
    Unknown(OriginError),
    /// The policy could not say what the write touches; nothing was written.
    #[error("the policy could not say what the write touches")]
    Undecided,
    /// The write changes more than can be invalidated at once; nothing was written.
    #[error("{0}")]
    TooMuch(TooMuch),
    /// The statement does not return a column that the write's touches need; nothing was written.
    #[error("the touches of this write need the column {0:?}, which its statement does not return")]
    Column(String),
    /// More invalidations are owed than can be kept; nothing was written.
    #[error("too many invalidations wait for the store")]
    Overloaded,
    /// The write's task ended early.
    #[error("the write was interrupted")]
    Interrupted,
}

/// What a write has too much of. The policy is not at fault: the write's statement decides how many rows
/// change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// Its rows touch more than [`guard::TARGETS_LIMIT`] keys and tags.
    #[error("its {rows} rows touch more than {} keys and tags", guard::TARGETS_LIMIT)]
    Targets {
        /// Rows that it changes.
        rows: u64,
    },
    /// The policy can't name what so many rows touch while their transaction is open.
    #[error("naming what its {rows} rows touch takes longer than {within:?}")]
    Time {
        /// Rows that it changes.
        rows: u64,
        /// The time that the policy had.
        within: Duration,
    },
    /// A row is larger than what a policy is asked about.
    #[error("one of its rows has more than {limit} bytes in the columns that its touches need")]
    Row {
        /// The limit.
        limit: usize,
    },
}

/// What an explicit invalidation names.
#[derive(Debug, Clone, Default)]
pub struct Invalidation {
    /// Keys as the policy named them.
    pub keys: Vec<StoreKey>,
    /// Tags.
    pub tags: Vec<StoreTag>,
    /// Reads, named under every naming that is in use.
    pub reads: Vec<Request>,
}

/// A read that write-through loads and fills at once, as the generation in force named it.
struct Refill {
    generation: Arc<Generation>,
    request: Request,
    plan: Arc<Named>,
}

impl Cache {
    /// Runs a write to its end, even if the caller goes away.
    ///
    /// # Errors
    /// [`WriteError`]; every variant but `Unknown` and `Interrupted` means that nothing was written.
    pub async fn write(self: &Arc<Self>, call: WriteCall) -> Result<Wrote, WriteError> {
        let (cache, unfinished) = (Arc::clone(self), self.begin());
        let write = tokio::spawn(async move {
            let wrote = cache.write_to_its_end(call).await;
            drop(unfinished);
            wrote
        });
        write.await.unwrap_or(Err(WriteError::Interrupted))
    }

    /// Runs a write, and notes how it ended.
    async fn write_to_its_end(self: Arc<Self>, call: WriteCall) -> Result<Wrote, WriteError> {
        let wrote = self.write_again_and_again(&call).await;
        match &wrote {
            Ok(_) => self.failings.wrote(&call.entity, &call.write),
            Err(error) => {
                tracing::debug!(entity = call.entity, write = call.write, %error, "a write failed");
                self.failings.write_failed(&call.entity, &call.write, error);
            }
        }
        wrote
    }

    /// Tries a write that the database rolled back again, after pauses that double, by the deadline.
    async fn write_again_and_again(
        self: &Arc<Self>,
        call: &WriteCall,
    ) -> Result<Wrote, WriteError> {
        let deadline = Instant::now() + call.deadline;
        let mut pause = FIRST_PAUSE;
        loop {
            // The database said that it rolled the transaction back, so nothing is done twice.
            match self.try_write(call, deadline).await {
                Err(WriteError::Origin(OriginError::Undone { .. }))
                    if Instant::now() + pause < deadline =>
                {
                    tokio::time::sleep(self.part_of(pause)).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
    }

    /// A random time between half of a pause and all of it, so that transactions which conflicted do not meet
    /// again.
    fn part_of(&self, pause: Duration) -> Duration {
        let chance = (self.entropy.bits() & 0xffff) as u32;
        pause / 2 + pause / 2 * chance / 0xffff
    }

    async fn try_write(
        self: &Arc<Self>,
        call: &WriteCall,
        deadline: Instant,
    ) -> Result<Wrote, WriteError> {
        if !self.debt.has_room_for(1) {
            return Err(WriteError::Overloaded);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let executed = Executed::execute(call, left).await?;
        let rows = executed.rows();
        let announced: Announced = executed.name(self, call).await?.announce(self).await;
        let refills = match announced.commit().await? {
            Ended::Committed(committed) => committed.invalidate(self).await,
            Ended::InDoubt(doubt) => doubt.settle(self, call, deadline).await?,
        };
        let Some(refills) = refills else {
            return Ok(Wrote { rows, cache: CacheEffect::Pending });
        };
        let mut filled = !refills.is_empty();
        for Refill { generation, request, plan } in refills {
            filled &= match (call.resolve)(request) {
                Some(read) if !read.definition.varies() => {
                    self.refill(generation, read, plan).await
                }
                Some(_) | None => false,
            };
        }
        let cache = if filled { CacheEffect::Refreshed } else { CacheEffect::Invalidated };
        Ok(Wrote { rows, cache })
    }

    /// Invalidates what an operator or another service names. Returns how many names had something to remove,
    /// or `Pending`.
    ///
    /// # Errors
    /// [`WriteError::Undecided`] when a read can't be named, [`WriteError::Overloaded`] when more is owed
    /// than can be kept; then nothing was invalidated.
    pub async fn invalidate(
        self: &Arc<Self>,
        invalidation: Invalidation,
    ) -> Result<Invalidated, WriteError> {
        let Invalidation { keys, tags, reads } = invalidation;
        let mut targets: Vec<IntentTarget> = keys.into_iter().map(IntentTarget::Key).collect();
        targets.extend(tags.into_iter().map(IntentTarget::Tag));
        for request in reads {
            phases::plan(&self.slot.current(), &request)?;
            targets.extend(super::namings::target(request));
        }
        if !self.debt.has_room_for(targets.len()) {
            return Err(WriteError::Overloaded);
        }
        let (cache, unfinished) = (Arc::clone(self), self.begin());
        let invalidated = tokio::spawn(async move {
            let invalidated = cache.carry_out(targets).await;
            drop(unfinished);
            invalidated
        });
        invalidated.await.map_err(|_ended| WriteError::Interrupted)
    }

    /// Makes every value of the deployment untrue; returns once every host has learned it.
    pub async fn flush(self: &Arc<Self>) -> Invalidated {
        let (cache, unfinished) = (Arc::clone(self), self.begin());
        let flushed = tokio::spawn(async move {
            let flushed = cache.raise_everything().await;
            drop(unfinished);
            flushed
        });
        flushed.await.unwrap_or(Invalidated::Pending)
    }

    /// Invalidates targets, or owes them if that fails. Never fails and never forgets; to be called from a
    /// task that its caller can't cancel.
    pub(super) async fn carry_out(&self, targets: Vec<IntentTarget>) -> Invalidated {
        if targets.is_empty() {
            return Invalidated::Done(0);
        }
        match self.remove_all(&targets).await {
            Ok(removed) => Invalidated::Done(removed),
            Err(incomplete) => {
                self.debt.add(targets, &incomplete.concern);
                self.distrust(&incomplete.concern, &incomplete.error);
                Invalidated::Pending
            }
        }
    }

    /// Write-through: takes the lease over, reads the row back, fills; whether the value was stored. A later
    /// writer takes this lease over, so that this fill is rejected and the later value stands (race E).
    async fn refill(
        self: &Arc<Self>,
        generation: Arc<Generation>,
        read: CacheRead,
        plan: Arc<Named>,
    ) -> bool {
        let (cache, read) = (Arc::clone(self), Arc::new(read));
        let mut flight = Flight::new(cache, read, generation, plan, Instant::now());
        // In a task of its own: the write has committed and must be answered even if a loader panics.
        let refill = tokio::spawn(async move { flight.write_through().await });
        refill.await.unwrap_or(false)
    }
}
