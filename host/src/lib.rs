//! Corral serves reads from Redis and Postgres, and decides nothing by itself: a policy, compiled to a
//! WebAssembly component, says how a key is named, how long a value lives and what a write makes
//! untrue. This crate is the host: it runs the policy, checks what it answers, and does the I/O.
//!
//! As a library, start with [`Corral`]:
//!
//! * [`Corral::start`] builds a host from a [`config::Config`];
//! * [`Corral::read`], [`Corral::write`] and [`Corral::invalidate`] serve what the configuration
//!   names, [`Corral::get_or_load`] binds a read to a closure;
//! * [`Corral::policies`] exchanges the policy while all of that goes on;
//! * [`Corral::shutdown`] ends.
//!
//! Beside it stands [`mod@bench`], which loads any HTTP server and knows nothing of the rest.
//!
//! ```text
//! http → service → cache → (policy | store | origin)
//! ```
//!
//! `policy`, `store` and `origin` do not know each other; only `cache` knows all three, and nothing
//! knows `http` and `cli`.

pub mod bench;
pub mod beside;
pub mod cache;
pub mod cli;
pub mod config;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod name;
pub mod observe;
pub mod origin;
pub mod policy;
pub mod read_name;
pub mod service;
pub mod store;
pub mod trace;

pub use service::Corral;
