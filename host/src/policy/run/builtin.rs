//! The default policy, checked in as a component so that building the host needs no second target.

use wasmtime::Engine;
use wasmtime::component::Component;

/// What the build script compiled of it; nothing where it can't compile for the target.
const COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/default-policy.cwasm"));

/// The component that a host runs when its configuration names none. Built from `core/` by
/// `corral policy build`.
#[must_use]
pub fn builtin() -> &'static [u8] {
    include_bytes!("../../../default-policy.wasm")
}

/// The default policy as it was compiled together with this program, if `component` is it.
#[expect(unsafe_code, reason = "wasmtime can't prove that native code is what it compiled")]
pub(in crate::policy) fn compiled(engine: &Engine, component: &[u8]) -> Option<Component> {
    if component != builtin() || COMPILED.is_empty() {
        return None;
    }
    // SAFETY: these bytes are what `Engine::precompile_component` gave the build script; they are a
    // part of this program like its own code. That it was for this engine and that the processor
    // can run it is checked by wasmtime itself.
    match unsafe { Component::deserialize(engine, COMPILED) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::debug!(%error, "the default policy is compiled anew");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::{Wat, engine};

    #[test]
    fn the_default_policy_is_not_compiled_anew_and_others_are() {
        let engine = engine();
        assert!(compiled(engine.wasmtime(), builtin()).is_some());
        assert!(compiled(engine.wasmtime(), &Wat::default().component()).is_none());
        let other = Engine::new(wasmtime::Config::new().wasm_component_model(true)).unwrap();
        assert!(compiled(&other, builtin()).is_none(), "it was for another configuration");
    }
}
