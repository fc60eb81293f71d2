//! Python and Node with the packages that a test needs, installed once in cargo's build directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};

use crate::servers::build_dir;

/// A folder of this crate.
#[must_use]
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A folder in the build directory that outlives its test.
///
/// # Errors
/// When it can't be made.
pub fn cache(name: &str) -> anyhow::Result<PathBuf> {
    let folder = build_dir()?.join("toolbox").join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// A Python whose environment has the packages of this `requirements.txt`.
///
/// # Errors
/// When it can't be made; `tests/prepare` installs python3 and its module venv.
pub fn python(requirements: &Path) -> anyhow::Result<PathBuf> {
    let home = made(requirements, |home| {
        run(Command::new("python3").args(["-m", "venv", "."]).current_dir(home))?;
        let mut install = Command::new(home.join("bin/python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
        run(install.arg(requirements))
    })?;
    Ok(home.join("bin/python"))
}

/// A folder whose `node_modules` has the packages of this `package.json`.
///
/// # Errors
/// When it can't be made; `tests/prepare` installs node and npm.
pub fn node(package: &Path) -> anyhow::Result<PathBuf> {
    made(package, |home| {
        fs::copy(package, home.join("package.json"))?;
        let mut install = Command::new("npm");
        run(install.args(["install", "--no-audit", "--no-fund"]).current_dir(home))
    })
}

/// Runs a program to its end and returns its output.
///
/// # Errors
/// If it can't be started or fails; with its output.
pub fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        said(&output.stdout),
        said(&output.stderr)
    );
    Ok(said(&output.stdout))
}

/// Only one folder is made at a time, since tests of one process need the same ones.
static MAKING: Mutex<()> = Mutex::new(());

/// A folder that `make` fills, unless it is filled already for the same list of packages.
fn made(list: &Path, make: impl Fn(&Path) -> anyhow::Result<String>) -> anyhow::Result<PathBuf> {
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let (Some(parent), Some(file)) = (list.parent(), list.file_name()) else {
        bail!("{} is no list of packages", list.display());
    };
    let name = parent.file_name().context("a list lies in a folder")?;
    let home = build_dir()?.join("toolbox").join(name).join(file);
    let (wanted, stamp) = (fs::read_to_string(list)?, home.join("made-of"));
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(home);
    }
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    fs::create_dir_all(&home)?;
    make(&home)?;
    fs::write(stamp, wanted)?;
    Ok(home)
}
