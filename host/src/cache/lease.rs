//! A lease in our hands: renewed while a load runs, spent by a fill, given back on every other exit.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::store::{Envelope, Filled, Key, StoreError, Token};

use super::trust::{TrustedStore, Unfinished};

/// Dropped unspent, it gives the lease back: on errors, cancellation and panic alike.
pub(super) struct Lease {
    store: Arc<TrustedStore>,
    key: Key,
    token: Token,
    lease: Duration,
    ours: bool,
    unfinished: Unfinished,
}

impl Lease {
    pub(super) fn new(store: Arc<TrustedStore>, key: Key, token: Token, lease: Duration) -> Self {
        let unfinished = store.begin();
        Self { store, key, token, lease, ours: true, unfinished }
    }

    /// Runs `load` and renews the lease three times in each of its lives meanwhile. A lease that
    /// is lost stays lost: the load goes on for those who wait, and its fill will be rejected.
    pub(super) async fn during<T>(&mut self, load: impl Future<Output = T>) -> T {
        tokio::pin!(load);
        let mut beat = interval(self.lease / 3);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.tick().await;
        loop {
            tokio::select! {
                biased;
                loaded = &mut load => return loaded,
                _ = beat.tick(), if self.ours => {
                    let renewed = self.store.renew(&self.key, self.token, self.lease);
                    tokio::select! {
                        biased;
                        loaded = &mut load => return loaded,
                        renewed = renewed => self.ours = !matches!(renewed, Ok(false)),
                    }
                }
            }
        }
    }

    /// Spends the lease.
    pub(super) async fn fill(mut self, envelope: &Envelope) -> Result<Filled, StoreError> {
        let filled = self.store.fill(&self.key, self.token, envelope).await;
        // Without an answer it is unknown whether the lease is spent: the drop gives it back.
        self.ours = filled.is_err();
        filled
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.ours {
            let (store, key, token) = (Arc::clone(&self.store), self.key.clone(), self.token);
            let unfinished = self.unfinished.clone();
            runtime.spawn(async move {
                if let Err(error) = store.release(&key, token).await {
                    tracing::debug!(%error, "a lease was not given back; it runs out by itself");
                }
                drop(unfinished);
            });
        }
    }
}
