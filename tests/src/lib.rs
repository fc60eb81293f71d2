//! What Corral is tested with: real servers that end with their test ([`servers`]), ways to them
//! that can be broken ([`forwarder`]), a shop with known content ([`shop`]), a bounded HTTP client
//! ([`client`]), the replay of recorded access traces over HTTP ([`trace`], [`replay`]), load on
//! hosts ([`load`]), the one suite that every store passes ([`conformance`]), and Corral beside other
//! servers ([`peers`]).
//!
//! A scenario is a few lines: a [`fleet::Fleet`] is Redis, Postgres and any number of hosts over
//! one shop, and [`shop`] computes in Rust what every answer must be.

pub mod authors;
pub mod behaviour;
pub mod client;
pub mod conformance;
pub mod declared;
pub mod fleet;
pub mod forwarder;
pub mod fuzz;
pub mod growth;
pub mod load;
pub mod native;
pub mod peers;
pub mod policies;
pub mod replay;
pub mod scenario;
pub mod servers;
pub mod shop;
pub mod sim;
pub mod toolbox;
pub mod trace;
pub mod wire;
