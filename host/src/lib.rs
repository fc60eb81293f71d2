//! Corral's host.
pub mod config;
pub mod origin;
pub mod policy;
pub mod store;
