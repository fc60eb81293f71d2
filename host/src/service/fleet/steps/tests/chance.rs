//! Hosts over one record, in steps of time, by seed. They do what `host` does, without policies.

use std::collections::BTreeMap;

use super::*;

/// Time passes in steps of so many ms.
const STEP_MS: u64 = 250;

/// Every run is over by then: all phases, each with hosts that vanish.
const LIMIT_MS: u64 = 4 * (PATIENCE_MS + ABSENT_MS);

const SEEDS: u64 = 400;

/// What is switched off, to see whether the judge notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Hosts count as ready before they are.
    Readiness,
    /// Hosts that refuse or fail count as well.
    Retreat,
    /// A host that was frozen does not ask whether the rollout came through.
    Settling,
}

#[derive(Debug, Clone)]
struct SimulatedHost {
    progress: PartProgress,
    runs_it: bool,
    ready_at_ms: u64,
    /// What becomes of the policy here.
    fate: Fate,
    frozen_until_ms: u64,
    looks_since_ms: u64,
    written: Option<HostCard>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fits,
    Refuses,
    Fails,
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

struct Run {
    chance: Chance,
    without: Without,
    hosts: BTreeMap<String, SimulatedHost>,
    rollout: Option<Rollout>,
    past: Option<PastRollout>,
    now_ms: u64,
    found: Vec<String>,
}

impl Run {
    fn new(seed: u64, without: Without) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let canary_percent = (chance.below(2) == 0).then_some(30);
        let rollout =
            Rollout { canary_percent, watch_ms: 5_000, ..rollout(RolloutPhase::Preparing) };
        let (hosts, rollout) = (BTreeMap::new(), Some(rollout));
        let (past, now_ms, found) = (None, NOW_MS, Vec::new());
        let mut run = Self { chance, without, hosts, rollout, past, now_ms, found };
        (0..2 + run.chance.below(5)).for_each(|_| run.start());
        run
    }

    fn start(&mut self) {
        let id = format!("{:04}", self.chance.below(10_000));
        let fate = match self.chance.below(12) {
            0 => Fate::Refuses,
            1 => Fate::Fails,
            _ => Fate::Fits,
        };
        let ready_at_ms = self.now_ms + 500 + self.chance.below(4_000);
        let runs_it = self.past.as_ref().is_some_and(|past| past.in_force);
        let host = SimulatedHost {
            progress: Preparing,
            runs_it,
            ready_at_ms,
            fate,
            frozen_until_ms: 0,
            looks_since_ms: self.now_ms,
            written: None,
        };
        self.hosts.insert(id, host);
    }

    /// Something happens to some host.
    fn strike(&mut self) {
        let ids: Vec<String> = self.hosts.keys().cloned().collect();
        match (self.chance.below(60), ids.len()) {
            (0, 2..) => {
                let at = self.chance.below(ids.len() as u64) as usize;
                self.hosts.remove(&ids[at]);
            }
            (1, 1..8) => self.start(),
            (2, 1..) => {
                let at = self.chance.below(ids.len() as u64) as usize;
                let until_ms = self.now_ms + self.chance.below(2 * ABSENT_MS);
                self.hosts.get_mut(&ids[at]).unwrap().frozen_until_ms = until_ms;
            }
            _ => {}
        }
    }

    /// One look of a host: it does its part, writes its card, and takes a step that is due.
    fn look(&mut self, id: &str) {
        let (now_ms, rollout) = (self.now_ms, self.rollout.clone());
        let host = self.hosts.get_mut(id).unwrap();
        if now_ms < host.frozen_until_ms {
            host.looks_since_ms = host.frozen_until_ms;
            return;
        }
        let looks_since_ms = host.looks_since_ms;
        match &rollout {
            Some(rollout) => host.act(id, rollout, now_ms),
            None if self.without != Without::Settling => {
                let has_come = self.past.as_ref().is_some_and(|past| past.in_force);
                host.runs_it = has_come && host.fate == Fate::Fits;
            }
            None => {}
        }
        host.written = Some(host.card(id, now_ms));
        let Some(rollout) = rollout else { return };
        let cards: Vec<HostCard> =
            self.hosts.values().filter_map(|it| it.written.clone()).collect();
        let seen: Vec<HostCard> = cards.into_iter().map(|card| self.sabotaged(card)).collect();
        match next(&rollout, &seen, now_ms, looks_since_ms) {
            Some(NextStep::GoesOn(rollout)) => {
                self.judge_step(&rollout);
                self.rollout = Some(rollout);
            }
            Some(NextStep::Over(past)) => (self.rollout, self.past) = (None, Some(past)),
            None => {}
        }
    }

