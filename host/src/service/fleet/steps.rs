//! The steps of a rollout, as a pure function of the record and the hosts' cards.
//!
//! No host leads a rollout. Each host looks at the record and at the cards, and where the next step is due it
//! writes the record with that step; the first to write it has taken the step. So a host that dies leaves
//! nothing behind that another one would have to take over. The rules:
//!
//! 1. *Preparing*: once every host is ready, the policy comes into force on the canaries, or everywhere where
//!    none were asked for. A host is ready when the component passed its own gate and every host has had the
//!    time to learn the new names (race J).
//! 2. *Canary*: once the policy was in force on the canaries for the time asked for, and every other host is
//!    ready, it comes into force everywhere.
//! 3. *Everywhere*: once it was in force on every host for [`SETTLE_MS`], the rollout has come through.
//! 4. In each of these, a host that refuses the policy, loses it, fails too often, leaves the band of the
//!    others, or does not do its part within [`PATIENCE_MS`] brings all hosts back.
//! 5. *Going back*: once the policy is in force on no host, the rollout is over.
//!
//! A host that is not listed any more, or has said nothing for [`ABSENT_MS`] of the rollout, is waited for in
//! none of them. A host judges the silence of others only since it looks itself: after an outage of the store
//! all have been silent.

use crate::store::{HostCard, PartProgress, ReadTally, RolloutPart};

use super::record::{PastRollout, Rollout, RolloutPhase};

/// How long a host may say nothing before it is not waited for: several times the longest pause between two
/// looks of a host.
pub(super) const ABSENT_MS: u64 = 10_000;

/// How long a host may take for its part of a phase: the gate of an interpreter's component takes a minute on
/// a machine that is busy.
pub(super) const PATIENCE_MS: u64 = 300_000;

/// How long all hosts run the policy before the rollout is over: long enough for a policy that fails at once
/// to fail.
pub(super) const SETTLE_MS: u64 = 3_000;

/// Failures of all hosts together that stop a rollout: as many as a single host tolerates of a policy that
/// just came into force, since one may be an accident.
pub(super) const FAILURES: u64 = 5;

/// Fewer reads are no measure of a host.
const READS: u64 = 1_000;

/// How far a canary's share of hits may lie below that of the others.
const HITS_BELOW: f64 = 0.1;

/// How many times as long as on the others a canary's reads may take, with [`SLOWER_BY_MS`] on top for the
/// noise of a machine.
const TIMES_SLOWER: f64 = 2.0;
const SLOWER_BY_MS: f64 = 2.0;

/// What is to be written into the record.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum NextStep {
    /// The rollout goes on like this.
    GoesOn(Rollout),
    /// The rollout is over.
    Over(PastRollout),
}

/// A host that is waited for.
struct Present<'a> {
    id: &'a str,
    listen: &'a str,
    /// `None` until the host has seen the rollout.
    part: Option<&'a RolloutPart>,
}

impl Present<'_> {
    fn progress(&self) -> PartProgress {
        self.part.map_or(PartProgress::Preparing, |part| part.progress)
    }

    fn is_in_force(&self) -> bool {
        self.progress() == PartProgress::InForce
    }

    fn is_prepared(&self) -> bool {
        matches!(self.progress(), PartProgress::Ready | PartProgress::InForce)
    }

    fn tally(&self) -> ReadTally {
        self.part.map(|part| part.tally).unwrap_or_default()
    }
}

