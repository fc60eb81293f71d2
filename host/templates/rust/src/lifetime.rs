//! How long a value lives. Make it yours: this is where most policies differ.

use crate::bindings::exports::corral::policy::types::{Lifetime, Report};
use crate::settings::{Settings, Terms};

/// What a refresh takes beside its load: to be asked for, its claim, its fill.
const HEAD_START_MS: f64 = 20.0;

/// How much slower than the last load the next one may be.
const HEAD_START_LOADS: f64 = 2.0;

/// The lifetime of a value that was just loaded. What is filled together must not expire together,
/// so the base is spread by ± `jitter`; and a value that is in use is renewed before it expires, the
/// earlier the dearer it was (XFetch: Vattani et al., VLDB 2015).
pub fn lifetime(settings: &Settings, terms: &Terms, report: Report, entropy: u64) -> Lifetime {
    let (first, second) = dice(entropy);
    if report.negative {
        let fresh_ms = around(terms.negative_ttl_ms, settings.jitter, first);
        return Lifetime {
            fresh_ms,
            stale_ms: 0,
            refresh_ms: fresh_ms,
        };
    }
    let fresh_ms = around(terms.ttl_ms, settings.jitter, first);
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
