//! What this host does in a rollout: it prepares, switches, watches itself, and goes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::policy::prove::gate;
use crate::policy::{Generation, Provenance, Reason};
use crate::store::{PartProgress, PolicyId, ReadTally, RolloutPart, StoreError};

use super::super::policies::{Candidate, InstallError};
use super::record::{FleetPolicy, FleetRecord, Rollout, RolloutPhase, component_note};
use super::{Fleet, LOOK_CLOSELY};

/// How often a host looks whether every host has had the time to learn the names of its candidate.
const LEARNED_LOOK: Duration = Duration::from_millis(50);

/// What this host does in one rollout.
pub(super) struct OwnPart {
    brings: FleetPolicy,
    part: RolloutPart,
    /// The generation that the rollout has put in force here; `None` if the policy was in force before.
    switched: Option<Arc<Generation>>,
    /// The failures of the policy before the rollout.
    failures_before: u64,
    tally_before: ReadTally,
    phase: RolloutPhase,
}

impl OwnPart {
    fn new(rollout: &Rollout) -> Self {
        let part = RolloutPart { rollout: rollout.id().to_owned(), ..RolloutPart::default() };
        Self {
            brings: rollout.brings.clone(),
            part,
            switched: None,
            failures_before: 0,
            tally_before: ReadTally::default(),
            phase: rollout.phase,
        }
    }
}

impl FleetPolicy {
    fn is(&self, generation: &Generation) -> bool {
        generation.digest() == self.digest && generation.configuration().settings == self.settings
    }

    fn candidate(&self, component: Arc<[u8]>) -> Candidate {
        Candidate {
            component,
            provenance: Provenance::Fleet,
            reason: Reason::Rollout,
            settings: Some(self.settings.clone()),
            // The operator was asked when the rollout began, and every host has learned the names since.
            allow_rename: true,
            asked: Instant::now(),
        }
    }
}

impl Fleet {
    /// Does what the record asks of this host.
    pub(super) async fn follow(&self, record: &FleetRecord) -> Result<(), StoreError> {
        self.note_changes(record);
        self.settle(record);
        self.take_what_runs(record).await?;
        if let Some(rollout) = &record.rollout {
            self.take_part(rollout).await;
        }
        self.inner.cache.takes_part(self.known().own.as_ref().map(|own| own.part.clone()));
        Ok(())
    }

    /// Ends this host's part in a rollout that is over. A policy that did not come through is left, also by a
    /// host that was frozen while the others left it.
    fn settle(&self, record: &FleetRecord) {
        let current = record.rollout.as_ref().map(Rollout::id);
        let is_over = |own: &OwnPart| current != Some(own.brings.rollout.as_str());
        let Some(own) = self.known().own.take_if(|own| is_over(own)) else { return };
        let runs = record.runs.as_ref().map(|runs| runs.rollout.as_str());
        let has_come = runs == Some(own.brings.rollout.as_str());
        match (has_come, own.part.progress) {
            (true, PartProgress::InForce | PartProgress::Refused | PartProgress::Failed) => {
                self.known().settled = Some(own.brings.rollout.clone());
            }
            (false, PartProgress::InForce) => self.leave(&own),
            _ => {}
        }
        self.inner.cache.prepare_for(None);
    }

    /// Puts in force what the fleet runs, once for each rollout: a policy that an operator gives to this host
    /// alone afterwards stays.
    async fn take_what_runs(&self, record: &FleetRecord) -> Result<(), StoreError> {
        let Some(runs) = &record.runs else { return Ok(()) };
        let is_free = {
            let known = self.known();
            known.own.is_none() && known.settled.as_ref() != Some(&runs.rollout)
        };
        if !is_free {
            return Ok(());
        }
        if !runs.is(&self.inner.policies.slot().current()) {
            match self.component(runs).await? {
                Ok(component) => {
                    // `exchange` logs and counts what comes of it.
                    let _outcome = self.inner.policies.exchange(runs.candidate(component)).await;
                }
                Err(why) => {
                    tracing::warn!(
                        policy = runs.policy,
                        why,
                        "this host can't take what the fleet runs"
                    );
                }
            }
        }
        self.known().settled = Some(runs.rollout.clone());
        Ok(())
    }

