//! The default policy, checked in as a component so that building the host needs no second target.

/// The component that a host runs when its configuration names none. Built from `core/` by
/// `corral policy build`.
#[must_use]
pub fn builtin() -> &'static [u8] {
    include_bytes!("../../default-policy.wasm")
}
