//! Waiting for the end of a lease, and whether the server tells of changes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::RedisStore;
use crate::store::Name;

/// How often a waiter looks again if the server can't push the end of the lease.
const POLL: Duration = Duration::from_millis(25);

impl RedisStore {
    /// Returns when the lease may have ended, after `at_most` at the latest.
    pub(super) async fn await_end(&self, name: &Name, at_most: Duration) {
        let wait = async {
            let mut waiter = self.listening.waiters.register(name);
            if let Some(left) = self.ask_to_be_told(name).await {
                tokio::select! {
                    () = waiter.woken() => {}
                    () = sleep(left) => {}
                }
            }
        };
        // Whether the time is over or the waiter was woken, the caller looks again.
        let _ = timeout(at_most, wait).await;
    }

    /// Logs whether the server tracks names, once for each change.
    pub(super) fn note_tracking(&self, tracks: bool) {
        if self.untracked.load(Ordering::Relaxed) != tracks {
            return;
        }
        self.untracked.store(!tracks, Ordering::Relaxed);
        if tracks {
            tracing::info!("the store tells of changes again: the near cache is in use");
        } else {
            tracing::warn!(
                "the store does not tell of changes, so the near cache keeps nothing: allow this \
                 user CLIENT TRACKING and CLIENT CACHING, and let no proxy stand in between"
            );
        }
    }

    /// Asks the server to push the end of a lease; returns after what time to look anyway. `None` if the
    /// lease has ended.
    async fn ask_to_be_told(&self, name: &Name) -> Option<Duration> {
        let (lease, waiters) = (self.names.lease(name.as_str()), self.names.waiters(name.as_str()));
        match self.run::<i64>(&self.scripts.wait, &[&lease, &waiters], &[]).await {
            Ok(left_ms) => match u64::try_from(left_ms.answer) {
                Ok(left_ms) if self.link.pushes() => Some(Duration::from_millis(left_ms)),
                Ok(_) => Some(POLL),
                Err(_) => None,
            },
            Err(_) => Some(POLL),
        }
    }
}
