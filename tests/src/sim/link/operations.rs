//! The operations of the store, each an exchange over the link; without a protection, differently.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use corral_host::store::{
    Claim, Claimed, Envelope, Filled, Indexed, Intent, Key, Listener, Mode, Removed, Store,
    StoreError, Tag, Token, Tracked,
};
use tokio::time::timeout;

use super::operation::Operation;
use super::{Link, Sabotage};
use crate::sim::history::Event;
use crate::sim::protection::Protection;
use crate::sim::shelf::Member;
use crate::sim::weather::Way;
use crate::sim::wire::Change;

/// How many members of an index one exchange removes: few, so that a walk has several.
const CHUNK: usize = 1;

/// An hour: what the clock of a host without the store's is wrong by.
const WRONG_MS: u64 = 3_600_000;

impl Link {
    /// Whether the drain of the pending invalidations is to be answered before it is carried out.
    fn answers_too_early(&self, owed: impl FnOnce(&mut Sabotage) -> bool) -> bool {
        self.lacks(Protection::PendingComesFirst) && owed(&mut self.sabotage())
    }

    fn owe(&self, owe: impl FnOnce(&mut Sabotage)) {
        if self.lacks(Protection::PendingComesFirst) {
            owe(&mut self.sabotage());
        }
    }

    async fn remove(&self, keys: Vec<Key>) -> Result<u64, StoreError> {
        let spares_leases = self.lacks(Protection::InvalidationTakesLease);
        let changes: Vec<Change> = keys.iter().cloned().map(Change::Key).collect();
        let removed =
            self.exchange(Operation::on_keys("invalidate", &keys), move |shelf, now_ms| {
                let remove = |key: &Key| {
                    if spares_leases {
                        shelf.remove_value(key);
                        return false;
                    }
                    shelf.remove(key, now_ms)
                };
                keys.iter().map(remove).filter(|gone| *gone).count() as u64
            });
        let removed = removed.await?;
        changes.iter().for_each(|change| self.ears.hear(change));
        Ok(removed)
    }

    async fn remove_tagged(&self, tag: &Tag, mark: Duration) -> Result<Removed, StoreError> {
        let (of, mut removed) = (tag.clone(), Removed::default());
        let members = self.exchange(Operation::on_tag("mark", tag), move |shelf, now_ms| {
            shelf.mark(&of, mark, now_ms)
        });
        for chunk in members.await?.chunks(CHUNK) {
            let keys = chunk.iter().map(|(key, _)| key.clone()).collect();
            removed.keys += self.remove(keys).await?;
            let (of, chunk): (Tag, Vec<Member>) = (tag.clone(), chunk.to_vec());
            self.exchange(Operation::on_tag("forget a member of", tag), move |shelf, _| {
                chunk.iter().for_each(|member| shelf.forget(&of, member));
            })
            .await?;
        }
        Ok(removed)
    }

    /// A lease for a refresh that the store never hears of.
    fn grant_unheard(&self, claim: Claim<'_>) -> Option<Claimed> {
        let now_ms = self.world.now_ms();
        let refreshes = claim.mode == Mode::IfFree
            && claim.seen_ms > 0
            && self.world.shelf().get(claim.key, now_ms).is_some();
        if !self.lacks(Protection::RefreshTakesLease) || !refreshes {
            return None;
        }
        self.sabotage().privileged.insert(claim.token);
        Some(Claimed::Granted { now_ms })
    }

    fn note_claimed_in_vain(&self, key: &Key, seen_ms: u64, newer: Option<u64>) {
        if newer.is_some_and(|loaded_ms| loaded_ms > seen_ms) {
            let (host, key) = (self.host, key.to_string());
            self.world.note(Event::ClaimedInVain { host, key });
        }
    }
}

#[async_trait]
impl Store for Link {
    async fn get(&self, key: &Key) -> Result<Option<Envelope>, StoreError> {
        let of = key.clone();
        self.exchange(Operation::on_key("get", key), move |shelf, now_ms| {
            shelf.get(&of, now_ms).cloned()
        })
        .await
    }

