//! Pauses between refreshes that fail: for each key, each pause is longer than the one before it, with
//! jitter.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::jittered;
use crate::name::Name;

/// The first pause, and the longest pause: after at most so long, a statement that was mended is tried again.
/// The value may be answered stale meanwhile.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);

/// The largest number of keys that are remembered, a few megabytes of them. A host that fails to refresh more
/// keys at a time is stopped by the origin's breaker or by its limit of loads.
const KEYS: usize = 1 << 14;

/// The names for which the last refresh failed.
#[derive(Debug, Default)]
pub(super) struct Pauses(Mutex<HashMap<Name, Pause>>);

#[derive(Debug, Clone, Copy)]
struct Pause {
    lasts: Duration,
    until: Instant,
}

impl Pauses {
    /// Whether the next refresh of this name has to wait.
    pub(super) fn holds(&self, name: &Name) -> bool {
        self.lock().get(name).is_some_and(|pause| pause.until > Instant::now())
    }

    /// A refresh failed; `chance` draws the jitter.
    pub(super) fn failed(&self, name: &Name, chance: u128) {
        let mut pauses = self.lock();
        let now = Instant::now();
        if pauses.len() >= KEYS && !pauses.contains_key(name) {
            pauses.retain(|_, pause| pause.until > now);
            if pauses.len() >= KEYS {
                return;
            }
        }
        let lasts = pauses.get(name).map_or(FIRST, |pause| (pause.lasts * 2).min(LONGEST));
        pauses.insert(name.clone(), Pause { lasts, until: now + jittered(lasts, chance) });
    }

    /// A refresh succeeded: the name has no pause any more.
    pub(super) fn succeeded(&self, name: &Name) {
        self.lock().remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Pause>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
