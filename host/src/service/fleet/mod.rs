//! One policy over a fleet: the hosts of a deployment know each other, and a rollout brings a policy to all.
//!
//! | file | what it has |
//! |---|---|
//! | `record` | what the hosts know together, as one note in the store |
//! | `steps` | which step of a rollout is due; pure |
//! | `host` | what this host does in a rollout, and when it starts |
//! | `begin` | how a rollout begins, and how an operator ends it |
//! | `status` | the fleet as operators see it |

mod begin;
mod host;
mod record;
mod status;
mod steps;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::cache::Cache;
use crate::observe::Metrics;
use crate::store::StoreError;

use super::{Corral, Policies};
use host::OwnPart;
use record::{KEPT, RECORD, component_note};
use steps::NextStep;

pub use begin::{RolloutBegun, RolloutError, RolloutRequest};
pub use record::{FleetPolicy, FleetRecord, PastRollout, Rollout, RolloutPhase};
pub use status::{FleetHost, FleetStatus};

/// How often a host looks at the record while no rollout is under way.
const LOOK: Duration = Duration::from_secs(1);

/// How often a host looks while a rollout is under way, where hosts are few.
const LOOK_CLOSELY: Duration = Duration::from_millis(250);

/// How much longer a look is put off for each host: all hosts read the cards of all hosts, and the store is
/// not to be busy with that.
const LOOK_LATER: Duration = Duration::from_millis(10);

/// The longest pause between two looks in a rollout: well below the silence after which a host counts as absent.
const LOOK_AT_LEAST: Duration = Duration::from_secs(3);

/// How long a start waits for the policy that the fleet runs: its component is compiled meanwhile.
const JOINS_WITHIN: Duration = Duration::from_secs(5);

/// This host as one of a fleet. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<FleetInner>,
}

struct FleetInner {
    cache: Arc<Cache>,
    policies: Policies,
    metrics: Arc<Metrics>,
    known: Mutex<KnownFleet>,
    wake: Notify,
}

/// The record, and the note as it was read: the record is only written in place of that.
struct RecordAsRead {
    record: FleetRecord,
    note: Option<Bytes>,
}

/// What this host knows of the fleet.
#[derive(Default)]
struct KnownFleet {
    record: FleetRecord,
    /// When this host looked last, and since when it has looked without a break, by the store's clock in ms.
    looked_ms: u64,
    looks_since_ms: u64,
    /// What this host does in the rollout under way, or did in the last one.
    own: Option<OwnPart>,
    /// The rollout whose policy this host has taken, or found unfit.
    settled: Option<String>,
}

impl Corral {
    /// This host as one of a fleet.
    #[must_use]
    pub fn fleet(&self) -> &Fleet {
        &self.inner.fleet
    }

    /// Takes what the fleet runs, and from then on takes part in rollouts.
    pub(super) async fn join_fleet(&self) {
        self.inner.fleet.join().await;
        if let Ok(mut tasks) = self.inner.tasks.lock() {
            tasks.spawn(self.inner.fleet.clone().keep());
        }
    }
}

impl Fleet {
    pub(super) fn new(cache: Arc<Cache>, policies: Policies, metrics: Arc<Metrics>) -> Self {
        let (known, wake) = (Mutex::default(), Notify::new());
        Self { inner: Arc::new(FleetInner { cache, policies, metrics, known, wake }) }
    }

    /// Takes what the fleet runs, before this host serves. Where the store does not answer, it is taken later.
    async fn join(&self) {
        let _in_time = timeout(JOINS_WITHIN, self.look()).await;
    }

