//! A write: the statement, what it touches, the announcement, the commit, the invalidation, in this
//! order.
//!
//! What a write touches is decided before it commits, so that a policy that can't say it costs the
//! write, never the truth of the cache. From the commit on nothing can fail: what the store does
//! not take now is kept and carried out before the store is trusted again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use tokio::time::{Instant, sleep};

use crate::origin::{CommitError, Origin, OriginError, Value, WriteStatement, Written};
use crate::policy::guard::{self, Illegal};
use crate::policy::{
    Argument, Change, Generation, Named, Policy, Request, Scope, Target, Way, row_change,
};
use crate::store::{Doomed, Key, Tag};

use super::intents::Announced;
use super::round::Round;
use super::tags::as_text;
use super::trust::Invalidated;
use super::{Cache, Read};

/// A commit whose connection broke is decided by then: the database carries it out at once or finds
/// its client gone.
const COMMIT_SETTLES: Duration = Duration::from_secs(2);

/// Finds the read that a policy named; none for what can't be read by name.
pub type Resolve = Arc<dyn Fn(Request) -> Option<Read> + Send + Sync>;

/// A write with everything it needs.
pub struct WriteCall {
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
    /// What happened to the keys that it touched.
    pub cache: CacheEffect,
}

/// What happened to the keys that a write touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheEffect {
    /// Gone from the store, or replaced there by something newer.
    Invalidated,
    /// Loaded again and stored.
    Refreshed,
    /// The store can't be reached; it will not be trusted again before they are gone.
    Pending,
}

/// Why a write did not happen, or may not have happened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The origin's own words; nothing was written.
    #[error(transparent)]
    Origin(OriginError),
    /// The connection broke during the commit: it is unknown whether it was written. What it
    /// touches was invalidated.
    #[error("it is unknown whether the write was committed: {0}")]
    Unknown(OriginError),
    /// The policy could not say what the write touches; nothing was written.
    #[error("the policy could not say what the write touches")]
    Undecided,
    /// The statement does not return a column that its touches need; nothing was written.
    #[error("the touches of this write need the column {0:?}, which its statement does not return")]
    Column(String),
    /// More invalidations are pending than can be kept; nothing was written.
    #[error("too many invalidations wait for the store")]
    Overloaded,
    /// The write's task ended early.
    #[error("the write was interrupted")]
    Interrupted,
}

/// What an explicit invalidation names.
#[derive(Debug, Clone, Default)]
pub struct Invalidation {
    /// Keys as the policy named them.
    pub keys: Vec<Key>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Reads, named under every generation whose keys may still live.
    pub reads: Vec<Request>,
}

/// What a change touches, as names in the store.
#[derive(Default)]
struct Touched {
    doomed: Vec<Doomed>,
    refreshed: Vec<Refill>,
}

/// A read that a writer loads and fills at once, as one generation named it.
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
        let (cache, unfinished) = (Arc::clone(self), self.store.begin());
        let write = tokio::spawn(async move {
            let wrote = cache.write_to_its_end(call).await;
            drop(unfinished);
            wrote
        });
        write.await.unwrap_or(Err(WriteError::Interrupted))
    }

    async fn write_to_its_end(self: Arc<Self>, call: WriteCall) -> Result<Wrote, WriteError> {
        if !self.store.has_room() {
            return Err(WriteError::Overloaded);
        }
        let written = call
            .origin
            .execute(&call.statement, &call.values, call.deadline)
            .await
            .map_err(WriteError::Origin)?;
        if let Some(column) = missing(&call, &written) {
            return Err(WriteError::Column(column.clone()));
        }
        let (change, rows) = (change(&call, &written), written.rows);
        let namings = self.slot.naming();
        let mut touched = Touched::default();
        for (age, generation) in namings.iter().enumerate() {
            touched.add(generation, &change, age == 0)?;
        }
        if let Some(in_force) = namings.first() {
            self.slot.shadows().changed(&change, in_force);
        }
        let mut announced = Announced::new(&self, touched.all_doomed()).await;
        let committed = announced.during(written.transaction.commit()).await;
        if let Err(CommitError::RolledBack(error)) = committed {
            announced.withdraw().await;
            return Err(WriteError::Origin(error));
        }
        self.touch_under_newer(&namings, &change, &mut touched);
        if let Err(CommitError::InDoubt(error)) = committed {
            self.invalidate_twice(touched, announced, namings, change).await;
            return Err(WriteError::Unknown(error));
        }
        Ok(Wrote { rows, cache: self.carry_out(touched, announced, &call).await })
    }

    /// Invalidates what an operator or another service names; how many keys had something to
    /// remove, or pending.
    ///
    /// # Errors
    /// [`WriteError::Undecided`] when a read can't be named; then nothing was invalidated.
    pub async fn invalidate(
        self: &Arc<Self>,
        invalidation: Invalidation,
    ) -> Result<Invalidated, WriteError> {
        let mut doomed: Vec<Doomed> = invalidation.keys.into_iter().map(Doomed::Key).collect();
        doomed.extend(invalidation.tags.into_iter().map(Doomed::Tag));
        for request in &invalidation.reads {
            for generation in self.slot.naming() {
                doomed.push(Doomed::Key(name(&generation, request)?.key.clone()));
            }
        }
        let (cache, unfinished) = (Arc::clone(self), self.store.begin());
        let invalidated = tokio::spawn(async move {
            let invalidated = cache.store.invalidate(doomed).await;
            drop(unfinished);
            invalidated
        });
        invalidated.await.map_err(|_ended| WriteError::Interrupted)
    }

    /// A policy that came into force since may have named a fill of the row as it was before the
    /// commit; one that comes into force from now on names fills of what was committed.
    fn touch_under_newer(&self, known: &[Arc<Generation>], change: &Change, touched: &mut Touched) {
        let is_known = |newer: &Generation| known.iter().any(|known| known.names_like(newer));
        for newer in self.slot.naming().into_iter().filter(|newer| !is_known(newer)) {
            if let Err(error) = touched.add(&newer, change, false) {
                let policy = newer.label();
                tracing::error!(%error, policy, "a committed write may be read stale under it");
            }
        }
    }

    /// The connection broke during the commit, which the database may still carry out after the
    /// first invalidation; so there is a second one, under what is in force by then.
    async fn invalidate_twice(
        self: &Arc<Self>,
        mut touched: Touched,
        announced: Announced,
        namings: Vec<Arc<Generation>>,
        change: Change,
    ) {
        self.store.invalidate(touched.all_doomed()).await;
        let (cache, unfinished) = (Arc::clone(self), self.store.begin());
        tokio::spawn(async move {
            sleep(COMMIT_SETTLES).await;
            cache.touch_under_newer(&namings, &change, &mut touched);
            if let Invalidated::Done(_) = cache.store.invalidate(touched.all_doomed()).await {
                announced.withdraw().await;
            }
            drop(unfinished);
        });
    }

    /// Everything touched goes first: what is filled after that carries the write, and whatever
    /// becomes of a refill, nothing older is left.
    async fn carry_out(
        self: &Arc<Self>,
        touched: Touched,
        announced: Announced,
        call: &WriteCall,
    ) -> CacheEffect {
        if self.store.invalidate(touched.all_doomed()).await == Invalidated::Pending {
            // The intent stands: a host that reaches the store before this one carries it out.
            return CacheEffect::Pending;
        }
        announced.withdraw().await;
        let refreshed = touched.refreshed;
        let mut filled = !refreshed.is_empty();
        for Refill { generation, request, plan } in refreshed {
            filled &= match (call.resolve)(request) {
                Some(read) => self.refill(generation, read, plan).await,
                None => false,
            };
        }
        if filled { CacheEffect::Refreshed } else { CacheEffect::Invalidated }
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
        let mut round = Round::new(cache, read, generation, plan, Instant::now());
        // In a task of its own: after the commit, a loader that panics must not take the answer.
        let refill = tokio::spawn(async move { round.write_through().await });
        refill.await.unwrap_or(false)
    }
}

