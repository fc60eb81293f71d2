//! Peers are installed with the system's and the languages' own tools, each on its own: if one
//! can't be installed, that is reported, and the others go on.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;
use tokio::time::timeout;

use crate::servers::build_dir;

/// Long enough for a slow mirror; a hanging one is given up.
const INSTALLED_WITHIN: Duration = Duration::from_secs(300);

/// How much of an installer's output is reported: its end.
const LAST_WORDS: usize = 300;

/// Debian's packages, by the script that prepares a machine.
///
/// # Errors
/// When they can't be had.
pub async fn debian(packages: &[&str]) -> anyhow::Result<()> {
    let prepare = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("prepare");
    let mut command = Command::new(&prepare);
    command.args(packages);
    done(command, &prepare.display().to_string()).await
}

/// Installs packages of the npm registry in a folder of their own, and returns the folder.
///
/// # Errors
/// When they can't be had.
pub async fn npm(packages: &[&str]) -> anyhow::Result<PathBuf> {
    let home = home("node")?;
    if !home.join("node_modules").exists() {
        let mut command = Command::new("npm");
        command.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
        done(command.arg_and(&home, packages), "npm install").await?;
    }
    Ok(home)
}

/// Installs packages of PyPI in a virtual environment, and returns its folder.
///
/// # Errors
/// When they can't be had.
pub async fn pip(packages: &[&str]) -> anyhow::Result<PathBuf> {
    let home = home("python")?;
    let ready = home.join("ready");
    if !ready.exists() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]);
        done(make.arg_and(&home, &[]), "python3 -m venv").await?;
        let mut install = Command::new(home.join("bin/pip"));
        install.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages);
        done(install, "pip install").await?;
        std::fs::write(ready, "")?;
    }
    Ok(home)
}

fn home(name: &str) -> anyhow::Result<PathBuf> {
    let home = build_dir()?.join("peer-packages").join(name);
    std::fs::create_dir_all(&home)?;
    Ok(home)
}

trait ArgAnd {
    fn arg_and(self, first: &std::path::Path, rest: &[&str]) -> Self;
}

impl ArgAnd for Command {
    fn arg_and(mut self, first: &std::path::Path, rest: &[&str]) -> Self {
        self.arg(first).args(rest);
        self
    }
}

async fn done(mut command: Command, what: &str) -> anyhow::Result<()> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(INSTALLED_WITHIN, command.output())
        .await
        .with_context(|| format!("{what} is not done after {INSTALLED_WITHIN:?}"))?
        .with_context(|| format!("{what} can't be run"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let start = said.char_indices().rev().nth(LAST_WORDS).map_or(0, |(at, _)| at);
        bail!("{what} failed ({}): {}", output.status, said[start..].trim());
    }
    Ok(())
}
