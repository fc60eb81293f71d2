//! Corral beside the servers that could be used instead: every server on this machine, over one
//! Redis, in turn within the same minutes, under the load generator of `corral bench`.
//!
//! [`peer`] knows how each server is installed and started, [`compare`] runs them in rounds,
//! [`growth`] shows what Corral costs as it grows, [`start`] how soon it answers, and [`against`]
//! what an earlier Corral cost. All servers give the same answer ([`item`]), which is checked
//! before anything is measured.

pub mod against;
pub mod chart;
pub mod claims;
pub mod compare;
pub mod disturbed;
pub mod growth;
pub mod install;
pub mod item;
pub mod measure;
pub mod numbers;
pub mod peer;
pub mod rig;
pub mod service;
pub mod start;
pub mod table;
