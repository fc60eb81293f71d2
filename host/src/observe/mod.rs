//! What operators see: metrics as Prometheus text, logs as lines.

pub mod logs;
mod metrics;

pub use metrics::{EntityMetrics, LoadReason, Metrics, ReadOutcome};
