//! A store with one of its protections switched off.

use std::collections::HashMap;
use std::sync::{Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use corral_host::store::{
    Claim, Claimed, Envelope, Filled, Indexed, Intent, Key, Listener, MemoryStore, Mode, Removed,
    Store, StoreError, Tag, Token, Tracked,
};

/// A protection to switch off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    FillWithoutLease,
    InvalidationLeavesLeases,
    ClaimDoesNotLook,
    EveryClaimTakesOver,
    AnyoneReleases,
    NoMark,
    IndexForgets,
    TellsNobody,
}

/// A store with one fault: what the suite and the model must be able to notice.
pub(super) struct Faulty {
    inner: MemoryStore,
    fault: Fault,
    granted: Mutex<HashMap<Key, Token>>,
}

impl Faulty {
    pub(super) fn new(fault: Fault) -> Self {
        Self { inner: MemoryStore::default(), fault, granted: Mutex::default() }
    }

    async fn seize(&self, key: &Key, token: Token) {
        let lease = Duration::from_secs(60);
        let claim = Claim { key, token, lease, seen_ms: 0, mode: Mode::TakeOver };
        self.inner.claim(claim).await.unwrap();
    }

    async fn leases(&self) -> Vec<(Key, Token)> {
        let granted = self.granted.lock().unwrap().clone();
        let mut held = Vec::new();
        for (key, token) in granted {
            if self.inner.renew(&key, token, Duration::from_secs(60)).await.unwrap() {
                held.push((key, token));
            }
        }
        held
    }

    async fn invalidated(
        &self,
        invalidation: impl Future<Output = Result<Removed, StoreError>>,
    ) -> Result<Removed, StoreError> {
        if self.fault != Fault::InvalidationLeavesLeases {
            return invalidation.await;
        }
        let leases = self.leases().await;
        let removed = invalidation.await;
        for (key, token) in leases {
            self.seize(&key, token).await;
        }
        removed
    }
}

#[async_trait]
impl Store for Faulty {
    async fn get(&self, key: &Key) -> Result<Option<Envelope>, StoreError> {
        self.inner.get(key).await
    }

    async fn get_tracked(&self, key: &Key) -> Result<Tracked, StoreError> {
        self.inner.get_tracked(key).await
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        if self.fault != Fault::TellsNobody {
            self.inner.listen(listener);
        }
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, StoreError> {
        let claim = match self.fault {
            Fault::ClaimDoesNotLook => Claim { seen_ms: u64::MAX, ..claim },
            Fault::EveryClaimTakesOver => Claim { mode: Mode::TakeOver, ..claim },
            Fault::FillWithoutLease
            | Fault::InvalidationLeavesLeases
            | Fault::AnyoneReleases
            | Fault::NoMark
            | Fault::IndexForgets
            | Fault::TellsNobody => claim,
        };
        let claimed = self.inner.claim(claim).await?;
        if matches!(claimed, Claimed::Granted { .. }) {
            self.granted.lock().unwrap().insert(claim.key.clone(), claim.token);
        }
        Ok(claimed)
    }

    async fn fill(
        &self,
        key: &Key,
        token: Token,
        envelope: &Envelope,
    ) -> Result<Filled, StoreError> {
        if self.fault == Fault::FillWithoutLease {
            self.seize(key, token).await;
        }
        self.inner.fill(key, token, envelope).await
    }

    async fn renew(&self, key: &Key, token: Token, lease: Duration) -> Result<bool, StoreError> {
        self.inner.renew(key, token, lease).await
    }

    async fn release(&self, key: &Key, token: Token) -> Result<bool, StoreError> {
        if self.fault == Fault::AnyoneReleases {
            self.seize(key, token).await;
        }
        self.inner.release(key, token).await
    }

    async fn lease_left(&self, key: &Key) -> Result<Option<Duration>, StoreError> {
        self.inner.lease_left(key).await
    }

    async fn invalidate_keys(&self, keys: &[Key]) -> Result<Removed, StoreError> {
        self.invalidated(self.inner.invalidate_keys(keys)).await
    }

    async fn invalidate_tag(&self, tag: &Tag, mark: Duration) -> Result<Removed, StoreError> {
        self.invalidated(self.inner.invalidate_tag(tag, mark)).await
    }

    async fn index(&self, tag: &Tag, key: &Key, expires_at_ms: u64) -> Result<Indexed, StoreError> {
        match self.fault {
            Fault::IndexForgets => Ok(Indexed::Clear),
            Fault::NoMark => {
                self.inner.index(tag, key, expires_at_ms).await.map(|_| Indexed::Clear)
            }
            Fault::FillWithoutLease
            | Fault::InvalidationLeavesLeases
            | Fault::ClaimDoesNotLook
            | Fault::EveryClaimTakesOver
            | Fault::AnyoneReleases
            | Fault::TellsNobody => self.inner.index(tag, key, expires_at_ms).await,
        }
    }

    async fn announce(&self, intent: &Intent, hold: Duration) -> Result<(), StoreError> {
        self.inner.announce(intent, hold).await
    }

    async fn withdraw(&self, intent: &Intent) -> Result<(), StoreError> {
        self.inner.withdraw(intent).await
    }

    async fn due(&self, hold: Duration) -> Result<Vec<Intent>, StoreError> {
        self.inner.due(hold).await
    }

    async fn settled(&self, key: &Key, at_most: Duration) {
        self.inner.settled(key, at_most).await;
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }

    fn now_ms(&self) -> u64 {
        self.inner.now_ms()
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn unreadable(&self) -> u64 {
        self.inner.unreadable()
    }
}
