//! A store that can be taken away: the demo can't kill a Redis that is not its own, so it cuts the
//! calls to it. Cut, every call uses up its time budget, as a store does that no longer answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use crate::store::{
    Claim, Claimed, Envelope, Filled, Indexed, Intent, Key, Listener, Removed, Store, StoreError,
    Tag, Token, Tracked,
};

pub(super) struct Switch {
    store: Arc<dyn Store>,
    budget: Duration,
    cut: AtomicBool,
}

impl Switch {
    pub(super) fn new(store: Arc<dyn Store>, budget: Duration) -> Self {
        Self { store, budget, cut: AtomicBool::new(false) }
    }

    pub(super) fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Release);
    }

    async fn reach(&self) -> Result<&dyn Store, StoreError> {
        if self.cut.load(Ordering::Acquire) {
            sleep(self.budget).await;
            return Err(StoreError::Timeout(self.budget));
        }
        Ok(&*self.store)
    }
}

#[async_trait]
impl Store for Switch {
    async fn get(&self, key: &Key) -> Result<Option<Envelope>, StoreError> {
        self.reach().await?.get(key).await
    }

    async fn get_tracked(&self, key: &Key) -> Result<Tracked, StoreError> {
        self.reach().await?.get_tracked(key).await
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.store.listen(listener);
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, StoreError> {
        self.reach().await?.claim(claim).await
    }

    async fn fill(
        &self,
        key: &Key,
        token: Token,
        envelope: &Envelope,
    ) -> Result<Filled, StoreError> {
        self.reach().await?.fill(key, token, envelope).await
    }

    async fn renew(&self, key: &Key, token: Token, lease: Duration) -> Result<bool, StoreError> {
        self.reach().await?.renew(key, token, lease).await
    }

    async fn release(&self, key: &Key, token: Token) -> Result<bool, StoreError> {
        self.reach().await?.release(key, token).await
    }

    async fn lease_left(&self, key: &Key) -> Result<Option<Duration>, StoreError> {
        self.reach().await?.lease_left(key).await
    }

    async fn invalidate_keys(&self, keys: &[Key]) -> Result<Removed, StoreError> {
        self.reach().await?.invalidate_keys(keys).await
    }

    async fn invalidate_tag(&self, tag: &Tag, mark: Duration) -> Result<Removed, StoreError> {
        self.reach().await?.invalidate_tag(tag, mark).await
    }

    async fn index(&self, tag: &Tag, key: &Key, until_ms: u64) -> Result<Indexed, StoreError> {
        self.reach().await?.index(tag, key, until_ms).await
    }

    async fn announce(&self, intent: &Intent, hold: Duration) -> Result<(), StoreError> {
        self.reach().await?.announce(intent, hold).await
    }

    async fn withdraw(&self, intent: &Intent) -> Result<(), StoreError> {
        self.reach().await?.withdraw(intent).await
    }

    async fn due(&self, hold: Duration) -> Result<Vec<Intent>, StoreError> {
        self.reach().await?.due(hold).await
    }

    async fn settled(&self, key: &Key, at_most: Duration) {
        self.store.settled(key, at_most).await;
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.reach().await?.ping().await
    }

    fn now_ms(&self) -> u64 {
        self.store.now_ms()
    }

    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    fn unreadable(&self) -> u64 {
        self.store.unreadable()
    }
}