impl Touched {
    /// Everything touched, what is to be refreshed included.
    fn all_doomed(&self) -> Vec<Doomed> {
        let refreshed = self.refreshed.iter().map(|refill| Doomed::Key(refill.plan.key.clone()));
        self.doomed.iter().cloned().chain(refreshed).collect()
    }

    /// What `change` touches under `generation`. Only the generation in force refreshes: what
    /// another one named is removed.
    fn add(
        &mut self,
        generation: &Arc<Generation>,
        change: &Change,
        in_force: bool,
    ) -> Result<(), WriteError> {
        let targets = invalidated(generation, change)?;
        let undecided = |illegal: Illegal| {
            generation.refused(&illegal);
            WriteError::Undecided
        };
        for Target { scope, way } in targets {
            match scope {
                Scope::Key(key) => {
                    self.doomed.push(Doomed::Key(guard::key(&key).map_err(undecided)?));
                }
                Scope::Tag(tag) => {
                    self.doomed.push(Doomed::Tag(guard::tag(&tag).map_err(undecided)?));
                }
                Scope::Read(request) => {
                    let plan = name(generation, &request)?;
                    if way == Way::Refreshed && in_force {
                        let generation = Arc::clone(generation);
                        self.refreshed.push(Refill { generation, request, plan });
                    } else {
                        self.doomed.push(Doomed::Key(plan.key.clone()));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A column without which it can't be said what was touched.
fn missing<'c>(call: &'c WriteCall, written: &Written) -> Option<&'c String> {
    let known = |column: &String| {
        written.returned.first().map_or(written.rows == 0, |row| row.contains_key(column))
    };
    call.needs.iter().find(|column| !known(column))
}

fn change(call: &WriteCall, written: &Written) -> Change {
    Change {
        entity: call.entity.clone(),
        write: call.write.clone(),
        arguments: call.arguments.clone(),
        rows: written.returned.iter().map(|row| row_change(columns(row))).collect(),
    }
}

/// What a change makes untrue under `generation`. Without an answer the write is refused, and a trap
/// may be the instance's rather than the policy's: another one is asked before that.
fn invalidated(generation: &Generation, change: &Change) -> Result<Vec<Target>, WriteError> {
    let answer = generation.invalidate(change).or_else(|_trap| generation.invalidate(change));
    answer.map_err(|_trap| WriteError::Undecided)
}

/// As [`invalidated`], for a read that a change makes untrue.
fn name(generation: &Generation, request: &Request) -> Result<Arc<Named>, WriteError> {
    let answer = generation.name(request).or_else(|_undecided| generation.name(request));
    answer.map_err(|_undecided| WriteError::Undecided)?.map_err(|refusal| {
        generation.refused(&format_args!("a read that it named itself: {refusal:?}"));
        WriteError::Undecided
    })
}

fn columns(row: &Map<String, Json>) -> impl Iterator<Item = Argument> {
    row.iter().map(|(name, value)| Argument { name: name.clone(), value: as_text(value) })
}