/// The step that is due now, as a host sees it that has looked without a break since `looks_since_ms`; `None`
/// if none is.
pub(super) fn next(
    rollout: &Rollout,
    cards: &[HostCard],
    now_ms: u64,
    looks_since_ms: u64,
) -> Option<NextStep> {
    let heard_of_ms = rollout.began_ms.max(looks_since_ms);
    let hosts = present(rollout, cards, now_ms, heard_of_ms);
    if rollout.phase == RolloutPhase::GoingBack {
        let is_over = !hosts.iter().any(Present::is_in_force);
        return is_over.then(|| NextStep::Over(rollout.past(now_ms)));
    }
    if let Some(trouble) = trouble(rollout, &hosts, now_ms) {
        return Some(NextStep::GoesOn(rollout.going_back(trouble, now_ms)));
    }
    let are_prepared = !hosts.is_empty() && hosts.iter().all(Present::is_prepared);
    match rollout.phase {
        RolloutPhase::Preparing => {
            are_prepared.then(|| NextStep::GoesOn(first_force(rollout, &hosts, now_ms)))
        }
        RolloutPhase::Canary => {
            let is_canary =
                |host: &&Present<'_>| rollout.canaries.iter().any(|canary| canary == host.id);
            let wanted = hosts.iter().filter(is_canary);
            let next = || NextStep::GoesOn(rollout.entering(RolloutPhase::Everywhere, now_ms));
            in_force(rollout, wanted, now_ms, || are_prepared.then(next))
        }
        RolloutPhase::Everywhere => {
            let over = || NextStep::Over(rollout.past(now_ms));
            in_force(rollout, hosts.iter(), now_ms, || are_prepared.then(over))
        }
        RolloutPhase::GoingBack => None,
    }
}

/// The step while the policy comes into force on the wanted hosts, and `then` once it has been in force there
/// for as long as the phase lasts.
fn in_force<'a>(
    rollout: &Rollout,
    mut wanted: impl Iterator<Item = &'a Present<'a>>,
    now_ms: u64,
    then: impl FnOnce() -> Option<NextStep>,
) -> Option<NextStep> {
    if !wanted.all(Present::is_in_force) {
        return None;
    }
    match rollout.steady_ms {
        None => Some(NextStep::GoesOn(steady(rollout, now_ms))),
        Some(steady_ms) if now_ms < steady_ms + lasts_ms(rollout) => None,
        Some(_) => then(),
    }
}

fn lasts_ms(rollout: &Rollout) -> u64 {
    if rollout.phase == RolloutPhase::Canary { rollout.watch_ms } else { SETTLE_MS }
}

/// The hosts that are waited for, if none counts as silent since before `heard_of_ms`.
fn present<'a>(
    rollout: &Rollout,
    cards: &'a [HostCard],
    now_ms: u64,
    heard_of_ms: u64,
) -> Vec<Present<'a>> {
    let of = |card: &'a HostCard| {
        let fleet = card.fleet.as_ref()?;
        let part = fleet.part.as_ref().filter(|part| part.rollout == rollout.id());
        let is_absent = now_ms > fleet.seen_ms.max(heard_of_ms) + ABSENT_MS;
        (!is_absent).then_some(Present { id: &card.id, listen: &fleet.listen, part })
    };
    cards.iter().filter_map(of).collect()
}

