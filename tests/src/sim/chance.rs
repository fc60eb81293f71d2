//! The only source of chance in a schedule.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use corral_host::cache::Entropy;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

/// A generator from which everything in a schedule draws, in the order of events.
pub(super) struct Chance(Mutex<Xoshiro256PlusPlus>);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(Xoshiro256PlusPlus::seed_from_u64(seed)))
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Xoshiro256PlusPlus) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Any number but 0.
    pub(super) fn number(&self) -> u64 {
        self.draw(|generator| generator.next_u64()).max(1)
    }

    /// `true` in so many of a hundred cases.
    pub(super) fn percent(&self, percent: u32) -> bool {
        percent > 0 && self.draw(|generator| generator.random_range(0..100)) < percent
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&self, end: usize) -> usize {
        self.draw(|generator| generator.random_range(0..end))
    }

    /// One of these; `of` must not be empty.
    pub(super) fn one_of<T: Copy>(&self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Whole milliseconds from `low` to `high`.
    pub(super) fn millis(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.draw(|generator| generator.random_range(low..=high)))
    }
}

impl Entropy for Chance {
    fn bits(&self) -> u128 {
        self.draw(|generator| {
            u128::from(generator.next_u64()) << 64 | u128::from(generator.next_u64())
        })
    }
}
