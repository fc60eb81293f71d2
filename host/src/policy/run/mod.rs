//! What a request passes on its way to a decision, and what exchanges policies.

pub(in crate::policy) mod background;
pub(in crate::policy) mod builtin;
pub(in crate::policy) mod calls;
mod compiled;
pub(in crate::policy) mod engine;
pub(in crate::policy) mod file;
pub(in crate::policy) mod generation;
pub mod guard;
mod plans;
pub(in crate::policy) mod pool;
pub(in crate::policy) mod slot;
pub(in crate::policy) mod trial;
mod wasm;
pub(in crate::policy) mod watch;