    fn sabotaged(&self, card: HostCard) -> HostCard {
        let without = self.without;
        with(card, |part| match (without, part.progress) {
            (Without::Readiness, Preparing) => part.progress = Ready,
            (Without::Retreat, Refused) => part.progress = Ready,
            (Without::Retreat, Failed) => part.progress = InForce,
            _ => {}
        })
    }

    /// No host may run the policy while another one, that is waited for, does not know its names.
    fn judge_step(&mut self, after: &Rollout) {
        let before = self.rollout.as_ref().map(|rollout| rollout.phase);
        let enters = before == Some(RolloutPhase::Preparing)
            && matches!(after.phase, RolloutPhase::Canary | RolloutPhase::Everywhere);
        let is_unready = |host: &&SimulatedHost| {
            let is_there = host.written.as_ref().is_some_and(|card| {
                card.fleet.as_ref().unwrap().seen_ms.max(after.began_ms) + ABSENT_MS >= self.now_ms
            });
            is_there && matches!(host.progress, Preparing | Refused)
        };
        if enters && self.hosts.values().any(|host| is_unready(&host)) {
            self.found.push("a host was not ready".to_owned());
        }
    }

    fn judge_end(&mut self) {
        let Some(past) = &self.past else {
            self.found.push("it never ended".to_owned());
            return;
        };
        for (id, host) in &self.hosts {
            let fits = host.fate == Fate::Fits;
            if host.runs_it != (past.in_force && fits) {
                let found = format!("{id} runs it: {}, came: {}", host.runs_it, past.in_force);
                self.found.push(found);
            }
        }
    }

    fn play(mut self) -> Vec<String> {
        while self.now_ms < NOW_MS + LIMIT_MS {
            self.now_ms += STEP_MS;
            if self.rollout.is_some() {
                self.strike();
            }
            let ids: Vec<String> = self.hosts.keys().cloned().collect();
            ids.iter().for_each(|id| self.look(id));
            let is_quiet = self.hosts.values().all(|host| host.frozen_until_ms < self.now_ms);
            if self.rollout.is_none() && is_quiet {
                let ids: Vec<String> = self.hosts.keys().cloned().collect();
                ids.iter().for_each(|id| self.look(id));
                break;
            }
        }
        self.judge_end();
        self.found
    }
}

impl SimulatedHost {
    fn act(&mut self, id: &str, rollout: &Rollout, now_ms: u64) {
        if rollout.phase == RolloutPhase::GoingBack {
            self.runs_it = false;
            if !matches!(self.progress, Refused | Failed) {
                self.progress = Back;
            }
            return;
        }
        let is_canary = rollout.canaries.iter().any(|canary| canary == id);
        let is_due = match rollout.phase {
            RolloutPhase::Canary => is_canary,
            RolloutPhase::Everywhere => true,
            RolloutPhase::Preparing | RolloutPhase::GoingBack => false,
        };
        match self.progress {
            Preparing if now_ms >= self.ready_at_ms => {
                self.progress = if self.fate == Fate::Refuses { Refused } else { Ready };
            }
            // Without a protection, a host is told to switch although it is not ready.
            Ready | Preparing if is_due => (self.progress, self.runs_it) = (InForce, true),
            InForce if self.fate == Fate::Fails => (self.progress, self.runs_it) = (Failed, false),
            Preparing | Ready | Refused | InForce | Failed | Back => {}
        }
    }

    fn card(&self, id: &str, now_ms: u64) -> HostCard {
        let mut card = card(id, self.progress);
        card.fleet.as_mut().unwrap().seen_ms = now_ms;
        card
    }
}

fn found(without: Without) -> Vec<String> {
    (0..SEEDS)
        .flat_map(|seed| {
            let found = Run::new(seed, without).play();
            found.into_iter().map(move |found| format!("seed {seed}: {found}"))
        })
        .collect()
}

#[test]
fn whatever_happens_to_hosts_all_of_them_end_with_one_policy() {
    let found = found(Without::Nothing);
    assert!(found.is_empty(), "{} found: {:#?}", found.len(), &found[..found.len().min(5)]);
}

#[test]
fn a_rollout_that_does_not_wait_for_every_host_is_noticed() {
    assert!(found(Without::Readiness).iter().any(|found| found.contains("not ready")));
}

#[test]
fn a_rollout_that_never_goes_back_is_noticed() {
    assert!(!found(Without::Retreat).is_empty());
}

#[test]
fn a_host_that_slept_through_a_retreat_and_keeps_the_policy_is_noticed() {
    assert!(found(Without::Settling).iter().any(|found| found.contains("came: false")));
}
