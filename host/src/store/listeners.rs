//! The listeners of this process, which hear of changes in a store.

use std::sync::{PoisonError, RwLock, Weak};

use super::Envelope;

/// The answer to a [`Store::get_tracked`](super::Store::get_tracked).
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked {
    /// What [`Store::get`](super::Store::get) would answer.
    pub envelope: Option<Envelope>,
    /// Whether listeners will hear of the next change under the name.
    pub heard: bool,
}

/// A listener hears of changes in a store. It is called where a notification arrives: it must not block.
pub trait Listener: Send + Sync {
    /// The value under this name was replaced or removed.
    fn changed(&self, name: &str);

    /// Every value may have changed: the store was emptied, or notifications may have been lost.
    fn all_changed(&self);
}

/// The listeners; those that are gone are removed when the next one is added.
#[derive(Default)]
pub(super) struct Listeners(RwLock<Vec<Weak<dyn Listener>>>);

impl Listeners {
    pub(super) fn add(&self, listener: Weak<dyn Listener>) {
        let mut listeners = self.0.write().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(listener);
    }

    pub(super) fn changed(&self, key: &str) {
        self.tell(|listener| listener.changed(key));
    }

    pub(super) fn all_changed(&self) {
        self.tell(|listener| listener.all_changed());
    }

    fn tell(&self, word: impl Fn(&dyn Listener)) {
        let listeners = self.0.read().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().filter_map(Weak::upgrade).for_each(|listener| word(&*listener));
    }
}
