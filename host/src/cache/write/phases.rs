//! The phases of a write. Each is made of the one before it.

use std::sync::Arc;
use std::time::Duration;

use crate::origin::{CommitError, Transaction, Written, Xid};
use crate::policy::guard;
use crate::policy::{
    Argument, Change, Generation, Named, Policy as _, Request, Scope, Target as Touched, Way,
    row_change,
};
use crate::store::Target;

use super::super::{Cache, namings};
use super::doubt::InDoubt;
use super::intents::Announcement;
use super::{Invalidated, Refill, WriteCall, WriteError};

/// The statement ran, in a transaction that is open.
pub(super) struct Executed {
    written: Written,
}

impl Executed {
    pub(super) async fn execute(call: &WriteCall, left: Duration) -> Result<Self, WriteError> {
        let (statement, values, needs) = (&call.statement, &call.values, &call.needs);
        let written = call.origin.execute(statement, values, needs, left).await;
        let written = written.map_err(WriteError::Origin)?;
        if let Some(column) = written.missing.first() {
            return Err(WriteError::Column(column.clone()));
        }
        Ok(Self { written })
    }

    pub(super) fn rows(&self) -> u64 {
        self.written.rows
    }

    /// What it touches, under every generation whose keys may live.
    pub(super) fn name(self, cache: &Cache, call: &WriteCall) -> Result<Touching, WriteError> {
        let change = change(call, &self.written);
        let known = cache.slot.naming();
        let mut touched = Targets::default();
        for (age, generation) in known.iter().enumerate() {
            touched.add(generation, &change, age == 0)?;
        }
        if let Some(in_force) = known.first() {
            cache.slot.shadows().changed(&change, in_force);
        }
        let Written { transaction, xid, .. } = self.written;
        Ok(Touching { transaction, xid, touched, known, change })
    }
}

/// What was written, and what it makes untrue.
pub(super) struct Touching {
    transaction: Box<dyn Transaction>,
    xid: Option<Xid>,
    touched: Targets,
    /// The generations that were asked.
    known: Vec<Arc<Generation>>,
    change: Change,
}

impl Touching {
    /// Announces it to every host, should this one be lost between commit and invalidation (race L).
    pub(super) async fn announce(self, cache: &Arc<Cache>) -> Announced {
        let targets = self.touched.targets.clone();
        let announcement = Announcement::new(cache, targets, self.xid).await;
        Announced { touching: self, announcement }
    }
}

/// Every host knows what the commit will make untrue, if the store took it.
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
    /// Commits, and announces again for as long as that takes.
    pub(super) async fn commit(self) -> Result<Ended, WriteError> {
        let Self { touching, mut announcement } = self;
        let Touching { transaction, xid, touched, known, change } = touching;
        let committed = announcement.during(transaction.commit()).await;
        let committing = Committed { touched, known, change, announcement };
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
    change: Change,
    pub(super) announcement: Announcement,
}

impl Committed {
    /// Everything touched goes first: what is filled after that carries the write, and whatever becomes of
    /// a refill, nothing older is left. `None`: it is owed.
    pub(super) async fn invalidate(mut self, cache: &Arc<Cache>) -> Option<Vec<Refill>> {
        self.touch_under_newer(cache);
        let targets = std::mem::take(&mut self.touched.targets);
        if cache.carry_out(targets).await == Invalidated::Pending {
            // The intent stands: a host that trusts the store before this one does carries it out.
            self.announcement.leave().await;
            return None;
        }
        self.announcement.withdraw().await;
        Some(self.touched.refills)
    }

    /// A policy that came into force since may say that the row touched something else; one that comes
    /// into force from now on names fills of what was committed.
    fn touch_under_newer(&mut self, cache: &Cache) {
        let is_known = |newer: &Generation| self.known.iter().any(|known| known.names_like(newer));
        for newer in cache.slot.naming().into_iter().filter(|newer| !is_known(newer)) {
            if let Err(error) = self.touched.add(&newer, &self.change, false) {
                let policy = newer.label();
                tracing::error!(%error, policy, "a committed write may be read stale under it");
            }
        }
    }
}

/// What a change touches.
#[derive(Default)]
struct Targets {
    targets: Vec<Target>,
    refills: Vec<Refill>,
}

impl Targets {
    /// What `change` touches under `generation`. Only the generation in force refreshes: what
    /// another one named is removed.
    fn add(
        &mut self,
        generation: &Arc<Generation>,
        change: &Change,
        in_force: bool,
    ) -> Result<(), WriteError> {
        let undecided = |illegal: guard::Illegal| {
            generation.refused(&illegal);
            WriteError::Undecided
        };
        for Touched { scope, way } in invalidated(generation, change)? {
            let target = match scope {
                Scope::Key(key) => Target::Key(guard::key(&key).map_err(undecided)?),
                Scope::Tag(tag) => Target::Tag(guard::tag(&tag).map_err(undecided)?),
                Scope::Read(request) => {
                    let plan = plan(generation, &request)?;
                    if way == Way::Refreshed && in_force {
                        let (generation, request) = (Arc::clone(generation), request.clone());
                        self.refills.push(Refill { generation, request, plan });
                    }
                    let Some(target) = namings::target(request) else { continue };
                    target
                }
            };
            if !self.targets.contains(&target) {
                self.targets.push(target);
            }
        }
        Ok(())
    }
}

fn change(call: &WriteCall, written: &Written) -> Change {
    Change {
        entity: call.entity.clone(),
        write: call.write.clone(),
        arguments: call.arguments.clone(),
        rows: written.returned.iter().map(|row| row_change(columns(&call.needs, row))).collect(),
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

/// What a change makes untrue under `generation`. Without an answer the write is refused, and a trap
/// may be the instance's rather than the policy's: another one is asked before that.
fn invalidated(generation: &Generation, change: &Change) -> Result<Vec<Touched>, WriteError> {
    let answer = generation.invalidate(change).or_else(|_trap| generation.invalidate(change));
    answer.map_err(|_trap| WriteError::Undecided)
}

/// As [`invalidated`], for a read that a change makes untrue.
pub(super) fn plan(generation: &Generation, request: &Request) -> Result<Arc<Named>, WriteError> {
    let answer = generation.name(request).or_else(|_undecided| generation.name(request));
    answer.map_err(|_undecided| WriteError::Undecided)?.map_err(|refusal| {
        generation.refused(&format_args!("a read that it named itself: {refusal:?}"));
        WriteError::Undecided
    })
}
