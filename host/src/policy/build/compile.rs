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

/// Leaves out code from which a decision hardly gains and which every exchange has to compile:
/// SHA-256 with its rounds unrolled (7 kB of the default policy, for a quarter of a microsecond per
/// 64 bytes), and functions that are inlined because they are small. Without them a plan executes a
/// fortieth more, and a step that fills an eighth.
const FLAGS: [&str; 3] =
    ["--cfg", "sha2_backend_soft=\"compact\"", "-Cllvm-args=-inline-threshold=50"];

/// A message of cargo's; only the fields that are used here.
#[derive(Deserialize)]
struct CargoMessage {
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
    let project = Project::of(&manifest, toolchain)?;
    let mut command = command(&manifest, &project, toolchain);
    let output = command.output().map_err(|error| failed_to_start(toolchain, error))?;
    if !output.status.success() {
        return Err(BuildError::Failed(format!("cargo rustc ({})", output.status)));
    }
    let path = artefact(&output.stdout, &manifest).ok_or(BuildError::NoArtefact)?;
    fs::read(&path).map_err(|error| BuildError::File { path, error })
}

fn command(manifest: &Path, project: &Project, toolchain: &Toolchain) -> Command {
    let mut command = cargo(manifest, toolchain);
    command.args(["rustc", "--lib", "--crate-type", "cdylib", "--release", "--target", TARGET]);
    command.arg("--message-format=json-render-diagnostics");
    command.arg("--manifest-path").arg(manifest);
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    let mut flags = remapping(project, toolchain);
    flags.extend(FLAGS.map(OsString::from));
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\x1f")));
    // An incremental build divides the crate otherwise. Set in the environment, this outranks the
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

/// Paths stand in panic messages, and they must not tell where this machine keeps its files.
fn remapping(project: &Project, toolchain: &Toolchain) -> Vec<OsString> {
    let registry = home().map(|home| (home, "/cargo"));
    let library = toolchain.sysroot.join("lib/rustlib/src/rust");
    // Distributions keep the sources elsewhere and link to them.
    let linked = fs::canonicalize(&library).ok().map(|library| (library, "/rust"));
    let crates = project.crates.iter().map(|folder| (folder.clone(), "/crate"));
    let paths =
        [Some((project.root.clone(), "/policy")), registry, Some((library, "/rust")), linked];
    let flag = |(from, to): (PathBuf, &str)| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flag
    };
    // Of several flags that match a path, the last one counts.
    crates.chain(paths.into_iter().flatten()).map(flag).collect()
}

fn home() -> Option<PathBuf> {
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from);
    cargo.or_else(|| env::home_dir().map(|home| home.join(".cargo")))
}

/// Where the sources of a policy lie.
struct Project {
    /// The folder of the workspace.
    root: PathBuf,
    /// The folders of crates outside it that are built from a path.
    crates: Vec<PathBuf>,
}

/// What cargo tells about a project; only the fields that are used here.
#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    packages: Vec<CargoPackage>,
}

#[derive(Deserialize)]
struct CargoPackage {
    manifest_path: PathBuf,
    /// `None` for a crate that is built from a path.
    source: Option<String>,
}

impl Project {
    fn of(manifest: &Path, toolchain: &Toolchain) -> Result<Self, BuildError> {
        let output = cargo(manifest, toolchain)
            .args(["metadata", "--format-version=1", "--manifest-path"])
            .arg(manifest)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| failed_to_start(toolchain, error))?;
        let failed = || BuildError::Failed("cargo metadata".into());
        let metadata = output.status.success().then(|| serde_json::from_slice(&output.stdout).ok());
        let Metadata { workspace_root: root, packages } = metadata.flatten().ok_or_else(failed)?;
        let paths = packages.into_iter().filter(|package| package.source.is_none());
        let folders = paths.filter_map(|package| Some(package.manifest_path.parent()?.to_owned()));
        let crates = folders.filter(|folder| !folder.starts_with(&root)).collect();
        Ok(Self { root, crates })
    }
}

fn artefact(messages: &[u8], manifest: &Path) -> Option<PathBuf> {
    let messages = messages.split(|&byte| byte == b'\n');
    let ours = |message: &CargoMessage| {
        message.reason == "compiler-artifact" && message.manifest_path == manifest
    };
    messages
        .filter_map(|line| serde_json::from_slice::<CargoMessage>(line).ok())
        .filter(ours)
        .flat_map(|message| message.filenames)
        .find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
}

fn failed_to_start(toolchain: &Toolchain, error: std::io::Error) -> BuildError {
    BuildError::Tool { tool: toolchain.cargo.display().to_string(), error }
}
