//! How `wasmtime` is set up for policies. The build script compiles the default policy with the
//! same configuration.

use wasmtime::Config;

/// The configuration for pure decisions: floats have the same bits everywhere, and only the
/// caller's thread runs.
pub(crate) fn wasm_config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    config
}
