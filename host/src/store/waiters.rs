//! The requests of this process that wait for a lease to end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::Name;

/// The waiting requests by name. A name is kept only while a request waits for it.
#[derive(Default)]
pub(super) struct Waiters(Mutex<HashMap<Name, Party>>);

struct Party {
    notify: Arc<Notify>,
    members: usize,
}

/// A place among the waiters of one name, given up on drop.
pub(super) struct NameWaiter<'a> {
    waiters: &'a Waiters,
    name: Name,
    notified: std::pin::Pin<Box<OwnedNotified>>,
}

impl Waiters {
    /// Registers a waiter: from now on a wake for `name` reaches it, even before it is awaited.
    pub(super) fn register(&self, name: &Name) -> NameWaiter<'_> {
        let mut parties = self.lock();
        let party = parties
            .entry(name.clone())
            .or_insert_with(|| Party { notify: Arc::default(), members: 0 });
        party.members += 1;
        let mut notified = Box::pin(Arc::clone(&party.notify).notified_owned());
        notified.as_mut().enable();
        NameWaiter { waiters: self, name: name.clone(), notified }
    }

    /// Wakes those that wait for `name`.
    pub(super) fn wake(&self, name: &Name) {
        if let Some(party) = self.lock().get(name) {
            party.notify.notify_waiters();
        }
    }

    /// Wakes all waiters: the notification that they wait for may have been missed.
    pub(super) fn wake_all(&self) {
        for party in self.lock().values() {
            party.notify.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Party>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NameWaiter<'_> {
    /// Returns once there was a wake since the registration.
    pub(super) async fn woken(&mut self) {
        self.notified.as_mut().await;
    }
}

impl Drop for NameWaiter<'_> {
    fn drop(&mut self) {
        let mut parties = self.waiters.lock();
        if let Some(party) = parties.get_mut(&self.name) {
            party.members -= 1;
            if party.members == 0 {
                parties.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Digest, Prefix, StoreKey};
    use futures_util::FutureExt;

    fn name(key: &str) -> Name {
        let key = StoreKey::try_new(key).unwrap();
        Name::new(&Prefix::default(), &Digest::of(["e"]), &key)
    }

    #[test]
    fn a_wake_between_registration_and_await_is_not_lost() {
        let (waiters, name) = (Waiters::default(), name("k"));
        let mut waiter = waiters.register(&name);
        assert!(waiter.woken().now_or_never().is_none());
        waiters.wake(&name);
        assert!(waiter.woken().now_or_never().is_some());
    }

    #[test]
    fn a_wake_reaches_its_name_only_and_wake_all_everybody() {
        let (waiters, a, b) = (Waiters::default(), name("a"), name("b"));
        let (mut first, mut second) = (waiters.register(&a), waiters.register(&b));
        waiters.wake(&a);
        assert!(first.woken().now_or_never().is_some());
        assert!(second.woken().now_or_never().is_none());
        waiters.wake_all();
        assert!(second.woken().now_or_never().is_some());
    }

    #[test]
    fn nothing_is_kept_for_waiters_that_left() {
        let (waiters, name) = (Waiters::default(), name("k"));
        let (first, second) = (waiters.register(&name), waiters.register(&name));
        drop(first);
        assert_eq!(waiters.lock().len(), 1);
        drop(second);
        assert!(waiters.lock().is_empty());
    }
}
