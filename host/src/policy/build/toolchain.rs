//! Finds a compiler that can make WebAssembly.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::BuildError;

/// The target of every policy.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// A compiler with the target's standard library, or with the sources to build it from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Toolchain {
    pub(super) cargo: PathBuf,
    pub(super) rustc: PathBuf,
    pub(super) sysroot: PathBuf,
    /// The folder of `rust-lld`, if the standard library has to be built from its sources;
    /// otherwise `None`.
    pub(super) from_source: Option<PathBuf>,
    /// Where the tools are run, since a crate may name its toolchain.
    directory: PathBuf,
}

/// The toolchain for the crate in `directory`: the one in use there if it has the target, otherwise
/// the system's if it has the standard library's sources.
pub(super) fn find(directory: &Path) -> Result<Toolchain, BuildError> {
    let in_use = env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from);
    if let Ok(libraries) =
        ask(directory, &in_use, &["--print", "target-libdir", "--target", TARGET])
        && has_libraries(Path::new(&libraries))
    {
        return Ok(Toolchain {
            cargo: env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from),
            sysroot: ask(directory, &in_use, &["--print", "sysroot"])?.into(),
            rustc: in_use,
            from_source: None,
            directory: directory.to_owned(),
        });
    }
    system(directory, &in_use)
}

/// The distribution's own compiler. Its packages bring the sources of the target's libraries
/// instead of the libraries; the linker comes with any rustup toolchain.
fn system(directory: &Path, in_use: &Path) -> Result<Toolchain, BuildError> {
    let [cargo, rustc] = ["/usr/bin/cargo", "/usr/bin/rustc"].map(PathBuf::from);
    if !cargo.is_file() || !rustc.is_file() {
        return Err(BuildError::NoTarget("there is no /usr/bin/cargo and /usr/bin/rustc".into()));
    }
    let sysroot = PathBuf::from(ask(directory, &rustc, &["--print", "sysroot"])?);
    let library = sysroot.join("lib/rustlib/src/rust/library/std");
    if !library.is_dir() {
        return Err(BuildError::NoTarget(format!("{} is missing", library.display())));
    }
    let linker = [&rustc, in_use]
        .into_iter()
        .find_map(|rustc| bundled_linker(directory, rustc))
        .or_else(linker_on_path)
        .ok_or_else(|| BuildError::NoTarget("there is no rust-lld".into()))?;
    Ok(Toolchain {
        cargo,
        rustc,
        sysroot,
        from_source: Some(linker),
        directory: directory.to_owned(),
    })
}

/// The target's folder can exist without a library in it.
fn has_libraries(folder: &Path) -> bool {
    folder.read_dir().is_ok_and(|mut entries| entries.next().is_some())
}

fn bundled_linker(directory: &Path, rustc: &Path) -> Option<PathBuf> {
    let libraries = ask(directory, rustc, &["--print", "target-libdir"]).ok()?;
    let folder = Path::new(&libraries).parent()?.join("bin");
    folder.join("rust-lld").is_file().then_some(folder)
}

fn linker_on_path() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).find(|folder| folder.join("rust-lld").is_file())
}

impl Toolchain {
    /// The compiler's name and version, as it prints them.
    pub(super) fn version(&self) -> Result<String, BuildError> {
        ask(&self.directory, &self.rustc, &["--version"])
    }
}

fn ask(directory: &Path, tool: &Path, arguments: &[&str]) -> Result<String, BuildError> {
    let name = tool.display().to_string();
    let output = Command::new(tool)
        .args(arguments)
        .current_dir(directory)
        .output()
        .map_err(|error| BuildError::Tool { tool: name.clone(), error })?;
    if !output.status.success() {
        return Err(BuildError::Failed(format!("{name} {}", arguments.join(" "))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
