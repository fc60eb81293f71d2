//! What `wasmtime` generates from `wit/policy.wit`. The only place that names the contract's file.
#![allow(missing_docs, unreachable_pub, reason = "generated from wit/policy.wit, documented there")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "policy",
    additional_derives: [PartialEq, Eq, Hash],
});

pub use exports::corral::policy::{decisions, types};

impl types::Action {
    /// The lifetime that a fill gives its value; `None` for any other action.
    #[must_use]
    pub const fn lifetime(self) -> Option<types::Lifetime> {
        if let Self::Fill(lifetime) = self { Some(lifetime) } else { None }
    }
}
