//! Everything that Corral is tested with: real servers, suites, clients.

pub mod conformance;
