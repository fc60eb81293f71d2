//! Scenarios over real servers, each with a name, a report that can be printed, and a verdict. The
//! command `scenario` runs them at full size; the tests run the same code, smaller.

pub mod cost;
pub mod deaths;
pub mod faults;
pub mod fleet;
mod hosts;
pub mod idlers;
pub mod least;
mod ledger;
pub mod lifetimes;
pub mod loads;
pub mod near;
pub mod newcomer;
pub mod origin;
pub mod outage;
pub mod policies;
pub mod pooler;
pub mod predict;
pub mod real;
pub mod rename;
pub mod report;
pub mod rolling;
mod rows;
pub mod saturated;
pub mod stampede;
pub mod swaps;
mod traffic;

use std::time::Duration;

/// A time in milliseconds, to a tenth.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// The median; 0 if there are no values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
