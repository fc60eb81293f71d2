//! The operations of the store, each an exchange over the link, and how they differ if a protection
//! is missing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use corral_host::store::{
    Beat, Claim, Claimed, Confirmation, Envelope, Epoch, Filled, FloorScope, HostCard, Indexed,
    Intent, LeaseToken, LinkId, Listener, Listing, Marking, Mode, Name, Naming, Over, Range,
    RangeId, Removed, Remover, Store, StoreError, StoreTag, Tracked,
};
use tokio::time::timeout;

use super::Link;
use super::grants::{Before, restamped};
use super::operation::{Kind, Operation};
use crate::sim::history::Event;
use crate::sim::protection::Protection;
use crate::sim::weather::Way;
use crate::sim::wire::Change;

/// By how much the clock of a host that does not use the store's is wrong: an hour.
const WRONG_MS: u64 = 3_600_000;

#[async_trait]
impl Store for Link {
    async fn get(&self, name: &Name) -> Result<Over<Option<Envelope>>, StoreError> {
        let of = name.clone();
        let get = Operation::on_name(Kind::Reads, "get", name);
        let over = self.exchange(get, move |node, now_ms| node.shelf.get(&of, now_ms).cloned());
        Ok(over.await?.map(|found| self.first_look(name, found)))
    }

