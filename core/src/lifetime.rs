//! How long a value lives.
//!
//! Jitter spreads lifetimes evenly over `base ± base·jitter`, so that keys which were filled
//! together don't expire together.
//!
//! Early refresh is XFetch (A. Vattani, F. Chierichetti, K. Lowenstein: "Optimal Probabilistic
//! Cache Stampede Prevention", PVLDB 8(8), 2015): a value is renewed before it expires, at a random
//! point that comes the earlier the more the value cost to load. The paper draws at every read;
//! this crate draws once per fill and stores the point in the envelope, so that a hit costs a
//! comparison and the moment of the refresh does not depend on how often a key is read. A single
//! draw can give a short lead where the longest of many reads' draws would not: so every refresh
//! has a head start, in which a load that takes twice as long as the last one still ends in time,
//! and a hot key is never absent.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use crate::{Lifetime, LoadReport, Terms};

/// Longest duration that settings or a query may ask for: 30 days. Data that does not change within
/// a month is better copied into a table. In milliseconds, 30 days fit 32 bits with two thirds of
/// jitter on top; a lifetime beyond 32 bits is cut off there.
pub(crate) const DURATION_MAX_MS: u32 = 30 * 24 * 60 * 60 * 1000;

/// Largest jitter, as a fraction. At 1 a lifetime could be 0.
pub(crate) const JITTER_MAX: f64 = 0.9;

impl Terms {
    /// An ad-hoc query's terms: a row and the absence of a row are kept equally long. No stale
    /// value is answered, since the caller did not ask for one.
    pub(crate) fn of_query(ttl_ms: u32) -> Self {
        Self { ttl_ms, stale_while_revalidate_ms: 0, stale_if_error_ms: 0, negative_ttl_ms: ttl_ms }
    }
}

/// How lifetimes are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LifetimeDraw {
    /// As a fraction of the base, 0 to [`JITTER_MAX`].
    pub(crate) jitter: f64,
    /// XFetch's β: 1 is the paper's optimum, more is earlier, 0 is no early refresh at all.
    pub(crate) early_refresh: f64,
}

/// The time that a refresh takes beside its load: until it begins, for its claim and for its fill.
const HEAD_START_MS: f64 = 20.0;

/// How much slower than the last load the next one may be.
const HEAD_START_LOADS: f64 = 2.0;

/// Draws the lifetime of a value that `report` describes. The absence of a row gets the negative
/// lifetime, is never refreshed early and is never answered stale. A negative lifetime of 0 is a
/// millisecond: without a fill, an older value, whose row is known to be gone, would stay in the
/// store and go on answering reads.
pub(crate) fn draw(
    terms: &Terms,
    spread: &LifetimeDraw,
    report: LoadReport,
    entropy: u64,
) -> Lifetime {
    let mut dice = Dice::new(entropy);
    if report.negative {
        let fresh_ms = dice.around(terms.negative_ttl_ms, spread.jitter);
        return Lifetime { fresh_ms, stale_ms: 0, refresh_ms: fresh_ms };
    }
    let fresh_ms = dice.around(terms.ttl_ms, spread.jitter);
    let ahead_ms = if spread.early_refresh > 0.0 {
        let loads = HEAD_START_LOADS + spread.early_refresh * dice.exponential();
        HEAD_START_MS + f64::from(report.cost_ms) * loads
    } else {
        0.0
    };
    Lifetime {
        fresh_ms,
        stale_ms: terms.stale_while_revalidate_ms.max(terms.stale_if_error_ms),
        refresh_ms: refresh_point(fresh_ms, ahead_ms),
    }
}

/// `ahead_ms` before the end, but never in the first half of a life: a value that costs more to
/// load than it lives would otherwise be due the moment it is filled, and the cache would do
/// nothing but refresh it. So early refresh at most doubles the loads of a key.
fn refresh_point(fresh_ms: u32, ahead_ms: f64) -> u32 {
    // The conversion from float saturates; a lead beyond 32 bits is longer than every lifetime.
    fresh_ms.saturating_sub(ahead_ms as u32).max(fresh_ms.div_ceil(2))
}

/// The random numbers of one decision. The generator is named, not "the standard one", because its
/// output is specified (Blackman and Vigna, xoshiro256++ 1.0, seeded by SplitMix64): the same
/// entropy gives the same lifetime on every platform and after every update.
struct Dice(Xoshiro256PlusPlus);

impl Dice {
    fn new(entropy: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(entropy))
    }

    /// Uniform over the whole milliseconds of `base ± base·jitter`, both ends included; at least 1.
    fn around(&mut self, base_ms: u32, jitter: f64) -> u32 {
        let reach_ms = (f64::from(base_ms) * jitter) as u32;
        let count = u128::from(reach_ms) * 2 + 1;
        // Multiply and shift: of 2^64 draws each value gets its share to within one.
        let offset = (u128::from(self.0.next_u64()) * count) >> 64;
        let lowest_ms = base_ms.saturating_sub(reach_ms);
        lowest_ms.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX)).max(1)
    }

    /// Exponential with mean 1: −ln u.
    fn exponential(&mut self) -> f64 {
        const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS;
        let draw = (self.0.next_u64() >> (u64::BITS - MANTISSA_BITS)) + 1;
        let u = draw as f64 / (1_u64 << MANTISSA_BITS) as f64;
        -libm::log(u)
    }
}

#[cfg(test)]
mod tests;
