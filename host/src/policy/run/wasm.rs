//! How `wasmtime` is set up for policies. The build script compiles the default policy with the same.

use wasmtime::Config;

/// Pure decisions: floats give the same bits everywhere, and nothing runs but the caller's thread.
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
