//! How long a value lives: as long as its history and its cost say, at most as configured.
//!
//! A row that has just changed is likely to change again, and one that has not for a while is
//! likely not to. A policy keeps no state, but the store does: when a load replaces a value, that
//! value was there until now, so nothing invalidated it for as long as it is old. Each time a value
//! survives, the next one lives longer; a write removes it, and its successor, of which nothing is
//! known, begins short again. (The Alex protocol: V. Cate, "Alex, a Global Filesystem", USENIX File
//! Systems Workshop, 1992; RFC 9111, 4.2.2, has it for HTTP.)
//!
//! With `t` the entity's `ttl`, `c` the cost of the load and `a` the age of the value it replaces (0
//! where there was none):
//!
//! ```text
//! first    = t · (least + (1 − least) · c / (c + dear_ms))
//! lifetime = min(t, max(first, GROWTH · a)) ± jitter
//! ```
//!
//! So a cheap value begins at `least` of its `ttl`, one that takes `dear_ms` to load halfway between
//! that and all of it, and both reach the whole `ttl` after a few lives without a write. What
//! changes without Corral's knowing is wrong for as long as a value lives: short where rows change
//! often, and where they don't it hardly matters.

use serde::Deserialize;

use crate::bindings::exports::corral::policy::types::{Lifetime, Report};
use crate::settings::{Settings, Terms};

/// A value that survived is trusted for twice as long as it is old.
const GROWTH: u32 = 2;

/// What a refresh takes beside its load: to be asked for, its claim, its fill.
const HEAD_START_MS: f64 = 20.0;

/// How much slower than the last load the next one may be.
const HEAD_START_LOADS: f64 = 2.0;

/// How far an entity's lifetimes adapt.
#[derive(Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adaption {
    /// What a value that is cheap and of which nothing is known lives, as a fraction of its `ttl`.
    pub least: f64,
    /// The cost of a load at which it lives half of the rest longer.
    pub dear_ms: f64,
}

impl Default for Adaption {
    fn default() -> Self {
        Self {
            least: 0.125,
            dear_ms: 100.0,
        }
    }
}

impl Adaption {
    pub fn is_legal(&self) -> bool {
        self.least > 0.0 && self.least <= 1.0 && self.dear_ms > 0.0 && self.dear_ms.is_finite()
    }
}

/// The lifetime of a value that was just loaded, in place of one that was `survived_ms` old.
pub fn lifetime(
    settings: &Settings,
    terms: &Terms,
    survived_ms: u32,
    report: Report,
    entropy: u64,
) -> Lifetime {
    let (first, second) = dice(entropy);
    if report.negative {
        let fresh_ms = around(terms.negative_ttl_ms, settings.jitter, first);
        return Lifetime {
            fresh_ms,
            stale_ms: 0,
            refresh_ms: fresh_ms,
        };
    }
    let base_ms = base(terms, survived_ms, report.cost_ms);
    let fresh_ms = around(base_ms, settings.jitter, first);
    let ahead_ms = if settings.early_refresh > 0.0 {
        let loads = HEAD_START_LOADS - settings.early_refresh * (-second).ln_1p();
        HEAD_START_MS + f64::from(report.cost_ms) * loads
    } else {
        0.0
    };
    Lifetime {
        fresh_ms,
        stale_ms: terms.stale_while_revalidate_ms.max(terms.stale_if_error_ms),
        // Never in the first half of a life: at most twice the loads.
        refresh_ms: fresh_ms
            .saturating_sub(ahead_ms as u32)
            .max(fresh_ms.div_ceil(2)),
    }
}

/// The lifetime without jitter; see the head of this file.
pub fn base(terms: &Terms, survived_ms: u32, cost_ms: u32) -> u32 {
    let Adaption { least, dear_ms } = terms.adaption;
    let dear = f64::from(cost_ms) / (f64::from(cost_ms) + dear_ms);
    let first_ms = f64::from(terms.ttl_ms) * (least + (1.0 - least) * dear);
    (first_ms as u32)
        .max(survived_ms.saturating_mul(GROWTH))
        .min(terms.ttl_ms)
}

/// Uniform over `base ± base·jitter`; at least 1.
fn around(base_ms: u32, jitter: f64, dice: f64) -> u32 {
    let reach_ms = (f64::from(base_ms) * jitter) as u32;
    let offset_ms = (dice * (f64::from(reach_ms) * 2.0 + 1.0)) as u32;
    (base_ms - reach_ms).saturating_add(offset_ms).max(1)
}

/// Two independent numbers, at least 0 and below 1, of a step's 64 random bits.
fn dice(entropy: u64) -> (f64, f64) {
    let first = (entropy >> 32) as f64 / (1_u64 << 32) as f64;
    let second = (entropy >> 11 & 0x1F_FFFF) as f64 / (1_u64 << 21) as f64;
    (first, second)
}
