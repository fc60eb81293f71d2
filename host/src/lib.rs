//! Corral's host.
pub mod config;
pub mod name;
pub mod origin;
pub mod policy;
pub mod store;
