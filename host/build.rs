//! Compiles the default policy, so that a host that starts where it never ran before need not.

use std::path::Path;
use std::{env, fs};

#[path = "src/policy/run/wasm.rs"]
mod wasm;

const POLICY: &str = "default-policy.wasm";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={POLICY}");
    println!("cargo::rerun-if-changed=src/policy/run/wasm.rs");
    let out = Path::new(&env::var("OUT_DIR")?).join("default-policy.cwasm");
    fs::write(out, compiled(&env::var("TARGET")?)?)?;
    Ok(())
}

/// For a target named, it uses what every processor of that kind has. Nothing where the compiler
/// knows no code for it: the host compiles the policy when it starts.
fn compiled(target: &str) -> wasmtime::Result<Vec<u8>> {
    let mut config = wasm::wasm_config();
    match config.target(target).and_then(|config| wasmtime::Engine::new(config)) {
        Ok(engine) => engine.precompile_component(&fs::read(POLICY)?),
        Err(error) => {
            println!("cargo::warning=hosts for {target} compile the default policy: {error:#}");
            Ok(Vec::new())
        }
    }
}
