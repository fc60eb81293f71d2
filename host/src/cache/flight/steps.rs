//! The steps of a flight: one method for each action, which returns the event that follows. Every method is
//! headed by the states between which it moves.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::name::Fingerprint;
use crate::observe::LoadReason;
use crate::policy::{Event, Failure, Lifetime, LoadReport};
use crate::store::{Envelope, Epoch, Filled, LeaseToken, Mode, RangeId, Store, Tracked};

use super::super::answer::Why;
use super::super::lease::{ClaimOutcome, FillOutcome, Lease, Wanted};
use super::super::load::{LoadError, Loaded, Within};
use super::super::trust::Grant;
use super::state::{BeforeLoad, LeaseGrant, Stamped};
use super::tags::MarkAge;
use super::{FillRight, Flight, FlightState, millis, sighting};

impl Flight {
    /// ## any => Looked
    pub(super) async fn look(&mut self) -> Event {
        let name = &self.place().name;
        let get = |store: Arc<dyn Store>| async move { store.get(name).await };
        let found = self.cache.nodes.ask(name.slot(), get).await;
        match found {
            Ok((envelope, epoch)) => self.looked_at(envelope, epoch),
            Err(_) => self.store_failed(),
        }
    }

    /// ## Begun => Looked, with an answer that the near cache may keep
    pub(super) async fn look_tracked(&mut self) -> Event {
        let near = (!self.read.entity().near.is_zero()).then_some(&self.cache.near);
        let place = self.place();
        let Some(ticket) = near.and_then(|near| near.reserve(&place.name)) else {
            return self.look().await;
        };
        let get = |store: Arc<dyn Store>| async move { store.get_tracked(&place.name).await };
        let tracked = self.cache.nodes.ask(place.name.slot(), get).await;
        match tracked {
            Ok((Tracked { envelope, heard }, epoch)) => {
                self.ticket = heard.then_some(ticket);
                self.looked_at(envelope, epoch)
            }
            Err(_) => self.store_failed(),
        }
    }

    fn fingerprint(&self) -> Fingerprint {
        self.place().fingerprint.in_database(self.cache.database.number())
    }

    /// Takes what was found, if it is believed: a value answers only the read that it was loaded for, while
    /// its stamp is in force. Of a value that is not believed the flight notes the age, so that a claim does
    /// not hand the value back.
    fn looked_at(&mut self, mut found: Option<Envelope>, epoch: Epoch) -> Event {
        if let Some(envelope) = &found
            && !self.is_believed(envelope, epoch)
        {
            self.seen_ms = self.seen_ms.max(envelope.loaded_at_ms);
            found = None;
        }
        self.looked(found)
    }

    fn is_believed(&self, envelope: &Envelope, epoch: Epoch) -> bool {
        let fingerprint = self.fingerprint();
        let is_ours = envelope.fingerprint == fingerprint;
        if !is_ours && envelope.fingerprint.is_of_the_database_of(fingerprint) {
            self.cache.note_collision(&self.read, &self.generation);
        }
        is_ours && self.is_in_force(envelope, Some(epoch))
    }

    /// Whether a value's stamp is in force while the value's slot has this epoch.
    pub(super) fn is_in_force(&self, envelope: &Envelope, epoch: Option<Epoch>) -> bool {
        let with_tags = |epoch| self.cache.nodes.with_tags(epoch, &envelope.tag_slots);
        self.has_floors(envelope) && epoch.and_then(with_tags) == Some(envelope.stamp.epoch)
    }

    fn has_floors(&self, envelope: &Envelope) -> bool {
        self.read.definition.is_in_force(self.range(), envelope.stamp.word)
    }

    pub(super) fn range(&self) -> RangeId {
        self.cache.nodes.range_of(self.place().name.slot())
    }

    pub(super) fn looked(&mut self, mut found: Option<Envelope>) -> Event {
        let now_ms = self.now_ms();
        self.looked_ms = now_ms;
        let event = match &found {
            Some(envelope) if envelope.stale_until_ms > now_ms => {
                self.had_value = true;
                self.seen_ms = self.seen_ms.max(envelope.loaded_at_ms);
                Event::Found(sighting(envelope, now_ms))
            }
            Some(_) | None => {
                found = None;
                Event::Absent
            }
        };
        self.state = FlightState::Looked(found);
        event
    }

    /// ## any => Looked, with nothing
    fn store_failed(&mut self) -> Event {
        self.store_failed = true;
        self.state = FlightState::Looked(None);
        Event::StoreUnavailable
    }

