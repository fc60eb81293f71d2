//! A write: executed → named → announced → committed, or in doubt; a type each, so that no step can be
//! left out.
//!
//! What a write touches is decided before it commits, so that a policy that can't say it costs the
//! write, never the truth of the cache. From the commit on nothing can fail: what the store does
//! not take now is owed, and paid before the store is trusted again.

mod doubt;
mod intents;
mod phases;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::origin::{Origin, OriginError, Value, WriteStatement};
use crate::policy::run::guard;
use crate::policy::{Argument, Generation, Named, Request};
use crate::store::{Key, Tag, Target};

use super::flight::Flight;
use super::{Cache, Definition, Read};
use phases::{Announced, Ended, Executed};

/// Before a write is tried again: about what a short transaction takes.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Finds the read that a policy named; `None` for what can't be read by name.
pub type Resolve = Arc<dyn Fn(Request) -> Option<Read> + Send + Sync>;

/// A write with everything it needs.
pub struct WriteCall {
    /// The definition of the entity.
    pub definition: Arc<Definition>,
    /// The entity and the write, by name.
    pub entity: String,
    /// The write's name.
    pub write: String,
    /// Its arguments, canonical.
    pub arguments: Vec<Argument>,
    /// What runs.
    pub statement: Arc<WriteStatement>,
    /// `$1`, `$2`, ….
    pub values: Vec<Value>,
    /// The columns that its touches need.
    pub needs: Vec<String>,
    /// Where it runs.
    pub origin: Arc<dyn Origin>,
    /// The statement's time.
    pub deadline: Duration,
    /// For write-through: how a touched read is loaded.
    pub resolve: Resolve,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Wrote {
    /// Rows that the statement changed.
    pub rows: u64,
    /// What happened to the values that it touched.
    pub cache: CacheEffect,
}

/// What happened to the values that a write touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheEffect {
    /// Gone from the store, or replaced there by something newer.
    Invalidated,
    /// Loaded again and stored.
    Refreshed,
    /// The store can't be reached or is not trusted; it will not be trusted again before they are gone.
    Pending,
}

/// How far an invalidation got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalidated {
    /// Carried out; so many names had something to remove.
    Done(u64),
    /// The store can't be reached: owed, and paid before the store is trusted again.
    Pending,
}

/// Why a write did not happen, or may not have happened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The origin's own words; nothing was written.
    #[error(transparent)]
    Origin(OriginError),
    /// The commit was sent and its outcome was not known by the deadline. What it touches is invalidated
    /// once its transaction has ended.
    #[error("it is unknown whether the write was committed: {0}")]
    Unknown(OriginError),
    /// The policy could not say what the write touches; nothing was written.
    #[error("the policy could not say what the write touches")]
    Undecided,
    /// It changes more than can be made untrue at once; nothing was written.
    #[error("{0}")]
    TooMuch(TooMuch),
    /// The statement does not return a column that its touches need; nothing was written.
    #[error("the touches of this write need the column {0:?}, which its statement does not return")]
    Column(String),
    /// More invalidations are owed than can be kept; nothing was written.
    #[error("too many invalidations wait for the store")]
    Overloaded,
    /// The write's task ended early.
    #[error("the write was interrupted")]
    Interrupted,
}

/// What a write has too much of. The rows are its caller's doing, and none of the policy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// Over [`guard::TARGETS_LIMIT`].
    #[error("its {rows} rows touch more than {} keys and tags", guard::TARGETS_LIMIT)]
    Targets {
        /// Rows that it changes.
        rows: u64,
    },
    /// The policy can't name what so many rows touch while their transaction is open.
    #[error("what its {rows} rows touch takes longer than {within:?} to name")]
    Time {
        /// Rows that it changes.
        rows: u64,
        /// For so long the policy was asked.
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
    pub keys: Vec<Key>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Reads, named under every naming that is in use.
    pub reads: Vec<Request>,
}

/// A read that a writer loads and fills at once, as the generation in force named it.
struct Refill {
    generation: Arc<Generation>,
    request: Request,
    plan: Arc<Named>,
}

impl Cache {
    /// Runs a write to its end, also when the caller goes away.
    ///
    /// # Errors
    /// [`WriteError`]; all but `Unknown` and `Interrupted` mean that nothing was written.
    pub async fn write(self: &Arc<Self>, call: WriteCall) -> Result<Wrote, WriteError> {
        let (cache, unfinished) = (Arc::clone(self), self.begin());
        let write = tokio::spawn(async move {
            let wrote = cache.write_to_its_end(call).await;
            drop(unfinished);
            wrote
        });
        write.await.unwrap_or(Err(WriteError::Interrupted))
    }

    /// A write that the database took back is tried again, each time after a longer pause, while it has time for
    /// that.
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

    /// Writes again where the database took it back, by the deadline.
    async fn write_again_and_again(
        self: &Arc<Self>,
        call: &WriteCall,
    ) -> Result<Wrote, WriteError> {
        let deadline = Instant::now() + call.deadline;
        let mut pause = FIRST_PAUSE;
        loop {
            // Nothing has been sent to the database after its word, so nothing is done twice.
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

    /// Somewhere between half of a pause and all of it: those who stood in each other's way shall not meet
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

    /// Invalidates what an operator or another service names; how many names had something to
    /// remove, or pending.
    ///
    /// # Errors
    /// [`WriteError::Undecided`] when a read can't be named, [`WriteError::Overloaded`] when more is owed
    /// than can be kept; then nothing was invalidated.
    pub async fn invalidate(
        self: &Arc<Self>,
        invalidation: Invalidation,
    ) -> Result<Invalidated, WriteError> {
        let Invalidation { keys, tags, reads } = invalidation;
        let mut targets: Vec<Target> = keys.into_iter().map(Target::Key).collect();
        targets.extend(tags.into_iter().map(Target::Tag));
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

    /// Makes every value of the deployment untrue; returns once every host knows.
    pub async fn flush(self: &Arc<Self>) -> Invalidated {
        let (cache, unfinished) = (Arc::clone(self), self.begin());
        let flushed = tokio::spawn(async move {
            let flushed = cache.raise_everything().await;
            drop(unfinished);
            flushed
        });
        flushed.await.unwrap_or(Invalidated::Pending)
    }

    /// Invalidates, or owes what could not be invalidated. Never fails and never forgets; to be called
    /// from a task that its caller can't cancel.
    pub(super) async fn carry_out(&self, targets: Vec<Target>) -> Invalidated {
        if targets.is_empty() {
            return Invalidated::Done(0);
        }
        match self.remove_all(&targets).await {
            Ok(removed) => Invalidated::Done(removed),
            Err(error) => {
                self.debt.add(targets);
                self.trust.distrust(&format!("an invalidation is owed: {error}"));
                Invalidated::Pending
            }
        }
    }

    /// Write-through: takes the lease over, reads the row back, fills. A later writer takes the
    /// lease from us, and then our fill is rejected and its value stands (race E).
    async fn refill(
        self: &Arc<Self>,
        generation: Arc<Generation>,
        read: Read,
        plan: Arc<Named>,
    ) -> bool {
        let (cache, read) = (Arc::clone(self), Arc::new(read));
        let mut flight = Flight::new(cache, read, generation, plan, Instant::now());
        // In a task of its own: after the commit, a loader that panics must not take the answer.
        let refill = tokio::spawn(async move { flight.write_through().await });
        refill.await.unwrap_or(false)
    }
}
