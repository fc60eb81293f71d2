//! Whether the built-in policy comes compiled: `tests/dist` names its native code in
//! `CORRAL_PACKAGED_POLICY`. A feature would not do, since all features together have to compile.
#![allow(clippy::print_stdout, reason = "cargo reads what a build script prints")]

fn main() {
    println!("cargo::rustc-check-cfg=cfg(packaged)");
    println!("cargo::rerun-if-env-changed=CORRAL_PACKAGED_POLICY");
    if std::env::var_os("CORRAL_PACKAGED_POLICY").is_some() {
        println!("cargo::rustc-cfg=packaged");
    }
}