    /// ## Begun, Looked, Held => (Leased | Held | Looked)
    pub(super) async fn claim(&mut self, lease_ms: u32, mode: Mode) -> Event {
        let wanted = Wanted {
            name: &self.place().name,
            token: LeaseToken::new(self.cache.entropy.bits()),
            lasts: Duration::from_millis(lease_ms.into()),
            seen_ms: self.seen_ms,
            mode,
        };
        let asked = Lease::claim(&self.cache.nodes, wanted, self.cache.begin()).await;
        let metrics = &self.cache.metrics;
        match asked {
            Ok(ClaimOutcome::Granted(lease)) => {
                metrics.lease_granted.add(1);
                // The name is indexed before the load, so that an invalidation of a tag that comes
                // later finds it (race F).
                match self.index(&self.plan.tags).await {
                    Ok(indexed) => {
                        self.state = FlightState::Leased(lease, indexed.epochs());
                        Event::LeaseGranted
                    }
                    Err(_) => self.store_failed(),
                }
            }
            Ok(ClaimOutcome::Held(remaining)) => {
                metrics.lease_held.add(1);
                self.state = FlightState::Held;
                Event::LeaseHeld(millis(remaining))
            }
            Ok(ClaimOutcome::Found(envelope, epoch)) => {
                metrics.lease_found.add(1);
                self.looked_at(Some(envelope), epoch)
            }
            Err(_) => {
                metrics.lease_unavailable.add(1);
                self.store_failed()
            }
        }
    }

    /// ## Held => Looked
    pub(super) async fn wait(&mut self, at_most_ms: u32) -> Event {
        self.waits += 1;
        let at_most = Duration::from_millis(at_most_ms.max(1).into());
        let name = &self.place().name;
        match self.cache.nodes.node_of(name.slot()) {
            Ok(node) => node.trust.store().settled(name, at_most).await,
            Err(_) => sleep(at_most).await,
        }
        // Not `Held`: if the lease is over, waiting for it again would end at once, again and again.
        self.state = FlightState::Looked(None);
        Event::Waited
    }

    /// ## Begun, Looked, Held, Leased => (Loaded | Failed), not to be stored
    pub(super) async fn load_uncached(&mut self) -> Event {
        // Drops the lease, if the flight holds one: it is given back before the load.
        self.state = FlightState::Looked(None);
        match self.load(LoadReason::Uncached, self.deadline).await {
            Ok(loaded) => self.loaded(loaded, FillRight::Answer),
            Err(error) => self.load_failed(error).await,
        }
    }

    /// ## Leased => (Loaded | Failed)
    pub(super) async fn load_leased(&mut self, reason: LoadReason) -> Event {
        let (mut lease, tagged) = match mem::replace(&mut self.state, FlightState::Looked(None)) {
            FlightState::Leased(lease, tagged) => (lease, tagged),
            FlightState::Begun
            | FlightState::Looked(_)
            | FlightState::Held
            | FlightState::Loaded(..)
            | FlightState::Failed(_)
            | FlightState::Settled(..) => return self.load_uncached().await,
        };
        let policy = self.generation.policy_id();
        self.cache.publish_policy(&self.read.definition, self.range(), policy).await;
        let granted = LeaseGrant { epoch: lease.epoch, at_ms: lease.granted_ms, tagged };
        match lease.during(self.load_tagged(reason, granted)).await {
            Ok((loaded, Ok(stamp))) => self.loaded(loaded, FillRight::Fill(lease, stamp)),
            Ok((loaded, Err(why))) => {
                self.spoiled = Some(why);
                self.loaded(loaded, FillRight::Spoiled)
            }
            Err(error) => {
                drop(lease);
                self.load_failed(error).await
            }
        }
    }

    /// Loads, and writes the name into the indexes of the tags that only the row knows. A row of which a tag
    /// was invalidated during the load is loaded once more, and is not stored if its tags changed again (race
    /// F). Also returns the value's stamp, or why it can't be stored.
    async fn load_tagged(
        &self,
        reason: LoadReason,
        mut granted: LeaseGrant,
    ) -> Result<(Loaded, Result<Stamped, Why>), LoadError> {
        const REJECTED: Why = Why::FillRejected;
        let before = self.before_load(granted.epoch);
        let first = self.load(reason, self.until).await?;
        let Some(before) = before.filter(|_| !self.cache.is_of_another_database()) else {
            return Ok((first, Err(REJECTED)));
        };
        let tags = match self.row_tags(&first).await {
            Ok(tags) => tags,
            Err(why) => return Ok((first, Err(why))),
        };
        if tags.is_empty() {
            return Ok((first, Ok(granted.stamped(before.word))));
        }
        let Ok(indexed) = self.index(&tags).await else {
            return Ok((first, Err(REJECTED)));
        };
        let own = self.cache.nodes.node_of(self.place().name.slot()).map(|node| node.number).ok();
        let since = |node, grant: Grant| {
            // The node that granted the lease tells a time before the load by its grant, too.
            if Some(node) == own { grant.beat_ms.max(granted.at_ms) } else { grant.beat_ms }
        };
        match indexed.age(&before.grants, since) {
            MarkAge::Unknown => Ok((first, Err(REJECTED))),
            MarkAge::Old => {
                granted.tagged.extend(indexed.epochs());
                Ok((first, Ok(granted.stamped(before.word))))
            }
            MarkAge::New => {
                let again = self.before_load(granted.epoch);
                let second = self.load(LoadReason::Tag, self.until).await?;
                let is_same = self.row_tags(&second).await.as_ref() == Ok(&tags);
                granted.tagged.extend(indexed.epochs());
                let stamp = again.filter(|_| is_same).map(|again| granted.stamped(again.word));
                Ok((second, stamp.ok_or(REJECTED)))
            }
        }
    }

