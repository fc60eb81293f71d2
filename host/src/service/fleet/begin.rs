//! How a rollout begins, and how an operator ends one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::policy::prove::gate::Passport;
use crate::policy::{Provenance, Reason};
use crate::store::StoreError;

use super::super::policies::{Candidate, InstallError};
use super::record::{FleetPolicy, FleetRecord, KEPT, Rollout, component_note};
use super::{Fleet, RolloutPhase};

/// How often a record that another host has just written is read again.
const TRIES: usize = 5;

/// A policy that is to come into force on all hosts.
#[derive(Debug, Clone)]
pub struct RolloutRequest {
    /// A component, or a core module.
    pub component: Arc<[u8]>,
    /// Its own settings; `None` for those in force on the host that is asked.
    pub settings: Option<Map<String, Value>>,
    /// The share of hosts on which it comes into force first, in percent; `None` for all at once.
    pub canary_percent: Option<u8>,
    /// How long it is watched on those.
    pub watch: Duration,
    /// Whether it may give reads other keys.
    pub allow_rename: bool,
}

/// A rollout that has begun.
#[derive(Debug, Clone, Serialize)]
pub struct RolloutBegun {
    /// The rollout.
    pub rollout: Rollout,
    /// What the gate of the host that was asked has learned.
    pub report: Passport,
}

/// Why a rollout does not begin, or is not ended.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// The candidate is not fit for the host that is asked.
    #[error(transparent)]
    Candidate(#[from] InstallError),
    /// Another rollout is under way.
    #[error(
        "rollout {} of {} is under way ({}): wait for its end, or stop it with `corral policy rollout --stop`",
        .0.id(), .0.brings.policy, .0.phase.word()
    )]
    UnderWay(Box<Rollout>),
    /// Hosts of a release without rollouts are alive.
    #[error("these hosts are of a release that takes no part in rollouts: {0}")]
    Unable(String),
    /// No rollout is under way.
    #[error("no rollout is under way")]
    NotUnderWay,
    /// The fleet's record can't be read or written.
    #[error("the store does not take it: {0}")]
    Store(#[from] StoreError),
}

impl Fleet {
    /// Begins a rollout: examines the candidate here, puts its component into the store, and writes it into
    /// the record, which every host reads within a second.
    ///
    /// # Errors
    /// [`RolloutError`]; then nothing has changed on any host.
    pub async fn begin(&self, request: RolloutRequest) -> Result<RolloutBegun, RolloutError> {
        refuse_second(&self.read().await?.record)?;
        let cards = self.inner.cache.enlist_now().await?;
        let unable: Vec<&str> =
            cards.iter().filter(|card| card.fleet.is_none()).map(|card| &*card.version).collect();
        if !unable.is_empty() {
            return Err(RolloutError::Unable(unable.join(", ")));
        }
        let RolloutRequest { component, settings, canary_percent, watch, allow_rename } = request;
        let settings = settings.unwrap_or_else(|| self.inner.policies.settings());
        let candidate = Candidate {
            component: Arc::clone(&component),
            provenance: Provenance::Fleet,
            reason: Reason::Rollout,
            settings: Some(settings.clone()),
            allow_rename,
            asked: Instant::now(),
        };
        let (report, renames) = self.inner.policies.foresee(candidate).await?;
        let note = component_note(&report.digest);
        self.inner.cache.write_fleet_note(&note, &component, KEPT).await?;
        let brings = FleetPolicy {
            rollout: format!("{:016x}", rand::random::<u64>()),
            policy: format!("{}@{}", report.name, report.version),
            digest: report.digest.clone(),
            settings,
            renames,
        };
        let rollout = Rollout {
            brings,
            asked: self.inner.cache.host_id().to_owned(),
            canary_percent,
            watch_ms: u64::try_from(watch.as_millis()).unwrap_or(u64::MAX),
            ..Rollout::default()
        };
        let change = |record: &FleetRecord, now_ms| {
            refuse_second(record)?;
            Ok(Rollout { began_ms: now_ms, since_ms: now_ms, ..rollout.clone() })
        };
        Ok(RolloutBegun { rollout: self.put(change).await?, report })
    }

    /// Brings all hosts back from the rollout that is under way.
    ///
    /// # Errors
    /// [`RolloutError::NotUnderWay`], and if the store does not take it.
    pub async fn stop(&self) -> Result<Rollout, RolloutError> {
        self.put(|record, now_ms| {
            let rollout = record.rollout.as_ref().ok_or(RolloutError::NotUnderWay)?;
            if rollout.phase == RolloutPhase::GoingBack {
                return Ok(rollout.clone());
            }
            Ok(rollout.going_back("an operator stopped it".to_owned(), now_ms))
        })
        .await
    }

    /// Forgets what the fleet runs: a host that starts from now on runs what its configuration says. Nothing
    /// changes on hosts that run. Returns what is forgotten.
    ///
    /// # Errors
    /// [`RolloutError::UnderWay`], and if the store does not take it.
    pub async fn forget(&self) -> Result<Option<FleetPolicy>, RolloutError> {
        for _ in 0..TRIES {
            let read = self.read().await?;
            refuse_second(&read.record)?;
            let now_ms = self.inner.cache.fleet_now_ms();
            let following = FleetRecord { runs: None, ..read.record.following(now_ms) };
            if self.write(&read, &following).await? {
                return Ok(read.record.runs);
            }
        }
        Err(in_motion().into())
    }

    /// Writes a rollout that `change` makes of the record, however often others write meanwhile.
    async fn put(
        &self,
        change: impl Fn(&FleetRecord, u64) -> Result<Rollout, RolloutError>,
    ) -> Result<Rollout, RolloutError> {
        for _ in 0..TRIES {
            let read = self.read().await?;
            let now_ms = self.inner.cache.fleet_now_ms();
            let rollout = change(&read.record, now_ms)?;
            let following = read.record.following(now_ms);
            let following = FleetRecord { rollout: Some(rollout.clone()), ..following };
            if self.write(&read, &following).await? {
                self.inner.wake.notify_one();
                return Ok(rollout);
            }
        }
        Err(in_motion().into())
    }
}

fn in_motion() -> StoreError {
    StoreError::Unavailable("other hosts write the fleet's record all the time".to_owned())
}

fn refuse_second(record: &FleetRecord) -> Result<(), RolloutError> {
    match &record.rollout {
        Some(rollout) => Err(RolloutError::UnderWay(Box::new(rollout.clone()))),
        None => Ok(()),
    }
}
