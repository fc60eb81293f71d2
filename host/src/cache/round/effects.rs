//! What a round does: one method an action, each of which says what happened.

use std::sync::Arc;
use std::time::Duration;

use crate::observe::LoadReason;
use crate::policy::{Event, Failure, Lifetime, Report};
use crate::store::{Claim, Claimed, Envelope, Filled, Mode, StoreError, Tag, Token, Tracked};

use super::super::lease::Lease;
use super::super::load::{LoadError, Loaded};
use super::super::stage::Stage;
use super::super::tags;
use super::{Round, millis, sighting};

impl Round {
    pub(super) async fn look(&mut self) -> Event {
        match self.cache.store.get(&self.plan.key).await {
            Ok(envelope) => self.looked(envelope),
            Err(_) => self.store_failed(),
        }
    }

    /// A look whose answer the near cache may keep.
    pub(super) async fn look_tracked(&mut self) -> Event {
        let near = (!self.read.entity.near.is_zero()).then_some(&self.cache.near);
        let Some(ticket) = near.and_then(|near| near.reserve(&self.plan.key)) else {
            return self.look().await;
        };
        match self.cache.store.get_tracked(&self.plan.key).await {
            Ok(Tracked { envelope, heard }) => {
                self.ticket = heard.then_some(ticket);
                self.looked(envelope)
            }
            Err(_) => self.store_failed(),
        }
    }

    /// Whatever was loaded before now is too old for this reader.
    pub(super) fn bypass(&mut self) -> Event {
        self.seen_ms = self.cache.store.now_ms();
        Event::Bypassed
    }

    fn looked(&mut self, envelope: Option<Envelope>) -> Event {
        let now_ms = self.cache.store.now_ms();
        self.looked_ms = now_ms;
        let envelope = envelope.filter(|envelope| envelope.stale_until_ms > now_ms);
        let event = match &envelope {
            Some(envelope) => {
                self.seen_ms = self.seen_ms.max(envelope.loaded_at_ms);
                Event::Found(sighting(envelope, now_ms))
            }
            None => Event::Absent,
        };
        self.stage = Stage::Looked(envelope);
        event
    }

    fn store_failed(&mut self) -> Event {
        self.store_failed = true;
        self.lease = None;
        self.stage = Stage::Looked(None);
        Event::StoreUnavailable
    }

    pub(super) async fn claim(&mut self, lease_ms: u32, mode: Mode) -> Event {
        let token = Token::new(self.cache.entropy.bits());
        let lease = Duration::from_millis(lease_ms.into());
        let key = &self.plan.key;
        let claim = Claim { key, token, lease, seen_ms: self.seen_ms, mode };
        let metrics = &self.cache.metrics;
        match self.cache.store.claim(claim).await {
            Ok(Claimed::Granted { now_ms }) => {
                metrics.lease_granted.increment(1);
                let store = Arc::clone(&self.cache.store);
                self.lease = Some(Lease::new(store, key.clone(), token, lease));
                self.granted_ms = now_ms;
                match self.index(&self.plan.tags).await {
                    Ok(_marked) => {
                        self.stage = Stage::Leased;
                        Event::LeaseGranted
                    }
                    Err(_) => self.store_failed(),
                }
            }
            Ok(Claimed::Held { remaining }) => {
                metrics.lease_held.increment(1);
                self.stage = Stage::Held;
                Event::LeaseHeld(millis(remaining))
            }
            Ok(Claimed::Found(envelope)) => {
                metrics.lease_found.increment(1);
                self.looked(Some(envelope))
            }
            Err(_) => {
                metrics.lease_unavailable.increment(1);
                self.store_failed()
            }
        }
    }

    pub(super) async fn wait(&mut self, at_most_ms: u32) -> Event {
        self.waits += 1;
        let at_most = Duration::from_millis(at_most_ms.max(1).into());
        self.cache.store.settled(&self.plan.key, at_most).await;
        // The lease may be over, and waiting for it again would end at once, again and again.
        self.stage = Stage::Looked(None);
        Event::Waited
    }

    pub(super) async fn load_uncached(&mut self) -> Event {
        self.lease = None;
        let result = self.load(LoadReason::Uncached).await;
        self.loaded(result, false).await
    }

    /// Loads under the lease. A row whose own tags were invalidated while it loaded is loaded once
    /// more, and is not stored when its tags changed again (race F).
    pub(super) async fn load_leased(&mut self, reason: LoadReason) -> Event {
        let Some(mut lease) = self.lease.take() else {
            return self.load_uncached().await;
        };
        let (result, fillable) = lease.during(self.load_tagged(reason)).await;
        self.lease = fillable.then_some(lease);
        self.loaded(result, true).await
    }