    /// What is trusted and in force when a load begins; `None` if the loaded value can't be stored.
    fn before_load(&self, epoch: Epoch) -> Option<BeforeLoad> {
        let nodes = &self.cache.nodes;
        nodes.epoch(self.place().name.slot()).filter(|now| *now == epoch)?;
        let (policy, now) = (self.generation.policy_id(), self.cache.clock.now());
        let word = self.read.definition.word(self.range(), policy, now)?;
        Some(BeforeLoad { grants: nodes.grants(), word })
    }

    async fn load(&self, reason: LoadReason, until: Instant) -> Result<Loaded, LoadError> {
        let within = Within { deadline: self.deadline, until };
        self.cache.load(&self.read, &self.plan.row_columns, reason, within).await
    }

    fn loaded(&mut self, loaded: Loaded, right: FillRight) -> Event {
        let bytes = loaded.body.as_ref().map_or(0, bytes::Bytes::len);
        let event = Event::Loaded(LoadReport {
            cost_ms: millis(loaded.cost),
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            negative: loaded.body.is_none(),
        });
        self.state = FlightState::Loaded(loaded, right);
        event
    }

    /// ## Leased, Looked => Failed
    ///
    /// What the flight saw before its load is too old for requests that joined since, so it looks again. A
    /// value of an epoch that is over may be answered in place of a failed load, and nowhere else.
    async fn load_failed(&mut self, error: LoadError) -> Event {
        let cause = error.cause();
        self.last_error = Some(error);
        let at_hand = self.at_hand().await;
        let now_ms = self.now_ms();
        let failure = Failure { cause, at_hand: at_hand.as_ref().map(|e| sighting(e, now_ms)) };
        self.state = FlightState::Failed(at_hand);
        Event::LoadFailed(failure)
    }

    /// The value in the store now, if it may be answered when a load fails.
    pub(super) async fn at_hand(&self) -> Option<Envelope> {
        let name = &self.place().name;
        let get = |store: Arc<dyn Store>| async move { store.get(name).await };
        let (envelope, epoch) = self.cache.nodes.ask(name.slot(), get).await.ok()?;
        let now_ms = self.now_ms();
        envelope.filter(|envelope| {
            envelope.stale_until_ms > now_ms && self.may_be_stale(envelope, epoch)
        })
    }

    /// Whether a value may be answered when a load failed: it is believed, or only an epoch that is over
    /// makes it untrue and the entity allows stale-if-error.
    fn may_be_stale(&self, envelope: &Envelope, epoch: Epoch) -> bool {
        let is_allowed = || !self.read.entity().stale_if_error.is_zero();
        envelope.fingerprint == self.fingerprint()
            && self.has_floors(envelope)
            && (self.is_in_force(envelope, Some(epoch)) || is_allowed())
    }

    /// ## Loaded => Settled
    pub(super) async fn fill(&mut self, lifetime: Lifetime) -> Event {
        let state = mem::replace(&mut self.state, FlightState::Begun);
        let FlightState::Loaded(loaded, right) = state else {
            return self.store_failed();
        };
        let (filled, envelope) = match right {
            FillRight::Fill(lease, stamp) => {
                let envelope = self.envelope(&loaded, lifetime, lease.granted_ms, stamp);
                (lease.fill(&envelope).await, Some(envelope))
            }
            FillRight::Spoiled | FillRight::Answer => {
                (Ok(FillOutcome { filled: Filled::Rejected, is_proof: false }), None)
            }
        };
        self.is_proven = filled.as_ref().is_ok_and(|spent| spent.is_proof);
        let metrics = &self.cache.metrics;
        let (event, stored) = match filled.map(|spent| spent.filled) {
            Ok(Filled::Stored) => {
                metrics.fill_stored.add(1);
                (Event::Filled, envelope)
            }
            Ok(Filled::Rejected) => {
                metrics.fill_rejected.add(1);
                (Event::FillRejected, None)
            }
            Err(_) => {
                metrics.fill_unavailable.add(1);
                self.store_failed = true;
                (Event::StoreUnavailable, None)
            }
        };
        self.state = FlightState::Settled(loaded, stored);
        event
    }

    fn envelope(
        &self,
        loaded: &Loaded,
        lifetime: Lifetime,
        granted_ms: u64,
        stamped: Stamped,
    ) -> Envelope {
        let now_ms = self.now_ms();
        let fresh_until_ms = now_ms + u64::from(lifetime.fresh_ms);
        Envelope {
            loaded_at_ms: granted_ms,
            refresh_at_ms: now_ms + u64::from(lifetime.refresh_ms),
            fresh_until_ms,
            stale_until_ms: fresh_until_ms + u64::from(lifetime.stale_ms),
            cost_ms: millis(loaded.cost),
            generation: self.generation.number(),
            etag: loaded.etag(),
            fingerprint: self.fingerprint(),
            stamp: stamped.stamp,
            tag_slots: stamped.tag_slots,
            body: loaded.body.clone(),
        }
    }
}