    /// The component of a policy, from this host or the store; or why there is none.
    async fn component(&self, of: &FleetPolicy) -> Result<Result<Arc<[u8]>, String>, StoreError> {
        let at_hand = self.inner.policies.component(&of.digest);
        if !at_hand.is_empty() {
            return Ok(Ok(at_hand));
        }
        let note = self.inner.cache.fleet_note(&component_note(&of.digest)).await?;
        let Some(note) = note else {
            return Ok(Err("the store has lost its component".to_owned()));
        };
        let is_it = gate::digest(&note) == of.digest;
        let other = "the store has another component under its name";
        Ok(if is_it { Ok(Arc::from(note.as_ref())) } else { Err(other.to_owned()) })
    }

    async fn take_part(&self, rollout: &Rollout) {
        if rollout.phase == RolloutPhase::GoingBack {
            return self.go_back();
        }
        self.begin_part(rollout);
        self.watch_itself();
        let is_canary = rollout.canaries.iter().any(|id| id == self.inner.cache.host_id());
        let is_due = match rollout.phase {
            RolloutPhase::Preparing | RolloutPhase::GoingBack => false,
            RolloutPhase::Canary => is_canary,
            RolloutPhase::Everywhere => true,
        };
        if is_due && self.progress() == Some(PartProgress::Ready) {
            self.switch(&rollout.brings).await;
        }
    }

    /// Begins to prepare, unless this host has begun. In a new phase its reads are counted anew.
    fn begin_part(&self, rollout: &Rollout) {
        let totals = self.inner.metrics.read_totals();
        let mut known = self.known();
        match &mut known.own {
            Some(own) if own.phase == rollout.phase => {}
            Some(own) => (own.phase, own.tally_before) = (rollout.phase, totals),
            None => {
                known.own = Some(OwnPart { tally_before: totals, ..OwnPart::new(rollout) });
                drop(known);
                tokio::spawn(self.clone().prepare(rollout.brings.clone()));
            }
        }
    }

    /// Fetches and examines the component, and learns its names.
    async fn prepare(self, brings: FleetPolicy) {
        let progress = match self.learn(&brings).await {
            Ok(policy) => {
                self.inner.cache.prepare_for(Some(policy));
                while !self.inner.cache.is_learned(policy) {
                    if self.progress_in(&brings).is_none() {
                        return;
                    }
                    sleep(LEARNED_LOOK).await;
                }
                (PartProgress::Ready, String::new())
            }
            Err(reason) => (PartProgress::Refused, reason),
        };
        self.enter(&brings, progress);
        self.inner.wake.notify_one();
    }

    async fn learn(&self, brings: &FleetPolicy) -> Result<PolicyId, String> {
        let component = loop {
            match self.component(brings).await {
                Ok(component) => break component?,
                // The rollout ends by itself if the store stays away.
                Err(_) if self.progress_in(brings).is_none() => return Err(String::new()),
                Err(_) => sleep(LOOK_CLOSELY).await,
            }
        };
        let learned = self.inner.policies.learn(brings.candidate(component)).await;
        learned.map(|learned| learned.generation.policy_id()).map_err(|error| first_line(&error))
    }

    async fn switch(&self, brings: &FleetPolicy) {
        let current = self.inner.policies.slot().current();
        let switched = if brings.is(&current) {
            Ok(None)
        } else {
            match self.component(brings).await {
                Ok(Ok(component)) => {
                    let installed = self.inner.policies.exchange(brings.candidate(component)).await;
                    installed.map(|it| Some(it.generation)).map_err(|error| first_line(&error))
                }
                Ok(Err(why)) => Err(why),
                // The next look tries again.
                Err(_) => return,
            }
        };
        let totals = self.inner.metrics.read_totals();
        match switched {
            Ok(switched) => {
                if let Some(own) = &mut self.known().own {
                    own.failures_before = if switched.is_some() { 0 } else { failures(&current) };
                    (own.switched, own.tally_before) = (switched, totals);
                }
                self.enter(brings, (PartProgress::InForce, String::new()));
            }
            Err(reason) => self.enter(brings, (PartProgress::Refused, reason)),
        }
    }