    /// Takes part in rollouts; runs for as long as the host does.
    async fn keep(self) {
        loop {
            // A store that can't be asked is asked again, and beats judge it.
            let pause = self.look().await.unwrap_or(LOOK);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.inner.wake.notified() => {}
            }
        }
    }

    /// Looks at the record, does what this host has to do, and takes the step that is due. Answers when to
    /// look again.
    async fn look(&self) -> Result<Duration, StoreError> {
        let read = self.read().await?;
        self.follow(&read.record).await?;
        self.prolong(&read).await?;
        let Some(rollout) = &read.record.rollout else { return Ok(LOOK) };
        let cards = self.inner.cache.enlist_now().await?;
        self.inner.metrics.fleet_hosts.set(cards.len() as u64);
        let now_ms = self.inner.cache.fleet_now_ms();
        match steps::next(rollout, &cards, now_ms, self.looks_since_ms(now_ms)) {
            Some(step) => {
                self.take(&read, rollout, step).await?;
                Ok(Duration::ZERO)
            }
            None => {
                let hosts = u32::try_from(cards.len()).unwrap_or(u32::MAX);
                Ok(LOOK_LATER.saturating_mul(hosts).clamp(LOOK_CLOSELY, LOOK_AT_LEAST))
            }
        }
    }

    /// Notes that this host looks, and answers since when it has looked without a break.
    fn looks_since_ms(&self, now_ms: u64) -> u64 {
        let mut known = self.known();
        if now_ms.saturating_sub(known.looked_ms) > 2 * LOOK_AT_LEAST.as_millis() as u64 {
            known.looks_since_ms = now_ms;
        }
        known.looked_ms = now_ms;
        known.looks_since_ms
    }

    /// The newest record. One that the store has lost, or has an older state of, is written again.
    async fn read(&self) -> Result<RecordAsRead, StoreError> {
        let cache = &self.inner.cache;
        let note = cache.fleet_note(RECORD).await?;
        let found = note.as_deref().and_then(FleetRecord::read).unwrap_or_default();
        let known = self.known().record.clone();
        if found.number >= known.number {
            return Ok(RecordAsRead { record: found, note });
        }
        self.keep_components(&known).await?;
        let text = known.encode();
        match cache.replace_fleet_note(RECORD, note.as_deref(), &text, KEPT).await? {
            true => Ok(RecordAsRead { record: known, note: Some(text.into()) }),
            // Another host has written it, and this one has not read what.
            false => Err(StoreError::Unavailable("the fleet's record is in motion".to_owned())),
        }
    }

    /// Writes the record that follows the one that was read; `false` if another host has written one
    /// meanwhile.
    async fn write(
        &self,
        read: &RecordAsRead,
        following: &FleetRecord,
    ) -> Result<bool, StoreError> {
        let text = following.encode();
        self.inner.cache.replace_fleet_note(RECORD, read.note.as_deref(), &text, KEPT).await
    }

    async fn take(
        &self,
        read: &RecordAsRead,
        rollout: &Rollout,
        step: NextStep,
    ) -> Result<(), StoreError> {
        let mut following = read.record.following(self.inner.cache.fleet_now_ms());
        match step {
            NextStep::GoesOn(rollout) => following.rollout = Some(rollout),
            NextStep::Over(past) => {
                if past.in_force {
                    following.runs = Some(rollout.brings.clone());
                }
                (following.rollout, following.last) = (None, Some(past));
            }
        }
        // If another host was first, its step is read next.
        self.write(read, &following).await.map(drop)
    }

    /// Has the store keep the record and its components for longer. One host does it for all.
    async fn prolong(&self, read: &RecordAsRead) -> Result<(), StoreError> {
        let (record, now_ms) = (&read.record, self.inner.cache.fleet_now_ms());
        if record.ends_soon(now_ms) && self.write(read, &record.following(now_ms)).await? {
            self.keep_components(record).await?;
        }
        Ok(())
    }

    /// Writes the components of a record again, as far as this host has them.
    async fn keep_components(&self, record: &FleetRecord) -> Result<(), StoreError> {
        for FleetPolicy { digest, .. } in record.policies() {
            let component = self.inner.policies.component(digest);
            if !component.is_empty() {
                let note = component_note(digest);
                self.inner.cache.write_fleet_note(&note, &component, KEPT).await?;
            }
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, KnownFleet> {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
