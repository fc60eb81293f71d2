//! A thing is what one read asks for. The model keeps its value in the store and its flight. Times
//! are virtual microseconds.

use std::sync::Arc;

use crate::policy::{Event, Lifetime, Named, Sighting};

use super::super::Course;

/// A thing that was asked for.
pub(super) struct Thing {
    pub(super) plan: Arc<Named>,
    pub(super) stored: Option<TracedValue>,
    pub(super) flight: Option<TracedLoad>,
}

/// A value in the store.
#[derive(Clone, Copy)]
pub(super) struct TracedValue {
    loaded_us: u64,
    refresh_us: u64,
    fresh_us: u64,
    stale_us: u64,
    cost_ms: u32,
}

/// A load under way.
#[derive(Clone, Copy)]
pub(super) struct TracedLoad {
    pub(super) course: Course,
    pub(super) began_us: u64,
    pub(super) ends_us: u64,
    pub(super) cost_ms: u32,
}

impl Thing {
    pub(super) fn new(plan: Arc<Named>) -> Self {
        Self { plan, stored: None, flight: None }
    }

    /// What a look brings.
    pub(super) fn look(&mut self, now_us: u64) -> Event {
        self.stored = self.stored.filter(|stored| stored.stale_us > now_us);
        self.stored.map_or(Event::Absent, |stored| Event::Found(stored.sighting(now_us)))
    }

    /// A write: the value is removed and the right to fill is revoked, so that later reads need
    /// another load.
    pub(super) fn invalidate(&mut self) {
        self.stored = None;
        self.flight = None;
    }
}

impl TracedValue {
    pub(super) fn new(flight: &TracedLoad, lifetime: Lifetime) -> Self {
        let after = |ms: u32| flight.ends_us + u64::from(ms) * 1_000;
        let fresh_us = after(lifetime.fresh_ms);
        Self {
            loaded_us: flight.began_us,
            refresh_us: after(lifetime.refresh_ms),
            fresh_us,
            stale_us: fresh_us + u64::from(lifetime.stale_ms) * 1_000,
            cost_ms: flight.cost_ms,
        }
    }

    pub(super) fn is_fresh(&self, now_us: u64) -> bool {
        self.fresh_us > now_us
    }

    fn sighting(&self, now_us: u64) -> Sighting {
        let until = |at_us: u64| millis(at_us.saturating_sub(now_us));
        let since = |at_us: u64| millis(now_us.saturating_sub(at_us));
        Sighting {
            age_ms: since(self.loaded_us),
            refresh_ms: until(self.refresh_us),
            fresh_ms: until(self.fresh_us),
            past_ms: since(self.fresh_us),
            cost_ms: self.cost_ms,
            negative: false,
        }
    }
}

/// Rounded up, so that time that is left never becomes 0.
fn millis(us: u64) -> u32 {
    u32::try_from(us.div_ceil(1_000)).unwrap_or(u32::MAX)
}
