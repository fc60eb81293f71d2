//! A load generator for any HTTP/1.1 endpoint: what `corral bench` runs, and what the benchmarks
//! beside other servers are made with.
//!
//! A [`LoadPlan`] says which servers to ask ([`LoadTarget`]), for what ([`Keys`]) and how fast ([`Pace`]);
//! [`run`] runs it and returns a [`Tally`]; a [`BenchReport`] is the tally in numbers for people and
//! programs.
//!
//! The generator shares its machine with what it measures, so it is lean: one thread for each of
//! [`LoadPlan::threads`], on it one task a connection, and for a request one write, one read and two
//! readings of the clock. It is bounded in count and time, whatever the plan says.
//!
//! Coordinated omission: a generator that waits for a slow answer before it asks again leaves out
//! just those requests that would have been slow too. With [`Pace::Open`] the times at which
//! requests are to be sent are fixed beforehand, and a latency counts from there, not from when a
//! connection was free to send.

mod error;
mod keys;
mod pace;
mod plan;
mod process;
mod report;
mod run;
mod scrape;
mod tally;
mod target;
mod wire;

pub use error::BenchError;
pub use keys::Keys;
pub use pace::Pace;
pub use plan::{LoadPlan, MAX_CONNECTIONS, MAX_REQUESTS, MAX_TIME};
pub use process::{ResourceUsage, Soak};
pub use report::{BenchReport, Counted, Latency, Throughput};
pub use run::{LoadWatch, probe, run};
pub use scrape::Scrape;
pub use tally::{OneWay, Tally};
pub use target::{LoadTarget, RequestBytes};