/// The policy comes into force for the first time: on the canaries, or everywhere.
fn first_force(rollout: &Rollout, hosts: &[Present<'_>], now_ms: u64) -> Rollout {
    let rollout = Rollout { ready_ms: Some(now_ms), ..rollout.clone() };
    let Some(percent) = rollout.canary_percent else {
        return rollout.entering(RolloutPhase::Everywhere, now_ms);
    };
    let count = (hosts.len() * usize::from(percent)).div_ceil(100).max(1);
    // Ids are random, so the first ones by order are no particular ones.
    let mut canaries: Vec<String> = hosts.iter().map(|host| host.id.to_owned()).collect();
    canaries.sort_unstable();
    canaries.truncate(count);
    Rollout { canaries, ..rollout.entering(RolloutPhase::Canary, now_ms) }
}

fn steady(rollout: &Rollout, now_ms: u64) -> Rollout {
    let is_everywhere = rollout.phase == RolloutPhase::Everywhere;
    let everywhere_ms = if is_everywhere { Some(now_ms) } else { rollout.everywhere_ms };
    Rollout { steady_ms: Some(now_ms), everywhere_ms, ..rollout.clone() }
}

/// Why all hosts are to go back; `None` if nothing speaks against the policy.
fn trouble(rollout: &Rollout, hosts: &[Present<'_>], now_ms: u64) -> Option<String> {
    let against = hosts.iter().find_map(|host| {
        let part = host.part?;
        let verb = match part.progress {
            PartProgress::Refused => "refuses the policy",
            PartProgress::Failed => "has lost the policy",
            PartProgress::Preparing
            | PartProgress::Ready
            | PartProgress::InForce
            | PartProgress::Back => return None,
        };
        Some(format!("the host at {} {verb}: {}", host.listen, part.reason))
    });
    against
        .or_else(|| failures(hosts))
        .or_else(|| lost_canaries(rollout, hosts))
        .or_else(|| outside(rollout, hosts))
        .or_else(|| late(rollout, hosts, now_ms))
}

fn failures(hosts: &[Present<'_>]) -> Option<String> {
    let failing = hosts.iter().filter_map(|host| Some((host, host.part?.failures)));
    let failing: Vec<_> = failing.filter(|(_, failures)| *failures > 0).collect();
    let sum: u64 = failing.iter().map(|(_, failures)| failures).sum();
    let (first, _) = failing.first()?;
    let reason = first.part.map_or("", |part| &part.reason);
    (sum >= FAILURES).then(|| {
        format!("the policy failed {sum} times, first on the host at {}: {reason}", first.listen)
    })
}

fn lost_canaries(rollout: &Rollout, hosts: &[Present<'_>]) -> Option<String> {
    let is_left = hosts.iter().any(|host| rollout.canaries.iter().any(|id| id == host.id));
    let is_lost = rollout.phase == RolloutPhase::Canary && !is_left;
    is_lost.then(|| "no host is left on which the policy was in force".to_owned())
}

/// A canary beside the hosts that run what they ran before.
fn outside(rollout: &Rollout, hosts: &[Present<'_>]) -> Option<String> {
    if rollout.phase != RolloutPhase::Canary {
        return None;
    }
    let (canaries, others): (Vec<_>, Vec<_>) = hosts.iter().partition(|host| host.is_in_force());
    let others = others.iter().fold(ReadTally::default(), |sum, host| sum.and(host.tally()));
    canaries.into_iter().find_map(|canary| {
        let how = is_outside(canary.tally(), others, rollout.brings.renames)?;
        Some(format!("the host at {} has left the band of the others: {how}", canary.listen))
    })
}

/// How a host's reads differ from the others'. Where the policy gives reads other keys, a loss of hits was
/// foretold by the gate and is no reason to go back.
fn is_outside(one: ReadTally, others: ReadTally, renames: bool) -> Option<String> {
    if one.reads < READS || others.reads < READS || renames {
        return None;
    }
    let percent = |tally: ReadTally| tally.hit_ratio() * 100.0;
    if one.hit_ratio() < others.hit_ratio() - HITS_BELOW {
        return Some(format!("{:.0} % hits, they have {:.0} %", percent(one), percent(others)));
    }
    let (ours, theirs) = (one.mean_ms(), others.mean_ms());
    let is_slow = ours > theirs * TIMES_SLOWER + SLOWER_BY_MS;
    is_slow.then(|| format!("{ours:.1} ms a read, they need {theirs:.1} ms"))
}

fn late(rollout: &Rollout, hosts: &[Present<'_>], now_ms: u64) -> Option<String> {
    if now_ms <= rollout.since_ms + PATIENCE_MS + lasts_ms(rollout) {
        return None;
    }
    let is_preparing = |host: &&Present<'_>| host.progress() == PartProgress::Preparing;
    let late = hosts.iter().find(is_preparing);
    let late = late.or_else(|| hosts.iter().find(|host| !host.is_in_force()))?;
    Some(format!("the host at {} did not do its part in time", late.listen))
}

#[cfg(test)]
mod tests;
