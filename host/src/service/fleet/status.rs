//! The fleet as operators see it.

use serde::Serialize;

use crate::store::{HostCard, RolloutPart, StoreError};

use super::Fleet;
use super::record::{FleetPolicy, PastRollout, Rollout};

/// The hosts that are alive, and what they do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FleetStatus {
    /// The id of the host that answers.
    pub host: String,
    /// All hosts, by where they listen.
    pub hosts: Vec<FleetHost>,
    /// What the last rollout that came through has put in force; `None` before the first one.
    pub runs: Option<FleetPolicy>,
    /// The rollout under way.
    pub rollout: Option<Rollout>,
    /// The rollout that ended last.
    pub last: Option<PastRollout>,
}

/// A host that is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FleetHost {
    /// Its id, new with every start.
    pub id: String,
    /// Where it listens for reads and writes.
    pub listen: String,
    /// Its release.
    pub release: String,
    /// The number of the format that it stores.
    pub format: u32,
    /// The policy in force: `name@version;generation=7`.
    pub policy: String,
    /// SHA-256 of that policy's component, in hexadecimal.
    pub digest: String,
    /// Whether it runs the component that the fleet runs; `None` if the fleet runs nothing in particular.
    pub as_fleet: Option<bool>,
    /// How long ago it wrote this, in ms.
    pub silent_ms: u64,
    /// Whether it trusts the store.
    pub trusts: bool,
    /// How many hosts it saw alive when it looked last.
    pub sees: usize,
    /// How long the quietest of those had been silent then, in ms.
    pub quietest_ms: u64,
    /// What it has done in the rollout.
    pub part: Option<RolloutPart>,
}

impl Fleet {
    /// Asks the store for the hosts that are alive and for the record.
    ///
    /// # Errors
    /// If the store can't be asked.
    pub async fn status(&self) -> Result<FleetStatus, StoreError> {
        let record = self.read().await?.record;
        let cards = self.inner.cache.enlist_now().await?;
        let now_ms = self.inner.cache.fleet_now_ms();
        let digest = record.runs.as_ref().map(|runs| runs.digest.clone());
        let shown = |card: HostCard| shown(card, digest.as_deref(), now_ms);
        let mut hosts: Vec<FleetHost> = cards.into_iter().map(shown).collect();
        hosts.sort_by(|a, b| (&a.listen, &a.id).cmp(&(&b.listen, &b.id)));
        Ok(FleetStatus {
            host: self.inner.cache.host_id().to_owned(),
            hosts,
            runs: record.runs,
            rollout: record.rollout,
            last: record.last,
        })
    }
}

fn shown(card: HostCard, runs: Option<&str>, now_ms: u64) -> FleetHost {
    let HostCard { id, format, version, policy, fleet } = card;
    let fleet = fleet.unwrap_or_default();
    FleetHost {
        id,
        release: version,
        format,
        policy,
        as_fleet: runs.map(|digest| digest == fleet.digest),
        silent_ms: now_ms.saturating_sub(fleet.seen_ms),
        listen: fleet.listen,
        digest: fleet.digest,
        trusts: fleet.trusts,
        sees: fleet.sees,
        quietest_ms: fleet.quietest_ms,
        part: fleet.part,
    }
}
