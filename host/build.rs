//! Compiles the default policy, so that a host that starts where it never ran before need not.

use std::path::Path;
use std::{env, fs};

#[path = "src/policy/configuration.rs"]
mod configuration;

const POLICY: &str = "default-policy.wasm";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={POLICY}");
    println!("cargo::rerun-if-changed=src/policy/configuration.rs");
    let out = Path::new(&env::var("OUT_DIR")?).join("default-policy.cwasm");
    fs::write(out, compiled(&env::var("TARGET")?)?)?;
    Ok(())
}

/// Nothing where the compiler knows no code for the target: the host compiles it when it starts.
/// For a target named, it uses what every processor of that kind has.
fn compiled(target: &str) -> wasmtime::Result<Vec<u8>> {
    let mut config = configuration::configuration();
    if config.target(target).is_err() {
        return Ok(Vec::new());
    }
    wasmtime::Engine::new(&config)?.precompile_component(&fs::read(POLICY)?)
}