    /// Counts what has come of the policy since it is in force here.
    fn watch_itself(&self) {
        let (slot, totals) = (self.inner.policies.slot(), self.inner.metrics.read_totals());
        let current = slot.current();
        let mut known = self.known();
        let Some(own) = &mut known.own else { return };
        own.part.tally = totals.since(own.tally_before);
        if own.part.progress != PartProgress::InForce {
            return;
        }
        let is_current = own.brings.is(&current);
        let judged = own.switched.as_ref().filter(|_| !is_current).unwrap_or(&current);
        own.part.failures = failures(judged).saturating_sub(own.failures_before);
        let failure = judged.summary().failures.into_iter().next().unwrap_or_default();
        if !is_current {
            let left = slot.is_condemned(&own.brings.digest, judged.configuration());
            own.part.progress = PartProgress::Failed;
            own.part.reason = match left {
                true => format!("it failed too often here: {failure}"),
                false => "another policy came into force there".to_owned(),
            };
        } else if own.part.failures > 0 {
            own.part.reason = failure;
        }
    }

    fn go_back(&self) {
        let left = {
            let mut known = self.known();
            let Some(own) = &mut known.own else { return };
            let was = own.part.progress;
            if !matches!(was, PartProgress::Refused | PartProgress::Failed) {
                own.part.progress = PartProgress::Back;
            }
            (was == PartProgress::InForce).then(|| own.switched.take()).flatten()
        };
        if let Some(switched) = left {
            self.roll_back(&switched);
            self.inner.cache.prepare_for(None);
        }
    }

    fn leave(&self, own: &OwnPart) {
        if let Some(switched) = &own.switched {
            self.roll_back(switched);
        }
    }

    /// Puts in force again what this host ran before it switched. A policy that came into force since then
    /// stays.
    fn roll_back(&self, switched: &Generation) {
        let policies = &self.inner.policies;
        if policies.slot().current().policy_id() == switched.policy_id() {
            // It fails only if the former policy does not pass the gate under a configuration that came since.
            if let Err(error) = policies.rollback() {
                tracing::warn!(%error, "the policy of a rollout stays in force here");
            }
        }
    }

    fn progress(&self) -> Option<PartProgress> {
        self.known().own.as_ref().map(|own| own.part.progress)
    }

    /// How far this host is in the rollout of this policy; `None` if it is not in it.
    fn progress_in(&self, brings: &FleetPolicy) -> Option<PartProgress> {
        let known = self.known();
        let own = known.own.as_ref().filter(|own| own.brings.rollout == brings.rollout)?;
        (own.part.progress != PartProgress::Back).then_some(own.part.progress)
    }

    fn enter(&self, brings: &FleetPolicy, (progress, reason): (PartProgress, String)) {
        if self.progress_in(brings).is_some()
            && let Some(own) = &mut self.known().own
        {
            (own.part.progress, own.part.reason) = (progress, reason);
        }
    }

    /// Logs and counts what has changed since the record was read last.
    fn note_changes(&self, record: &FleetRecord) {
        let before = std::mem::replace(&mut self.known().record, record.clone());
        let metrics = &self.inner.metrics;
        if let Some(now) = &record.rollout {
            let was = before.rollout.as_ref().filter(|was| was.id() == now.id());
            if was.map(|was| was.phase) != Some(now.phase) {
                let (policy, rollout, phase) = (&now.brings.policy, now.id(), now.phase.word());
                match now.phase {
                    RolloutPhase::GoingBack => {
                        let trouble = &now.trouble;
                        tracing::warn!(policy, rollout, trouble, "a rollout is brought back");
                    }
                    RolloutPhase::Preparing | RolloutPhase::Canary | RolloutPhase::Everywhere => {
                        tracing::info!(policy, rollout, phase, "a rollout goes on");
                    }
                }
            }
        }
        metrics.rollout_phase.set(record.rollout.as_ref().map_or(0, |it| it.phase as u64 + 1));
        let Some(last) = record.last.as_ref().filter(|last| {
            before.number > 0 && before.last.as_ref().map(|it| &it.rollout) != Some(&last.rollout)
        }) else {
            return;
        };
        let (policy, rollout, took_ms) = (&last.policy, &last.rollout, last.ended_after_ms);
        if last.in_force {
            metrics.rollouts("in-force");
            tracing::info!(policy, rollout, took_ms, "a rollout has come through");
        } else {
            metrics.rollouts("brought-back");
            let trouble = &last.trouble;
            tracing::warn!(policy, rollout, took_ms, trouble, "a rollout was brought back");
        }
    }
}

fn failures(generation: &Generation) -> u64 {
    let counts = generation.counts();
    counts.traps + counts.refused
}

/// The reason without the findings, which a card has no room for.
fn first_line(error: &InstallError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
