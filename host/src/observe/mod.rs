//! What operators see: metrics as Prometheus text, logs as lines.

mod histogram;
#[cfg(feature = "cli")]
pub mod logs;
mod metrics;
mod registry;

pub use histogram::Histogram;
pub use metrics::{EntityMetrics, LoadReason, Metrics, ReadOutcome};
pub use registry::{Counter, Gauge};
