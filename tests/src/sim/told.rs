//! A value that tasks wait for. They are woken in the order in which they came, so that a seed
//! determines a run; the waiters of a `watch` channel are not.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct Told<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: Copy> Told<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Notify::new() }
    }

    pub(super) fn get(&self) -> T {
        *self.lock()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.lock());
        self.changed.notify_waiters();
    }

    /// Returns once `is_one` holds for the value.
    pub(super) async fn wait_for(&self, is_one: impl Fn(T) -> bool) {
        loop {
            let changed = self.changed.notified();
            if is_one(self.get()) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
