//! The phases of a write. Each is made from the one before it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::Instant;

use crate::origin::{CommitError, Transaction, Uncommitted, WRITE_IDLE_LIMIT, Xid};
use crate::policy::run::guard;
use crate::policy::{
    Argument, Change, Column, Decider as _, Generation, Named, ROW_LIMIT, Request, RowChange,
    Scope, Target as Touched, Way, Written, batches, row_change,
};
use crate::store::IntentTarget;

use super::super::{Cache, namings};
use super::doubt::InDoubt;
use super::intents::Announcement;
use super::{Invalidated, Refill, TooMuch, WriteCall, WriteError};

/// How long naming what a write touches may take. The transaction is open meanwhile, and has to commit before
/// the database ends it for being idle.
const NAMED_WITHIN: Duration = WRITE_IDLE_LIMIT.saturating_sub(Duration::from_millis(500));

/// The statement ran, in a transaction that is open.
pub(super) struct Executed {
    uncommitted: Uncommitted,
}

impl Executed {
    pub(super) async fn execute(call: &WriteCall, left: Duration) -> Result<Self, WriteError> {
        let (statement, values, needs) = (&call.statement, &call.values, &call.needs);
        let uncommitted = call.origin.execute(statement, values, needs, left).await;
        let uncommitted = uncommitted.map_err(WriteError::Origin)?;
        if let Some(column) = uncommitted.missing.first() {
            return Err(WriteError::Column(column.clone()));
        }
        Ok(Self { uncommitted })
    }

    pub(super) fn rows(&self) -> u64 {
        self.uncommitted.rows
    }

    /// Names what the write touches, under every generation that has keys which may still live.
    pub(super) async fn name(
        self,
        cache: &Cache,
        call: &WriteCall,
    ) -> Result<Touching, WriteError> {
        let written = written(call, &self.uncommitted);
        let known = cache.slot.naming();
        // A definition that was left stays with its last generation: later ones were told of other entities
        // and may not know this write.
        let known = call.definition.last().map_or(known, |last| vec![Arc::clone(last)]);
        let mut touched = Targets::default();
        let bound = NamingLimits::new(self.uncommitted.rows, call.deadline.min(NAMED_WITHIN));
        for (age, generation) in known.iter().enumerate() {
            touched.add(generation, &written, age == 0, bound).await?;
        }
        if !cache.debt.has_room_for(touched.targets.len()) {
            return Err(WriteError::Overloaded);
        }
        // A shadow policy is asked in one call, so only about writes of one part.
        if let Some(in_force) = known.first().filter(|_| is_one_part(&written)) {
            cache.slot.shadows().changed(|| Change::Written(written.clone()), in_force);
        }
        let Uncommitted { transaction, xid, .. } = self.uncommitted;
        Ok(Touching { transaction, xid, touched, known, written })
    }
}

/// A write with what it makes untrue.
pub(super) struct Touching {
    transaction: Box<dyn Transaction>,
    xid: Option<Xid>,
    touched: Targets,
    /// The generations that were asked.
    known: Vec<Arc<Generation>>,
    written: Written,
}

impl Touching {
    /// Announces the targets to every host, for the case that this one is lost between commit and
    /// invalidation (race L).
    pub(super) async fn announce(self, cache: &Arc<Cache>) -> Announced {
        let targets = self.touched.targets.clone();
        let announcement = Announcement::new(cache, targets, self.xid).await;
        Announced { touching: self, announcement }
    }
}

/// A write that is announced: if the store took the intent, every host knows what the commit will make
/// untrue.
pub(super) struct Announced {
    touching: Touching,
    announcement: Announcement,
}

/// How a commit ended.
pub(super) enum Ended {
    Committed(Committed),
    InDoubt(InDoubt),
}

impl Announced {
    /// Commits, and announces the intent again for as long as the commit takes.
    pub(super) async fn commit(self) -> Result<Ended, WriteError> {
        let Self { touching, mut announcement } = self;
        let Touching { transaction, xid, touched, known, written } = touching;
        let committed = announcement.during(transaction.commit()).await;
        let committing = Committed { touched, known, written, announcement };
        match committed {
            Ok(()) => Ok(Ended::Committed(committing)),
            Err(CommitError::RolledBack(error)) => {
                committing.announcement.withdraw().await;
                Err(WriteError::Origin(error))
            }
            Err(CommitError::InDoubt(error)) => {
                Ok(Ended::InDoubt(InDoubt::new(committing, xid, error)))
            }
        }
    }
}

/// The transaction has committed.
pub(super) struct Committed {
    touched: Targets,
    known: Vec<Arc<Generation>>,
    written: Written,
    pub(super) announcement: Announcement,
}

impl Committed {
    /// Invalidates everything that was touched, and returns the reads to fill again; `None` if the
    /// invalidation is owed. Invalidation comes before refills: what is filled after it was loaded after the
    /// commit, and if a refill fails, no older value is left.
    pub(super) async fn invalidate(mut self, cache: &Arc<Cache>) -> Option<Vec<Refill>> {
        self.touch_under_newer(cache).await;
        let targets = std::mem::take(&mut self.touched.targets);
        if cache.carry_out(targets).await == Invalidated::Pending {
            // The intent stays: a host that trusts the store before this one does carries it out.
            self.announcement.leave().await;
            return None;
        }
        self.announcement.withdraw().await;
        Some(self.touched.refills)
    }