    async fn get_tracked(&self, name: &Name) -> Result<Over<Tracked>, StoreError> {
        let (of, awaited) = (name.clone(), self.ears.await_answer(name));
        let (world, wire) = (Arc::clone(&self.world), self.open().wire.number());
        let get = Operation::on_name(Kind::Reads, "get", name);
        let over = self.exchange(get, move |node, now_ms| {
            world.tracking().ask(wire, &of);
            node.shelf.get(&of, now_ms).cloned()
        });
        let over = over.await;
        drop(awaited);
        let over = over?.map(|found| self.first_look(name, found));
        Ok(over.map(|envelope| Tracked { envelope, heard: true }))
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.ears.add(listener);
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Over<Claimed>, StoreError> {
        if let Some(granted) = self.grant_unheard(claim) {
            return Ok(granted);
        }
        let Claim { name, token, lease, seen_ms, mode } = claim;
        let (of, world) = (name.clone(), Arc::clone(&self.world));
        let blind = self.lacks(Protection::ClaimLooksAgain);
        let ask = Operation::on_name(Kind::Adds, "claim", name);
        let over = self.exchange(ask, move |node, now_ms| {
            let shelf = &mut node.shelf;
            let before = Before {
                newer: shelf.get(&of, now_ms).map(|value| value.loaded_at_ms),
                tenant: shelf.has_tenant(&of, now_ms),
                lapsed: shelf.lapsed(&of, now_ms),
                is_given_back: world.climate.forgets_nothing()
                    && shelf.holder(&of, now_ms).is_some_and(|of| world.tokens().is_given_back(of)),
            };
            let seen_ms = if blind { u64::MAX } else { seen_ms };
            let claim = Claim { name: &of, token, lease, seen_ms, mode };
            let claimed = shelf.claim(claim, now_ms);
            if matches!(claimed, Claimed::Granted { .. }) {
                world.tokens().granted(token);
            }
            (claimed, before)
        });
        let Over { link, answer: (claimed, before) } = over.await?;
        self.sabotage().answered.insert(token);
        match (&claimed, mode) {
            (Claimed::Granted { .. }, Mode::IfFree) => {
                self.world.tokens().held(token);
                self.note_grant(claim, &before);
            }
            (Claimed::Granted { .. }, Mode::TakeOver) => {
                self.world.tokens().held(token);
                if self.lacks(Protection::TakeOverRevokes) {
                    self.sabotage().privileged.insert(token);
                }
            }
            (Claimed::Held { .. }, _) if before.is_given_back => {
                let (host, key) = (self.host, name.to_string());
                self.world.note(Event::HeldByNobody { host, key });
            }
            (Claimed::Held { .. }, _) => {}
            (Claimed::Found(_), _) => {}
        }
        Ok(Over { link, answer: claimed })
    }

    async fn fill(
        &self,
        name: &Name,
        token: LeaseToken,
        envelope: &Envelope,
    ) -> Result<Over<Filled>, StoreError> {
        self.fills.fetch_add(1, Ordering::Relaxed);
        self.world.tokens().ended(token);
        let (of, mut envelope) = (name.clone(), envelope.clone());
        let change = Change::Key(name.clone());
        let unindexed = self.sabotage().unindexed.remove(name).unwrap_or_default();
        let privileged = self.sabotage().privileged.remove(&token);
        let missing = self.world.missing;
        let fill = Operation::on_name(Kind::Adds, "fill", name);
        let filled = self.exchange(fill, move |node, now_ms| {
            if missing == Some(Protection::StampIsTheClaims) {
                envelope.stamp = restamped(node, envelope.stamp);
            }
            let shelf = &mut node.shelf;
            for (tag, until_ms) in unindexed {
                shelf.index_under(&tag, &of, until_ms, now_ms);
            }
            let holder = shelf.holder(&of, now_ms);
            let accepts = match missing {
                Some(Protection::FillNeedsLease) => true,
                Some(Protection::MissingLeaseRejects) => holder.is_none(),
                Some(Protection::FillComparesToken) => holder.is_some(),
                _ => privileged,
            };
            if accepts && holder != Some(token) {
                shelf.put(&of, &envelope);
                return Filled::Stored;
            }
            shelf.fill(&of, token, &envelope, now_ms)
        });
        let filled = filled.await?;
        if filled.answer == Filled::Stored {
            self.ears.hear(&change);
        }
        Ok(filled)
    }

    async fn renew(
        &self,
        name: &Name,
        token: LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let unheard = self.lacks(Protection::RefreshTakesLease)
            && self.sabotage().privileged.contains(&token);
        if unheard || self.lacks(Protection::LeasesAreRenewed) {
            return Ok(true);
        }
        let of = name.clone();
        let renew = Operation::on_name(Kind::Adds, "renew", name);
        let over =
            self.exchange(renew, move |node, now_ms| node.shelf.renew(&of, token, lease, now_ms));
        Ok(over.await?.answer)
    }

    async fn release(&self, name: &Name, token: LeaseToken) -> Result<bool, StoreError> {
        self.world.tokens().ended(token);
        let answered = self.sabotage().answered.contains(&token);
        if self.lacks(Protection::DroppedLeasesAreGivenBack)
            || (self.lacks(Protection::UnansweredClaimsAreGivenBack) && !answered)
        {
            self.world.tokens().given_back(token);
            return Ok(true);
        }
        let of = name.clone();
        let anybodys = self.lacks(Protection::ReleaseComparesToken);
        let release = Operation::on_name(Kind::Removes, "release", name);
        let world = Arc::clone(&self.world);
        let over = self.exchange(release, move |node, now_ms| {
            // A claim that arrives after this grants the lease anew.
            world.tokens().given_back(token);
            let shelf = &mut node.shelf;
            shelf.release(&of, token, now_ms) || (anybodys && shelf.release_anybodys(&of))
        });
        Ok(over.await?.answer)
    }

    async fn lease_left(&self, name: &Name) -> Result<Option<Duration>, StoreError> {
        let of = name.clone();
        let look = Operation::on_name(Kind::Reads, "look at the lease of", name);
        let over = self.exchange(look, move |node, now_ms| node.shelf.lease_left(&of, now_ms));
        Ok(over.await?.answer)
    }

    async fn index(
        &self,
        name: &Name,
        tags: &[StoreTag],
        expires_at_ms: u64,
    ) -> Result<Over<Indexed>, StoreError> {
        if self.lacks(Protection::IndexBeforeLoad) {
            let mut sabotage = self.sabotage();
            let kept_back = sabotage.unindexed.entry(name.clone()).or_default();
            kept_back.extend(tags.iter().map(|tag| (tag.clone(), expires_at_ms)));
            let indexed = Indexed { now_ms: u64::MAX, marks: vec![] };
            return Ok(Over { link: self.open().id, answer: indexed });
        }
        let (of, tags, short) =
            (name.clone(), tags.to_vec(), self.lacks(Protection::IndexesOutliveValues));
        let index = Operation::on_name(Kind::Adds, "index", name);
        let over = self.exchange(index, move |node, now_ms| {
            let tenth_ms = expires_at_ms.saturating_sub(now_ms) / 10;
            let until_ms = if short { now_ms + tenth_ms } else { expires_at_ms };
            node.shelf.index(&of, &tags, until_ms, now_ms)
        });
        let mut over = over.await?;
        if self.lacks(Protection::MarkLoadsAgain) {
            over.answer.marks.clear();
        }
        Ok(over)
    }

    async fn remove(&self, names: &[Name]) -> Result<Over<Removed>, StoreError> {
        self.remove_names(names).await
    }

    async fn walk(
        &self,
        tags: &[StoreTag],
        marking: Marking,
        remover: &dyn Remover,
    ) -> Result<Over<()>, StoreError> {
        self.walk_indexes(tags, marking, remover).await
    }

    async fn announce(
        &self,
        _range: RangeId,
        intent: &Intent,
        hold: Duration,
    ) -> Result<Over<()>, StoreError> {
        let again = !self.sabotage().announced.insert(intent.encode());
        if again && self.lacks(Protection::IntentsAreAnnouncedAgain) {
            return Ok(Over { link: self.open().id, answer: () });
        }
        let intent = self.as_announced(intent);
        let announce = Operation::on_store(Kind::Adds, "announce");
        self.exchange(announce, move |node, now_ms| node.shelf.announce(&intent, hold, now_ms))
            .await
    }

    async fn withdraw(&self, _range: RangeId, intent: &Intent) -> Result<(), StoreError> {
        let intent = self.as_announced(intent);
        let withdraw = Operation::on_store(Kind::Removes, "withdraw");
        self.exchange(withdraw, move |node, _| node.shelf.withdraw(&intent)).await.map(drop)
    }

    async fn due(
        &self,
        _ranges: &[RangeId],
        hold: Duration,
    ) -> Result<Vec<(RangeId, Intent)>, StoreError> {
        if self.lacks(Protection::IntentsAreCarriedOut) {
            return Ok(Vec::new());
        }
        let due = Operation::on_store(Kind::Removes, "due");
        let over = self.exchange(due, move |node, now_ms| node.shelf.due(hold, now_ms)).await?;
        Ok(over.answer.into_iter().map(|intent| (RangeId::FIRST, intent)).collect())
    }

    async fn settled(&self, name: &Name, at_most: Duration) {
        let deaf = self.world.weather().link(self.host) != Way::Open
            || self.world.chance.below(1000) < self.world.climate.lost as usize;
        let end = self.open().end;
        let left = || {
            let look = |node: &mut super::Node, now_ms| node.shelf.lease_left(name, now_ms);
            self.world.peek(end.node, look)
        };
        let ended = async {
            if deaf {
                return std::future::pending().await;
            }
            loop {
                let changed = self.world.settled.notified();
                let Some(left) = left() else { return };
                // The lease has changed or run out: look again.
                let _ = timeout(left, changed).await;
            }
        };
        // This is only a hint; the caller looks again in any case.
        let _ = timeout(at_most, ended).await;
        self.pass(self.leg()).await;
    }

    async fn beat(&self, _ranges: &[RangeId]) -> Result<Over<Beat>, StoreError> {
        self.ask_beat().await
    }

    async fn confirm(&self) -> Result<Confirmation, StoreError> {
        self.ask_confirmation().await.map(Confirmation::Reached)
    }

    async fn relinked(&self, since: LinkId) {
        self.await_relinking(since).await;
    }

    fn relink(&self, _why: &str) {
        self.reconnect();
    }

    async fn read_ranges(&self, _ranges: &[RangeId]) -> Result<Over<Vec<Range>>, StoreError> {
        Ok(self.read_range().await?.map(|range| vec![range]))
    }

    async fn publish(
        &self,
        _ranges: &[RangeId],
        namings: &[Naming],
    ) -> Result<Over<Vec<Range>>, StoreError> {
        Ok(self.publish_namings(namings).await?.map(|range| vec![range]))
    }

    async fn raise(
        &self,
        _ranges: &[RangeId],
        scopes: &[FloorScope],
    ) -> Result<Over<()>, StoreError> {
        self.raise_floors(scopes).await
    }

    async fn note_watched(&self, _ranges: &[RangeId], epoch: Epoch) -> Result<(), StoreError> {
        self.write_watched(epoch).await
    }

    async fn note_known(
        &self,
        _range: RangeId,
        namings: &[(FloorScope, u64)],
    ) -> Result<(), StoreError> {
        self.write_known(namings).await
    }

    async fn enlist(&self, card: &HostCard) -> Result<Listing, StoreError> {
        self.list_host(card).await
    }

    async fn delist(&self, id: &str) -> Result<(), StoreError> {
        let id = id.to_owned();
        let delist = Operation::on_store(Kind::Removes, "delist");
        self.exchange(delist, move |node, _| node.shelf.register.delist(&id)).await.map(drop)
    }

    async fn note(&self, of: &str) -> Result<Option<Bytes>, StoreError> {
        let of = of.to_owned();
        let read = Operation::on_store(Kind::Reads, "read a note");
        Ok(self.exchange(read, move |node, _| node.shelf.register.note(&of)).await?.answer)
    }

    async fn write_note(&self, of: &str, note: &[u8], _lasts: Duration) -> Result<(), StoreError> {
        let (of, note) = (of.to_owned(), note.to_vec());
        let write = Operation::on_store(Kind::Adds, "write a note");
        let over = self.exchange(write, move |node, _| node.shelf.register.write_note(&of, &note));
        over.await.map(drop)
    }

    async fn replace_note(
        &self,
        of: &str,
        read: Option<&[u8]>,
        note: &[u8],
        _lasts: Duration,
    ) -> Result<bool, StoreError> {
        let (of, read, note) = (of.to_owned(), read.map(<[u8]>::to_vec), note.to_vec());
        let write = Operation::on_store(Kind::Adds, "replace a note");
        let over = self.exchange(write, move |node, _| {
            let is_as_read = node.shelf.register.note(&of).as_deref() == read.as_deref();
            if is_as_read {
                node.shelf.register.write_note(&of, &note);
            }
            is_as_read
        });
        Ok(over.await?.answer)
    }

    fn now_ms(&self) -> u64 {
        let now_ms = self.world.now_ms().saturating_sub(self.lag_ms);
        let now_ms = self.estimate.now_ms(now_ms, self.lacks(Protection::StepsAreFollowed));
        if self.lacks(Protection::StoreClock) {
            // Every second host is an hour ahead.
            return now_ms + (self.host as u64 % 2) * WRONG_MS;
        }
        now_ms
    }

    fn kind(&self) -> &'static str {
        "simulated"
    }

    fn unreadable(&self) -> u64 {
        0
    }
}
