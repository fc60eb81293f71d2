//! Who in this process waits for a lease to end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::Key;

/// The waiting parties by key. A key stands here only while somebody waits for it.
#[derive(Default)]
pub(super) struct Waiters(Mutex<HashMap<Key, Party>>);

struct Party {
    notify: Arc<Notify>,
    members: usize,
}

/// A place among the waiters of one key, given up on drop.
pub(super) struct Waiter<'a> {
    waiters: &'a Waiters,
    key: Key,
    notified: std::pin::Pin<Box<OwnedNotified>>,
}

impl Waiters {
    /// From now on a wake for `key` reaches the waiter, also one that comes before it is awaited.
    pub(super) fn register(&self, key: &Key) -> Waiter<'_> {
        let mut parties = self.lock();
        let party = parties
            .entry(key.clone())
            .or_insert_with(|| Party { notify: Arc::default(), members: 0 });
        party.members += 1;
        let mut notified = Box::pin(Arc::clone(&party.notify).notified_owned());
        notified.as_mut().enable();
        Waiter { waiters: self, key: key.clone(), notified }
    }

    /// Wakes those that wait for `key`.
    pub(super) fn wake(&self, key: &Key) {
        if let Some(party) = self.lock().get(key) {
            party.notify.notify_waiters();
        }
    }

    /// Wakes everybody: what they wait for may have been missed.
    pub(super) fn wake_all(&self) {
        for party in self.lock().values() {
            party.notify.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Party>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter<'_> {
    /// Returns once woken since the registration.
    pub(super) async fn woken(&mut self) {
        self.notified.as_mut().await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut parties = self.waiters.lock();
        if let Some(party) = parties.get_mut(&self.key) {
            party.members -= 1;
            if party.members == 0 {
                parties.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_wake_between_registration_and_await_is_not_lost() {
        let (waiters, key) = (Waiters::default(), Key::try_new("k").unwrap());
        let mut waiter = waiters.register(&key);
        assert!(waiter.woken().now_or_never().is_none());
        waiters.wake(&key);
        assert!(waiter.woken().now_or_never().is_some());
    }

    #[test]
    fn a_wake_reaches_its_key_only_and_wake_all_everybody() {
        let (waiters, a, b) =
            (Waiters::default(), Key::try_new("a").unwrap(), Key::try_new("b").unwrap());
        let (mut first, mut second) = (waiters.register(&a), waiters.register(&b));
        waiters.wake(&a);
        assert!(first.woken().now_or_never().is_some());
        assert!(second.woken().now_or_never().is_none());
        waiters.wake_all();
        assert!(second.woken().now_or_never().is_some());
    }

    #[test]
    fn nothing_is_kept_for_waiters_that_left() {
        let (waiters, key) = (Waiters::default(), Key::try_new("k").unwrap());
        let (first, second) = (waiters.register(&key), waiters.register(&key));
        drop(first);
        assert_eq!(waiters.lock().len(), 1);
        drop(second);
        assert!(waiters.lock().is_empty());
    }
}
