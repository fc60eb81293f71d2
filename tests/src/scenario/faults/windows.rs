//! When requests may fail.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Windows of time in which requests may fail.
#[derive(Debug, Default)]
pub(super) struct Windows(Mutex<Vec<(Instant, Option<Instant>)>>);

impl Windows {
    pub(super) fn open(&self) -> usize {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.push((Instant::now(), None));
        windows.len() - 1
    }

    pub(super) fn close(&self, window: usize) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows[window].1 = Some(Instant::now());
    }

    pub(super) fn excuse(&self, began: Instant, grace: Duration) -> bool {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.iter().any(|(_, closed)| closed.is_none_or(|closed| began < closed + grace))
    }
}
