//! Corral serves reads from Redis and Postgres. What it decides is up to a policy, compiled to a WebAssembly
//! component: how a key is named, how long a value lives and what a write makes untrue. This crate is the
//! host: it runs the policy, checks the policy's answers, and does the I/O.
//!
//! As a library, start with [`Corral`]:
//!
//! * [`Corral::start`] builds a host from a [`config::Config`];
//! * [`Corral::read`], [`Corral::write`] and [`Corral::invalidate`] serve what the configuration names;
//!   [`Corral::get_or_load`] binds a read to a closure;
//! * [`Corral::policies`] exchanges the policy while requests are served;
//! * [`Corral::shutdown`] ends the host.
//!
//! | feature | what it adds |
//! |---|---|
//! | `cli` (default) | the command `corral`, a load generator, builds of policies; it needs the others |
//! | `http` | the HTTP face |
//! | `modules` | the gate makes components of core modules |
//! | `sqlite` | SQLite as the origin |
//!
//! ```text
//! http → service → cache → (policy | store | origin)
//! ```
//!
//! `policy`, `store` and `origin` do not know each other. `cache` alone brings them together; `service`
//! starts them and names what the program may ask for. No other folder uses `http`, but for `cli`, which
//! serves it, and no folder uses `cli`.

#[cfg(feature = "cli")]
pub mod bench;
pub mod beside;
pub mod cache;
#[cfg(feature = "cli")]
pub mod cli;
mod clock;
pub mod config;
#[cfg(feature = "http")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "http")]
pub mod http;
pub mod name;
pub mod observe;
pub mod origin;
pub mod policy;
pub mod read_name;
pub mod service;
pub mod slot;
pub mod store;
#[cfg(feature = "cli")]
pub mod trace;

pub use service::Corral;