    async fn load_tagged(&self, reason: LoadReason) -> (Result<Loaded, LoadError>, bool) {
        let first = self.load(reason).await;
        let Ok(loaded) = &first else {
            return (first, false);
        };
        let Some(tags) = self.row_tags(loaded) else {
            return (first, false);
        };
        match self.index(&tags).await {
            Ok(false) => (first, true),
            Ok(true) => {
                let second = self.load(LoadReason::Tag).await;
                let same = second.as_ref().ok().and_then(|loaded| self.row_tags(loaded));
                (second, same.as_ref() == Some(&tags))
            }
            Err(_) => (first, false),
        }
    }

    async fn load(&self, reason: LoadReason) -> Result<Loaded, LoadError> {
        self.cache.load(&self.read, reason, self.deadline).await
    }

    fn row_tags(&self, loaded: &Loaded) -> Option<Vec<Tag>> {
        tags::of_rows(&self.generation, &self.read, &self.plan, loaded)
    }

    async fn index(&self, tags: &[Tag]) -> Result<bool, StoreError> {
        let kept = self.bounds.kept_at_most + self.read.entity.deadline;
        tags::index(&self.cache.store, &self.plan.key, tags, kept).await
    }

    async fn loaded(&mut self, result: Result<Loaded, LoadError>, under_lease: bool) -> Event {
        match result {
            Ok(loaded) => {
                let event = Event::Loaded(Report {
                    cost_ms: millis(loaded.cost),
                    bytes: loaded
                        .body
                        .as_ref()
                        .map_or(0, |b| u32::try_from(b.len()).unwrap_or(u32::MAX)),
                    negative: loaded.body.is_none(),
                });
                self.stage = Stage::Loaded { loaded, under_lease };
                event
            }
            Err(error) => self.load_failed(error).await,
        }
    }

    /// What a flight saw before its load is too old for those who came since: it looks again.
    async fn load_failed(&mut self, error: LoadError) -> Event {
        let cause = error.cause();
        self.last_error = Some(error);
        self.lease = None;
        let now_ms = self.cache.store.now_ms();
        let at_hand = self.cache.store.get(&self.plan.key).await.ok().flatten();
        let at_hand = at_hand.filter(|envelope| envelope.stale_until_ms > now_ms);
        let failure = Failure { cause, at_hand: at_hand.as_ref().map(|e| sighting(e, now_ms)) };
        self.stage = Stage::Failed(at_hand);
        Event::LoadFailed(failure)
    }

    pub(super) async fn fill(&mut self, lifetime: Lifetime) -> Event {
        let stage = std::mem::replace(&mut self.stage, Stage::Begun);
        let Stage::Loaded { loaded, .. } = stage else {
            return self.store_failed();
        };
        let envelope = self.envelope(&loaded, lifetime);
        let filled = match self.lease.take() {
            Some(lease) => lease.fill(&envelope).await,
            // Given back after the load, since the value's tags can't be relied upon. That is no
            // fault of the policy's, which does not know of it.
            None => Ok(Filled::Rejected),
        };
        let metrics = &self.cache.metrics;
        let (event, stored) = match filled {
            Ok(Filled::Stored) => {
                metrics.fill_stored.increment(1);
                (Event::Filled, Some(envelope))
            }
            Ok(Filled::Rejected) => {
                metrics.fill_rejected.increment(1);
                (Event::FillRejected, None)
            }
            Err(_) => {
                metrics.fill_unavailable.increment(1);
                self.store_failed = true;
                (Event::StoreUnavailable, None)
            }
        };
        self.stage = Stage::Settled { loaded, stored };
        event
    }

    fn envelope(&self, loaded: &Loaded, lifetime: Lifetime) -> Envelope {
        let now_ms = self.cache.store.now_ms();
        let fresh_until_ms = now_ms + u64::from(lifetime.fresh_ms);
        Envelope {
            loaded_at_ms: self.granted_ms,
            refresh_at_ms: now_ms + u64::from(lifetime.refresh_ms),
            fresh_until_ms,
            stale_until_ms: fresh_until_ms + u64::from(lifetime.stale_ms),
            cost_ms: millis(loaded.cost),
            generation: self.generation.number(),
            etag: loaded.etag(),
            body: loaded.body.clone(),
        }
    }
}