    async fn get_tracked(&self, key: &Key) -> Result<Tracked, StoreError> {
        let (of, awaited) = (key.clone(), self.ears.await_answer(key));
        let (world, wire) = (Arc::clone(&self.world), self.wire().number());
        let envelope = self.exchange(Operation::on_key("get", key), move |shelf, now_ms| {
            world.tracking().ask(wire, &of);
            shelf.get(&of, now_ms).cloned()
        });
        let envelope = envelope.await;
        drop(awaited);
        Ok(Tracked { envelope: envelope?, heard: true })
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.ears.add(listener);
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, StoreError> {
        if let Some(granted) = self.grant_unheard(claim) {
            return Ok(granted);
        }
        let Claim { key, token, lease, seen_ms, mode } = claim;
        let of = key.clone();
        let blind = self.lacks(Protection::ClaimLooksAgain);
        let claimed = self.exchange(Operation::on_key("claim", key), move |shelf, now_ms| {
            let newer = shelf.get(&of, now_ms).map(|value| value.loaded_at_ms);
            let tenant = shelf.has_tenant(&of, now_ms);
            let seen_ms = if blind { u64::MAX } else { seen_ms };
            (shelf.claim(Claim { key: &of, token, lease, seen_ms, mode }, now_ms), newer, tenant)
        });
        let (claimed, newer, tenant) = claimed.await?;
        if matches!(claimed, Claimed::Granted { .. }) {
            match mode {
                Mode::IfFree => {
                    self.note_claimed_in_vain(key, seen_ms, newer);
                    if tenant {
                        let (host, key) = (self.host, key.to_string());
                        self.world.note(Event::LeasedTwice { host, key });
                    }
                }
                Mode::TakeOver if self.lacks(Protection::TakeOverRevokes) => {
                    self.sabotage().privileged.insert(token);
                }
                Mode::TakeOver => {}
            }
        }
        Ok(claimed)
    }

    async fn fill(
        &self,
        key: &Key,
        token: Token,
        envelope: &Envelope,
    ) -> Result<Filled, StoreError> {
        let (of, envelope) = (key.clone(), envelope.clone());
        let change = Change::Key(key.clone());
        let unindexed = self.sabotage().unindexed.remove(key).unwrap_or_default();
        let privileged = self.sabotage().privileged.remove(&token);
        let missing = self.world.missing;
        let filled = self.exchange(Operation::on_key("fill", key), move |shelf, now_ms| {
            for (tag, until_ms) in unindexed {
                shelf.index(&tag, &of, until_ms, now_ms);
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
        if filled == Filled::Stored {
            self.ears.hear(&change);
        }
        Ok(filled)
    }

    async fn renew(&self, key: &Key, token: Token, lease: Duration) -> Result<bool, StoreError> {
        if self.lacks(Protection::RefreshTakesLease) && self.sabotage().privileged.contains(&token)
        {
            return Ok(true);
        }
        let of = key.clone();
        self.exchange(Operation::on_key("renew", key), move |shelf, now_ms| {
            shelf.renew(&of, token, lease, now_ms)
        })
        .await
    }

    async fn release(&self, key: &Key, token: Token) -> Result<bool, StoreError> {
        let of = key.clone();
        let anybodys = self.lacks(Protection::ReleaseComparesToken);
        self.exchange(Operation::on_key("release", key), move |shelf, now_ms| {
            shelf.release(&of, token, now_ms) || (anybodys && shelf.release_anybodys(&of))
        })
        .await
    }

    async fn lease_left(&self, key: &Key) -> Result<Option<Duration>, StoreError> {
        let of = key.clone();
        let look = Operation::on_key("look at the lease of", key);
        self.exchange(look, move |shelf, now_ms| shelf.lease_left(&of, now_ms)).await
    }

    async fn invalidate_keys(&self, keys: &[Key]) -> Result<Removed, StoreError> {
        let owed = |sabotage: &mut Sabotage| keys.iter().any(|key| sabotage.owed_keys.remove(key));
        if self.answers_too_early(owed) {
            let keys = keys.to_vec();
            self.arrive_late(
                Operation::on_store("invalidate"),
                self.world.chance.millis(100, 500),
                move |shelf, now_ms| {
                    keys.iter().for_each(|key| {
                        shelf.remove(key, now_ms);
                    });
                },
            );
            return Ok(Removed::default());
        }
        match self.remove(keys.to_vec()).await {
            Ok(keys) => Ok(Removed { keys }),
            Err(error) => {
                self.owe(|sabotage| sabotage.owed_keys.extend(keys.iter().cloned()));
                Err(error)
            }
        }
    }

    async fn invalidate_tag(&self, tag: &Tag, mark: Duration) -> Result<Removed, StoreError> {
        if self.answers_too_early(|sabotage| sabotage.owed_tags.remove(tag)) {
            let of = tag.clone();
            self.arrive_late(
                Operation::on_tag("invalidate", tag),
                self.world.chance.millis(100, 500),
                move |shelf, now_ms| {
                    for member in shelf.mark(&of, mark, now_ms) {
                        shelf.remove(&member.0, now_ms);
                        shelf.forget(&of, &member);
                    }
                },
            );
            return Ok(Removed::default());
        }
        let removed = self.remove_tagged(tag, mark).await;
        if removed.is_err() {
            self.owe(|sabotage| {
                sabotage.owed_tags.insert(tag.clone());
            });
        }
        removed
    }

    async fn index(&self, tag: &Tag, key: &Key, expires_at_ms: u64) -> Result<Indexed, StoreError> {
        if self.lacks(Protection::IndexBeforeLoad) {
            let mut sabotage = self.sabotage();
            let kept_back = sabotage.unindexed.entry(key.clone()).or_default();
            kept_back.push((tag.clone(), expires_at_ms));
            return Ok(Indexed::Clear);
        }
        let (of, key) = (tag.clone(), key.clone());
        let indexed = self.exchange(Operation::on_tag("index under", tag), move |shelf, now_ms| {
            shelf.index(&of, &key, expires_at_ms, now_ms)
        });
        let indexed = indexed.await?;
        Ok(if self.lacks(Protection::MarkLoadsAgain) { Indexed::Clear } else { indexed })
    }

    async fn announce(&self, intent: &Intent, hold: Duration) -> Result<(), StoreError> {
        let intent = intent.clone();
        self.exchange(Operation::on_store("announce"), move |shelf, now_ms| {
            shelf.announce(&intent, hold, now_ms);
        })
        .await
    }

    async fn withdraw(&self, intent: &Intent) -> Result<(), StoreError> {
        let intent = intent.clone();
        self.exchange(Operation::on_store("withdraw"), move |shelf, _| shelf.withdraw(&intent))
            .await
    }

    async fn due(&self, hold: Duration) -> Result<Vec<Intent>, StoreError> {
        if self.lacks(Protection::IntentsAreCarriedOut) {
            return Ok(Vec::new());
        }
        self.exchange(Operation::on_store("due"), move |shelf, now_ms| shelf.due(hold, now_ms))
            .await
    }

    async fn settled(&self, key: &Key, at_most: Duration) {
        let deaf = self.world.weather().link(self.host) != Way::Open
            || self.world.chance.below(1000) < self.world.climate.lost as usize;
        let ended = async {
            if deaf {
                return std::future::pending().await;
            }
            loop {
                let changed = self.world.settled.notified();
                let left = self.world.shelf().lease_left(key, self.world.now_ms());
                let Some(left) = left else { return };
                // Changed or over: look again.
                let _ = timeout(left, changed).await;
            }
        };
        // A hint only: told or not, the caller looks again.
        let _ = timeout(at_most, ended).await;
        self.pass(self.leg()).await;
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.exchange(Operation::on_store("ping"), |_, _| ()).await
    }

    fn now_ms(&self) -> u64 {
        let now_ms = self.world.now_ms();
        if self.lacks(Protection::StoreClock) {
            // Every other host is an hour ahead.
            return now_ms + (self.host as u64 % 2) * WRONG_MS;
        }
        let estimate_ms = now_ms.saturating_sub(self.lag_ms);
        self.latest_ms.fetch_max(estimate_ms, Ordering::Relaxed).max(estimate_ms)
    }

    fn kind(&self) -> &'static str {
        "simulated"
    }

    fn unreadable(&self) -> u64 {
        0
    }
}