    /// Adds what the write touches under policies that came into force after it was named: they may say that
    /// the rows touch something else. Policies that come into force from now on need no question: what is
    /// loaded under them includes this write.
    async fn touch_under_newer(&mut self, cache: &Cache) {
        let is_known = |newer: &Generation| self.known.iter().any(|known| known.names_like(newer));
        for newer in cache.slot.naming().into_iter().filter(|newer| !is_known(newer)) {
            let rows = u64::try_from(self.written.rows.len()).unwrap_or(u64::MAX);
            let bound = NamingLimits::new(rows, NAMED_WITHIN);
            if let Err(error) = self.touched.add(&newer, &self.written, false, bound).await {
                let policy = newer.label();
                tracing::error!(%error, policy, "a committed write may be read stale under this policy");
            }
        }
    }
}

/// What a change touches.
#[derive(Default)]
struct Targets {
    targets: Vec<IntentTarget>,
    known: HashSet<IntentTarget>,
    refills: Vec<Refill>,
}

/// The limits for naming what a change touches.
#[derive(Clone, Copy)]
struct NamingLimits {
    /// The number of rows, for the error that the caller is told.
    rows: u64,
    within: Duration,
    /// When the time is over; all policies that are asked share it.
    until: Instant,
}

impl NamingLimits {
    fn new(rows: u64, within: Duration) -> Self {
        Self { rows, within, until: Instant::now() + within }
    }
}

impl Targets {
    /// Adds what a write touches under `generation`. Only the reads that the generation in force names are
    /// refreshed; those that another one names are removed.
    async fn add(
        &mut self,
        generation: &Arc<Generation>,
        written: &Written,
        in_force: bool,
        bound: NamingLimits,
    ) -> Result<(), WriteError> {
        if written.rows.iter().any(|row| size(row) > ROW_LIMIT) {
            return Err(WriteError::TooMuch(TooMuch::Row { limit: ROW_LIMIT }));
        }
        let mut asked = HashSet::new();
        for (nth, part) in parts(written).enumerate() {
            if nth > 0 {
                // Other tasks have their turn between two calls.
                yield_now().await;
            }
            if Instant::now() > bound.until {
                let NamingLimits { rows, within, .. } = bound;
                return Err(WriteError::TooMuch(TooMuch::Time { rows, within }));
            }
            self.add_part(generation, &part, in_force, &mut asked)?;
            if self.targets.len() > guard::TARGETS_LIMIT {
                return Err(WriteError::TooMuch(TooMuch::Targets { rows: bound.rows }));
            }
        }
        Ok(())
    }

    fn add_part(
        &mut self,
        generation: &Arc<Generation>,
        part: &Change,
        in_force: bool,
        asked: &mut HashSet<IntentTarget>,
    ) -> Result<(), WriteError> {
        let undecided = |illegal: guard::Illegal| {
            generation.refused(&illegal);
            WriteError::Undecided
        };
        let named = invalidated(generation, part)?;
        guard::targets(named.len(), part.rows().len()).map_err(undecided)?;
        for Touched { scope, way } in named {
            let target = match scope {
                Scope::Key(key) => IntentTarget::Key(guard::key(&key).map_err(undecided)?),
                Scope::Tag(tag) => IntentTarget::Tag(guard::tag(&tag).map_err(undecided)?),
                Scope::Read(request) => {
                    let Some(target) = namings::target(request.clone()) else { continue };
                    if asked.insert(target.clone()) {
                        let plan = plan(generation, &request)?;
                        if way == Way::Refreshed && in_force {
                            let generation = Arc::clone(generation);
                            self.refills.push(Refill { generation, request, plan });
                        }
                    }
                    target
                }
            };
            if self.known.insert(target.clone()) {
                self.targets.push(target);
            }
        }
        Ok(())
    }
}

/// A write in parts of few rows; a write without rows is one part.
fn parts(written: &Written) -> impl Iterator<Item = Change> {
    let part = |rows: &[RowChange]| {
        Change::Written(Written {
            entity: written.entity.clone(),
            write: written.write.clone(),
            arguments: written.arguments.clone(),
            rows: rows.to_vec(),
        })
    };
    let rowless = written.rows.is_empty().then(|| part(&[]));
    rowless.into_iter().chain(batches(&written.rows, size).map(part))
}

/// Whether a policy is asked about a write in one call.
fn is_one_part(written: &Written) -> bool {
    batches(&written.rows, size).nth(1).is_none()
}

/// The bytes of a row as a policy is told of it.
fn size(row: &RowChange) -> usize {
    row.before.iter().chain(&row.after).map(Column::bytes).sum()
}

fn written(call: &WriteCall, uncommitted: &Uncommitted) -> Written {
    let returned = uncommitted.returned.iter();
    Written {
        entity: call.entity.clone(),
        write: call.write.clone(),
        arguments: call.arguments.clone(),
        rows: returned.map(|row| row_change(columns(&call.needs, row))).collect(),
    }
}

fn columns<'c>(
    names: &'c [String],
    row: &'c [Option<String>],
) -> impl Iterator<Item = Argument> + 'c {
    let column = |(name, value): (&String, &Option<String>)| Argument {
        name: name.clone(),
        value: value.clone(),
    };
    names.iter().zip(row).map(column)
}

/// What a change makes untrue under `generation`. A trap may be the fault of the instance and not of the
/// policy, so another instance is asked before the write is refused.
fn invalidated(generation: &Generation, change: &Change) -> Result<Vec<Touched>, WriteError> {
    let answer = generation.invalidate(change).or_else(|_trap| generation.invalidate(change));
    answer.map_err(|_trap| WriteError::Undecided)
}

/// The plan of a read that a change makes untrue; asked twice like [`invalidated`].
pub(super) fn plan(generation: &Generation, request: &Request) -> Result<Arc<Named>, WriteError> {
    let answer = generation.name(request).or_else(|_undecided| generation.name(request));
    answer.map_err(|_undecided| WriteError::Undecided)?.map_err(|refusal| {
        generation.refused(&format_args!("it refuses a read that it named: {refusal:?}"));
        WriteError::Undecided
    })
}
