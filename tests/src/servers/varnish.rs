//! A private Varnish.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::port::free_port;
use super::process::Process;
use crate::client::Client;

/// A private `varnishd` whose cache lies in memory. It ends on drop.
pub struct Varnish {
    process: Process,
    port: u16,
    home: TempDir,
}

impl Varnish {
    /// Starts it on a free port with this VCL, and returns when it answers `path`.
    ///
    /// # Errors
    /// When `varnishd` is not installed, or does not come up; with its log.
    pub async fn start(vcl: &str, path: &str) -> anyhow::Result<Self> {
        let (home, port) = (tempfile::tempdir()?, free_port()?);
        let file = home.path().join("first.vcl");
        std::fs::write(&file, vcl)?;
        let mut command = Command::new("varnishd");
        // In the foreground, and as the user that runs the test.
        command.args(["-F", "-j", "none", "-s", "malloc,64m"]);
        // A connection of the tests may be idle while others are busy.
        command.args(["-p", "timeout_idle=3600"]);
        command.arg("-n").arg(work(home.path())).arg("-f").arg(&file);
        command.args(["-a", &format!("127.0.0.1:{port}")]);
        let process = Process::spawn(command, home.path())?;
        let mut varnish = Self { process, port, home };
        let (client, url) = (Client::new(), varnish.url(path));
        let answers = || {
            let (client, url) = (client.clone(), url.clone());
            async move { client.get(&url).await.is_ok_and(|answer| answer.status.is_success()) }
        };
        varnish.process.until_ready(answers).await?;
        Ok(varnish)
    }

    /// The address of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// A file of its own directory.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs a command by `varnishadm`, and returns when it has succeeded.
    ///
    /// # Errors
    /// If the command fails; with its output.
    pub fn admin(&self, words: &[&str]) -> anyhow::Result<()> {
        let said = Command::new("varnishadm")
            .arg("-n")
            .arg(work(self.home.path()))
            .args(words)
            .output()
            .context("varnishadm does not start; tests/prepare installs it")?;
        let output = String::from_utf8_lossy(&said.stderr);
        let words = words.join(" ");
        ensure!(
            said.status.success(),
            "{words}: {}{output}",
            String::from_utf8_lossy(&said.stdout)
        );
        Ok(())
    }
}

fn work(home: &Path) -> PathBuf {
    home.join("work")
}
