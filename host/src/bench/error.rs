//! Why a load can't be run.

use std::io;

/// Why a load can't be run, or what it needs can't be read. A request that fails is no error; it is
/// counted.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum BenchError {
    #[error("{url:?} is no URL to load: {reason}")]
    Url { url: String, reason: &'static str },
    #[error("{text:?} is no header: write it as \"name: value\"")]
    Header { text: String },
    #[error("{what} must be between {least} and {most}")]
    Bounds { what: &'static str, least: u64, most: u64 },
    #[error("zipf: {exponent} is no exponent: it is 0 for no skew, about 1 for web traffic")]
    Zipf { exponent: f64 },
    #[error("the trace has no accesses")]
    EmptyTrace,
    #[error("{address}: the name can't be resolved")]
    Resolve { address: String, source: io::Error },
    #[error("{url} can't be reached; does a server listen there?")]
    Unreachable { url: String, source: io::Error },
    #[error("latencies can't be counted")]
    Histogram(#[from] hdrhistogram::CreationError),
    #[error("a thread of the generator could not start")]
    Thread(#[source] io::Error),
    #[error("a thread of the generator ended before its time")]
    Broken,
    #[error("process {pid}: {file} can't be read; does it run, and is this Linux?")]
    Process { pid: u32, file: &'static str },
    #[error("no sample of a metric: {line:?}")]
    Sample { line: String },
}
