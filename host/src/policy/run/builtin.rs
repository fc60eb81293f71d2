//! The default policy, checked in as a component so that building the host needs no second target.

use wasmtime::Engine;
use wasmtime::component::Component;

/// What was compiled of it when a release was packaged; empty in every other build.
#[cfg(feature = "packaged")]
const PACKAGED: &[u8] = include_bytes!(env!("CORRAL_PACKAGED_POLICY"));
#[cfg(not(feature = "packaged"))]
const PACKAGED: &[u8] = &[];

/// The component that a host runs when its configuration names none. Built from `core/` by
/// `corral policy build`.
#[must_use]
pub fn builtin() -> &'static [u8] {
    include_bytes!("../../../default-policy.wasm")
}

/// Native code of the default policy that every processor of a kind can run, for the package of a
/// release. `target` is a triple: `x86_64-unknown-linux-gnu`.
///
/// # Errors
/// When the compiler knows no code for the target.
pub fn compile_builtin(target: &str) -> wasmtime::Result<Vec<u8>> {
    let mut config = super::wasm::wasm_config();
    let engine = Engine::new(config.target(target)?)?;
    engine.precompile_component(builtin())
}

/// The default policy as it was packaged with this program.
#[expect(unsafe_code, reason = "wasmtime can't prove that native code is what it compiled")]
pub(in crate::policy) fn packaged(engine: &Engine) -> Option<Component> {
    if PACKAGED.is_empty() {
        return None;
    }
    // SAFETY: these bytes are what `Engine::precompile_component` gave when the release was
    // packaged; they are a part of this program like its own code. That they are for this engine
    // and that the processor can run them is checked by wasmtime itself.
    match unsafe { Component::deserialize(engine, PACKAGED) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::debug!(%error, "the default policy is compiled anew");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::env::consts::ARCH;

    use super::*;

    #[test]
    fn the_default_policy_can_be_packaged_for_every_processor_of_this_kind() {
        let target = &format!("{}-unknown-linux-gnu", ARCH);
        assert!(compile_builtin(target).unwrap().len() > 10_000);
        assert!(compile_builtin("pdp11-unknown-none").is_err());
    }
}
