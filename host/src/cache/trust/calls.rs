//! The store's operations, as far as it is trusted.

use std::time::Duration;

use crate::store::{
    Claim, Claimed, Envelope, Filled, Indexed, Intent, Key, StoreError, Tag, Token, Tracked,
};

use super::TrustedStore;

impl TrustedStore {
    /// [`Store::get`](crate::store::Store::get), while the store is trusted.
    ///
    /// # Errors
    /// The store's; [`StoreError::Distrusted`] at once while it is not trusted.
    pub async fn get(&self, key: &Key) -> Result<Option<Envelope>, StoreError> {
        self.watched(|store| store.get(key)).await
    }

    /// [`Store::get_tracked`](crate::store::Store::get_tracked), while the store is trusted.
    pub(in crate::cache) async fn get_tracked(&self, key: &Key) -> Result<Tracked, StoreError> {
        self.watched(|store| store.get_tracked(key)).await
    }

    /// [`Store::claim`](crate::store::Store::claim), while the store is trusted.
    ///
    /// # Errors
    /// The store's; [`StoreError::Distrusted`] at once while it is not trusted.
    pub async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, StoreError> {
        self.watched(|store| store.claim(claim)).await
    }

    /// [`Store::fill`](crate::store::Store::fill), while the store is trusted.
    ///
    /// # Errors
    /// The store's; [`StoreError::Distrusted`] at once while it is not trusted.
    pub async fn fill(
        &self,
        key: &Key,
        token: Token,
        envelope: &Envelope,
    ) -> Result<Filled, StoreError> {
        self.watched(|store| store.fill(key, token, envelope)).await
    }

    /// [`Store::renew`](crate::store::Store::renew), while the store is trusted.
    ///
    /// # Errors
    /// The store's; [`StoreError::Distrusted`] at once while it is not trusted.
    pub async fn renew(
        &self,
        key: &Key,
        token: Token,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        self.watched(|store| store.renew(key, token, lease)).await
    }

    /// [`Store::release`](crate::store::Store::release), while the store is trusted.
    ///
    /// # Errors
    /// The store's; [`StoreError::Distrusted`] at once while it is not trusted.
    pub async fn release(&self, key: &Key, token: Token) -> Result<bool, StoreError> {
        self.watched(|store| store.release(key, token)).await
    }

    /// [`Store::lease_left`](crate::store::Store::lease_left), while the store is trusted.
    ///
    /// # Errors
    /// The store's; [`StoreError::Distrusted`] at once while it is not trusted.
    pub async fn lease_left(&self, key: &Key) -> Result<Option<Duration>, StoreError> {
        self.watched(|store| store.lease_left(key)).await
    }

    /// [`Store::index`](crate::store::Store::index), while the store is trusted.
    ///
    /// # Errors
    /// The store's; [`StoreError::Distrusted`] at once while it is not trusted.
    pub async fn index(&self, tag: &Tag, key: &Key, until_ms: u64) -> Result<Indexed, StoreError> {
        self.watched(|store| store.index(tag, key, until_ms)).await
    }

    /// [`Store::announce`](crate::store::Store::announce), while the store is trusted.
    ///
    /// # Errors
    /// The store's; [`StoreError::Distrusted`] at once while it is not trusted.
    pub async fn announce(&self, intent: &Intent, hold: Duration) -> Result<(), StoreError> {
        self.watched(|store| store.announce(intent, hold)).await
    }

    /// [`Store::withdraw`](crate::store::Store::withdraw), while the store is trusted.
    ///
    /// # Errors
    /// The store's; [`StoreError::Distrusted`] at once while it is not trusted.
    pub async fn withdraw(&self, intent: &Intent) -> Result<(), StoreError> {
        self.watched(|store| store.withdraw(intent)).await
    }

    /// [`Store::due`](crate::store::Store::due), while the store is trusted.
    ///
    /// # Errors
    /// The store's; [`StoreError::Distrusted`] at once while it is not trusted.
    pub async fn due(&self, hold: Duration) -> Result<Vec<Intent>, StoreError> {
        self.watched(|store| store.due(hold)).await
    }

    /// [`Store::settled`](crate::store::Store::settled)
    pub async fn settled(&self, key: &Key, at_most: Duration) {
        self.store.settled(key, at_most).await;
    }

    /// [`Store::now_ms`](crate::store::Store::now_ms)
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.store.now_ms()
    }

    /// [`Store::kind`](crate::store::Store::kind)
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.store.kind()
    }

    /// [`Store::unreadable`](crate::store::Store::unreadable)
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.store.unreadable()
    }
}
