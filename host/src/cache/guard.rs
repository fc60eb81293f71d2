//! The one place where a policy's answers are checked before the host acts on them.
//!
//! A policy may be wrong, slow or hostile. What passes here can cost hit ratio; it can't cause a
//! fill without a lease, a key without a lifetime, an endless flight or an answer out of nothing.

use std::time::Duration;

use crate::config::Entity;
use crate::policy::{Action, Lifetime};
use crate::store::Envelope;

use super::load::Loaded;

/// Where a flight stands, as the host knows it. The policy's memo has no say in it.
#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing is known.
    Begun,
    /// The store was asked; perhaps it had something.
    Looked(Option<Envelope>),
    /// Somebody else holds the lease.
    Held,
    /// The lease is ours.
    Leased,
    /// A value was loaded.
    Loaded { loaded: Loaded, fillable: bool },
    /// A load failed; an envelope, looked up after the failure, is at hand perhaps.
    Failed(Option<Envelope>),
    /// A fill was tried, so there is a value to answer.
    Settled { loaded: Loaded, stored: Option<Envelope> },
}

/// What a policy may ask for in one read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The longest that a value may be kept.
    pub(super) longest: Duration,
    /// Nobody waits for it, so it may end with nothing to answer.
    pub(super) background: bool,
}

/// The shortest and the longest lease: below, a holder can't renew in time over a slow network;
/// above, a dead holder blocks its key for longer than anybody waits.
const LEASE_MS: std::ops::RangeInclusive<u32> = 50..=60_000;

/// Turns beyond two for each wait: a flight needs about six; a policy that turns in circles is
/// stopped here.
const SPARE_TURNS: u32 = 32;

impl Bounds {
    pub(super) fn of(entity: &Entity, background: bool) -> Self {
        Self { longest: super::lifetimes(entity).kept_at_most(), background }
    }
}

/// An action that the host will not carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("it is not legal now")]
    OutOfTurn,
    #[error("the lease is out of bounds")]
    Lease,
    #[error("the lifetime is out of bounds")]
    Lifetime,
    #[error("the flight turns in circles")]
    Circling,
}

/// Passes `action` or says why not.
pub(super) fn check(
    stage: &Stage,
    action: Action,
    turns: u32,
    waits: u32,
    bounds: Bounds,
) -> Result<Action, Refused> {
    if turns > waits.saturating_mul(2).saturating_add(SPARE_TURNS) {
        return Err(Refused::Circling);
    }
    let no_need = bounds.background && matches!(stage, Stage::Looked(_) | Stage::Held);
    match action {
        Action::Claim(lease_ms) if !LEASE_MS.contains(&lease_ms) => return Err(Refused::Lease),
        Action::Fill(lifetime) if !within(lifetime, bounds) => return Err(Refused::Lifetime),
        Action::Answer if no_need => return Ok(action),
        Action::Look
        | Action::Claim(_)
        | Action::Wait(_)
        | Action::Load
        | Action::LoadUncached
        | Action::Fill(_)
        | Action::Answer
        | Action::AnswerAndRefresh
        | Action::Fail => {}
    }
    if legal(stage, action) { Ok(action) } else { Err(Refused::OutOfTurn) }
}

fn within(lifetime: Lifetime, bounds: Bounds) -> bool {
    let kept_ms = u64::from(lifetime.fresh_ms) + u64::from(lifetime.stale_ms);
    lifetime.fresh_ms >= 1
        && lifetime.refresh_ms <= lifetime.fresh_ms
        && Duration::from_millis(kept_ms) <= bounds.longest
}

fn legal(stage: &Stage, action: Action) -> bool {
    match stage {
        Stage::Begun => matches!(action, Action::Look | Action::Claim(_) | Action::LoadUncached),
        Stage::Looked(at_hand) => match action {
            Action::Look | Action::Claim(_) | Action::LoadUncached => true,
            Action::Answer | Action::AnswerAndRefresh => at_hand.is_some(),
            Action::Wait(_) | Action::Load | Action::Fill(_) | Action::Fail => false,
        },
        Stage::Held => matches!(
            action,
            Action::Look | Action::Claim(_) | Action::Wait(_) | Action::LoadUncached
        ),
        Stage::Leased => matches!(action, Action::Load | Action::LoadUncached),
        Stage::Loaded { fillable, .. } => match action {
            Action::Fill(_) => *fillable,
            Action::Answer => true,
            Action::Look
            | Action::Claim(_)
            | Action::Wait(_)
            | Action::Load
            | Action::LoadUncached
            | Action::AnswerAndRefresh
            | Action::Fail => false,
        },
        Stage::Failed(at_hand) => match action {
            Action::Answer => at_hand.is_some(),
            Action::Fail => true,
            Action::Look
            | Action::Claim(_)
            | Action::Wait(_)
            | Action::Load
            | Action::LoadUncached
            | Action::Fill(_)
            | Action::AnswerAndRefresh => false,
        },
        Stage::Settled { .. } => matches!(action, Action::Answer),
    }
}

/// What the host does when the policy gave no answer, or none that passed: load and do not store;
/// with a load behind it, answer that.
pub(super) fn conservative(stage: &Stage) -> Action {
    match stage {
        Stage::Begun | Stage::Looked(_) | Stage::Held | Stage::Leased => Action::LoadUncached,
        Stage::Loaded { .. } | Stage::Settled { .. } => Action::Answer,
        Stage::Failed(_) => Action::Fail,
    }
}
