//! Runs the compiler so that its output does not depend on the machine.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::BuildError;
use super::toolchain::{TARGET, Toolchain};

/// The profile of a component, whatever the crate's own says, so that it is the same everywhere.
/// Level 3 decides no faster than 2 here and compiles to a fifth more, which every exchange pays
/// for; with [`FLAGS`], `s` is a twentieth smaller and executes a fifth more for a step.
const PROFILE: [&str; 6] = [
    "profile.release.opt-level=2",
    "profile.release.lto=true",
    "profile.release.codegen-units=1",
    "profile.release.panic=\"abort\"",
    "profile.release.debug=false",
    "profile.release.strip=\"debuginfo\"",
];

/// Leaves out code that a decision hardly gains from and every exchange compiles: SHA-256 with its
/// rounds unrolled (7 kB of the default policy, for a quarter of a microsecond per 64 bytes), and
/// functions inlined because they are small. Without them a plan executes a fortieth more, and a step
/// that fills an eighth.
const FLAGS: [&str; 3] =
    ["--cfg", "sha2_backend_soft=\"compact\"", "-Cllvm-args=-inline-threshold=50"];

/// A message of cargo's, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The core module that the crate's library makes.
pub(super) fn compile(directory: &Path, toolchain: &Toolchain) -> Result<Vec<u8>, BuildError> {
    let manifest = directory.join("Cargo.toml");
    let manifest = fs::canonicalize(&manifest)
        .map_err(|error| BuildError::File { path: manifest.clone(), error })?;
    let root = workspace(&manifest, toolchain)?;
    let mut command = command(&manifest, &root, toolchain);
    let output = command.output().map_err(|error| failed_to_start(toolchain, error))?;
    if !output.status.success() {
        return Err(BuildError::Failed(format!("cargo rustc ({})", output.status)));
    }
    let path = artefact(&output.stdout, &manifest).ok_or(BuildError::NoArtefact)?;
    fs::read(&path).map_err(|error| BuildError::File { path, error })
}

fn command(manifest: &Path, root: &Path, toolchain: &Toolchain) -> Command {
    let mut command = cargo(manifest, toolchain);
    command.args(["rustc", "--lib", "--crate-type", "cdylib", "--release", "--target", TARGET]);
    command.arg("--message-format=json-render-diagnostics");
    command.arg("--manifest-path").arg(manifest);
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    let mut flags = remapping(root, toolchain);
    flags.extend(FLAGS.map(OsString::from));
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\x1f")));
    // An incremental build divides the crate otherwise; set in the environment, it outranks the
    // profile.
    command.env("CARGO_INCREMENTAL", "0");
    if toolchain.from_source.is_some() {
        command.arg("-Zbuild-std=std,panic_abort");
    }
    command.stderr(Stdio::inherit());
    command
}

fn cargo(manifest: &Path, toolchain: &Toolchain) -> Command {
    let mut command = Command::new(&toolchain.cargo);
    if let Some(directory) = manifest.parent() {
        command.current_dir(directory);
    }
    if let Some(linker) = &toolchain.from_source {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&path).chain([linker.clone()]);
        command.env("PATH", env::join_paths(folders).unwrap_or(path.clone()));
        // Building the standard library is not a stable feature of cargo's.
        command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", &toolchain.rustc);
    }
    command
}

/// Paths stand in panic messages: they must not tell where this machine keeps things.
fn remapping(root: &Path, toolchain: &Toolchain) -> Vec<OsString> {
    let registry = home().map(|home| (home, "/cargo"));
    let library = toolchain.sysroot.join("lib/rustlib/src/rust");
    // Distributions keep the sources elsewhere and link to them.
    let linked = fs::canonicalize(&library).ok().map(|library| (library, "/rust"));
    let paths = [Some((root.to_owned(), "/policy")), registry, Some((library, "/rust")), linked];
    let flag = |(from, to): (PathBuf, &str)| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flag
    };
    paths.into_iter().flatten().map(flag).collect()
}

fn home() -> Option<PathBuf> {
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from);
    cargo.or_else(|| env::home_dir().map(|home| home.join(".cargo")))
}

/// The folder of the workspace that the crate belongs to.
fn workspace(manifest: &Path, toolchain: &Toolchain) -> Result<PathBuf, BuildError> {
    let output = cargo(manifest, toolchain)
        .args(["locate-project", "--workspace", "--message-format=plain", "--manifest-path"])
        .arg(manifest)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed_to_start(toolchain, error))?;
    if !output.status.success() {
        return Err(BuildError::Failed("cargo locate-project".into()));
    }
    let root = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    Ok(root.parent().map(Path::to_owned).unwrap_or(root))
}

fn artefact(messages: &[u8], manifest: &Path) -> Option<PathBuf> {
    let messages = messages.split(|&byte| byte == b'\n');
    let ours = |message: &Message| {
        message.reason == "compiler-artifact" && message.manifest_path == manifest
    };
    messages
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok())
        .filter(ours)
        .flat_map(|message| message.filenames)
        .find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

fn failed_to_start(toolchain: &Toolchain, error: std::io::Error) -> BuildError {
    BuildError::Tool { tool: toolchain.cargo.display().to_string(), error }
}
