//! The default policy, checked in as a component so that building the host needs no second target.

use wasmtime::Engine;
use wasmtime::component::Component;

/// The default policy as it was compiled when a release was packaged. Empty in every other build.
#[cfg(packaged)]
const PACKAGED: &[u8] = include_bytes!(env!("CORRAL_PACKAGED_POLICY"));
#[cfg(not(packaged))]
const PACKAGED: &[u8] = &[];

/// The component that a host runs when its configuration names none. Built from `core/` by
/// `corral policy build`.
#[must_use]
pub fn builtin() -> &'static [u8] {
    include_bytes!("../../../default-policy.wasm")
}

/// Compiles the default policy to native code that every processor of a kind can run, for the
/// package of a release. `target` is a triple: `x86_64-unknown-linux-gnu`.
///
/// # Errors
/// If the compiler knows no code for the target.
pub fn compile_builtin(target: &str) -> wasmtime::Result<Vec<u8>> {
    let mut config = super::wasm::wasm_config();
    let engine = Engine::new(config.target(target)?)?;
    engine.precompile_component(builtin())
}

/// The default policy as it was packaged with this program; `None` in other builds, or if it does
/// not fit.
#[expect(unsafe_code, reason = "wasmtime can't prove that native code is what it compiled")]
pub(in crate::policy) fn packaged(engine: &Engine) -> Option<Component> {
    if PACKAGED.is_empty() {
        return None;
    }
    // SAFETY: these bytes are what `Engine::precompile_component` gave when the release was
    // packaged; they are a part of this program like its own code. Wasmtime itself checks that they
    // are for this engine and that the processor can run them.
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
