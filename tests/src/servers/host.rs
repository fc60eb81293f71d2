//! A host: `corral serve` as a process of its own, as users run it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use hyper::{Method, StatusCode};
use tempfile::TempDir;

use super::compiled;
use super::port::free_port;
use super::process::{Process, Signal};
use super::{Metrics, build_dir, replace};
use crate::client::{Answer, Client, media};

/// How long an exit may take: longer than any grace time that a test configures.
const EXITS_WITHIN: Duration = Duration::from_secs(60);

/// The `corral` that was built with this executable, without a configuration from the environment.
///
/// # Errors
/// When it was not built.
pub fn corral() -> anyhow::Result<Command> {
    let program = build_dir()?.join("corral");
    is_current(&program)?;
    let mut command = without_settings(Command::new(program));
    command.env("XDG_CACHE_HOME", user_cache()?).env_remove("CACHE_DIRECTORY");
    Ok(command)
}

/// What stands for the user's cache folder: it lies among what was built, so that tests leave nothing in a
/// home folder.
///
/// # Errors
/// If it can't be found out.
pub fn user_cache() -> anyhow::Result<PathBuf> {
    Ok(build_dir()?.join("user-cache"))
}

fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CORRAL_") {
            command.env_remove(name);
        }
    }
    command
}

/// Fails if the program is missing, or older than a source that it was made from: cargo builds
/// tests without it, and a test of an outdated program shows nothing.
fn is_current(program: &Path) -> anyhow::Result<()> {
    let advice = "`cargo build --workspace --bins` makes it";
    let built = fs::metadata(program).and_then(|program| program.modified());
    let built = built.with_context(|| format!("{} is missing: {advice}", program.display()))?;
    let sources = fs::read_to_string(program.with_extension("d"))
        .with_context(|| format!("what {} is made of: {advice}", program.display()))?;
    // The file is in make's form: `program: source source …`, with escaped spaces.
    let (_, sources) = sources.split_once(": ").context("cargo lists what a program is made of")?;
    let sources = sources.trim_end().replace("\\ ", "\0");
    for source in sources.split(' ').map(|source| source.replace('\0', " ")) {
        let changed = fs::metadata(&source).and_then(|source| source.modified());
        ensure!(
            changed.is_ok_and(|changed| changed <= built),
            "{} is older than {source}: {advice}",
            program.display()
        );
    }
    Ok(())
}

/// A running `corral serve`; killed on drop.
pub struct Host {
    process: Option<Process>,
    listen: String,
    admin: String,
    admin_token: Option<String>,
    ready_path: &'static str,
    environment: Vec<(&'static str, String)>,
    /// What runs in place of the `corral` of this build. Empty to run that one.
    program: Vec<OsString>,
    client: Client,
    home: TempDir,
}

impl Host {
    /// Starts a host on free ports, and returns when it is ready. `config` is a whole configuration
    /// without `listen` and `admin.listen`.
    ///
    /// # Errors
    /// When it does not become ready; with its log.
    pub async fn start(config: &str) -> anyhow::Result<Self> {
        Self::start_until("/readyz", config, Vec::new(), Vec::new()).await
    }

    /// The same with another program, and the arguments that come before `serve`: an earlier
    /// `corral`, or a program that runs `corral`.
    ///
    /// # Errors
    /// As [`Host::start`].
    pub async fn start_as(program: Vec<OsString>, config: &str) -> anyhow::Result<Self> {
        Self::start_until("/readyz", config, Vec::new(), program).await
    }

    /// The same, with these variables in its environment.
    ///
    /// # Errors
    /// As [`Host::start`].
    pub async fn start_in(
        environment: Vec<(&'static str, String)>,
        config: &str,
    ) -> anyhow::Result<Self> {
        Self::start_until("/readyz", config, environment, Vec::new()).await
    }

    /// The same, with a wall clock that is an hour ahead; its monotonic clock is right.
    ///
    /// # Errors
    /// As [`Host::start`], and when libfaketime is not installed.
    pub async fn start_an_hour_ahead(config: &str) -> anyhow::Result<Self> {
        let environment = vec![
            ("LD_PRELOAD", faketime()?),
            ("FAKETIME", "+3600".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        Self::start_in(environment, config).await
    }

    /// The same, but returns as soon as it is alive: its store or origin may be down.
    ///
    /// # Errors
    /// When it does not come up; with its log.
    pub async fn start_alive(config: &str) -> anyhow::Result<Self> {
        Self::start_until("/healthz", config, Vec::new(), Vec::new()).await
    }

    async fn start_until(
        ready_path: &'static str,
        config: &str,
        environment: Vec<(&'static str, String)>,
        program: Vec<OsString>,
    ) -> anyhow::Result<Self> {
        let listen = format!("127.0.0.1:{}", free_port()?);
        let admin = format!("127.0.0.1:{}", free_port()?);
        let home = tempfile::tempdir()?;
        let mut host = Self {
            process: None,
            listen,
            admin,
            admin_token: None,
            ready_path,
            environment,
            program,
            client: Client::new(),
            home,
        };
        host.configure(config)?;
        host.restart().await?;
        Ok(host)
    }

    /// Sends this token with every request to the admin face.
    #[must_use]
    pub fn with_admin_token(mut self, token: &str) -> Self {
        self.admin_token = Some(format!("Bearer {token}"));
        self
    }

    /// The URL of a path; that of the admin face for `/admin/…` and `/metrics`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let address = if is_admin(path) { &self.admin } else { &self.listen };
        format!("http://{address}{path}")
    }

    /// Gives it another configuration. `drain` is set to zero if the configuration does not set it,
    /// unless the host is another program: an earlier `corral` may not know that key.
    ///
    /// # Errors
    /// When its file can't be written.
    pub fn configure(&self, config: &str) -> anyhow::Result<()> {
        let config = with_listen(config, &self.listen, &self.admin);
        let is_drained = config.contains("drain = ") || !self.program.is_empty();
        let drain = if is_drained { "" } else { "drain = \"0s\"\n" };
        Ok(replace(&self.config_path(), format!("{drain}{config}"))?)
    }

    /// Its configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.home.path().join("corral.toml")
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Its output so far, on both streams.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// `GET`.
    ///
    /// # Errors
    /// If no answer comes. An answer of any status is not an error.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// `POST` with a JSON body.
    ///
    /// # Errors
    /// As [`Host::get`].
    pub async fn post(&self, path: &str, body: &serde_json::Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, body.to_string().into()).await
    }

    /// `PUT` with any body, of the media type that the path takes.
    ///
    /// # Errors
    /// As [`Host::get`].
    pub async fn put(&self, path: &str, body: impl Into<Bytes>) -> anyhow::Result<Answer> {
        self.send(Method::PUT, path, body.into()).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Answer> {
        let mut headers = Vec::new();
        if !body.is_empty() {
            headers.push(("content-type", media(path)));
        }
        if let Some(token) = &self.admin_token
            && is_admin(path)
        {
            headers.push(("authorization", token));
        }
        self.client.request(method, &self.url(path), &headers, body).await
    }

    /// Its metrics now.
    ///
    /// # Errors
    /// If they are not answered with 200, or are not in Prometheus's format.
    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        let answer = self.get("/metrics").await?;
        ensure!(answer.status == StatusCode::OK, "/metrics answers {}", answer.status);
        Ok(Metrics::parse(answer.text()?)?)
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again with the same configuration and ports; kills it first if it still runs.
    ///
    /// # Errors
    /// As [`Host::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        let mut command = match self.program.split_first() {
            None => corral()?,
            Some((program, arguments)) => {
                let mut command = without_settings(Command::new(program));
                command.args(arguments);
                command
            }
        };
        command.args(["serve", "--config"]).arg(self.config_path());
        let cache = self.home.path().join("cache");
        compiled::take_over(&cache)?;
        command.env("CORRAL_POLICY_CACHE", &cache);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut process = Process::spawn(command, self.home.path())?;
        let this = &*self;
        let answers = || async move {
            let answer = this.client.get(&this.url(this.ready_path)).await;
            answer.is_ok_and(|answer| answer.status == StatusCode::OK)
        };
        process.until_ready(answers).await?;
        compiled::leave(&cache)?;
        self.process = Some(process);
        Ok(())
    }

    /// Asks it to end (SIGTERM); [`Host::exited`] waits for that.
    ///
    /// # Errors
    /// When it does not run.
    pub fn term(&self) -> anyhow::Result<()> {
        self.signal(Signal::Term)
    }

    /// Asks it to end as Ctrl-C does (SIGINT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn interrupt(&self) -> anyhow::Result<()> {
        self.signal(Signal::Interrupt)
    }

    /// Asks it to read its configuration again (SIGHUP).
    ///
    /// # Errors
    /// When it does not run.
    pub fn hup(&self) -> anyhow::Result<()> {
        self.signal(Signal::Hangup)
    }

    /// Freezes it (SIGSTOP).
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.signal(Signal::Stop)
    }

    /// Thaws it (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn cont(&self) -> anyhow::Result<()> {
        self.signal(Signal::Cont)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it was killed before, or still runs after a minute; with its log.
    pub async fn exited(&mut self) -> anyhow::Result<ExitStatus> {
        let process = self.process.as_mut().context("the host was killed")?;
        process.exited(EXITS_WITHIN).await
    }

    fn signal(&self, which: Signal) -> anyhow::Result<()> {
        self.process.as_ref().context("the host was killed")?.signal(which)
    }
}

/// The library that gives a process another time.
fn faketime() -> anyhow::Result<String> {
    let folders = fs::read_dir("/usr/lib")?.filter_map(Result::ok);
    let library = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let library = library.into_iter().find(|path| path.exists());
    let library = library.context("libfaketime is missing; tests/prepare installs it")?;
    Ok(library.display().to_string())
}

fn is_admin(path: &str) -> bool {
    path.starts_with("/admin") || path == "/metrics"
}

/// The configuration with these addresses: `listen` goes to the top, before any table, and
/// `admin.listen` into the table `[admin]`, which is added if it is missing.
fn with_listen(config: &str, listen: &str, admin: &str) -> String {
    const TABLE: &str = "[admin]";
    let admin = format!("{TABLE}\nlisten = \"{admin}\"");
    let mut has_admin = false;
    let mut lines = vec![format!("listen = \"{listen}\"")];
    for line in config.lines() {
        if line.trim() == TABLE {
            has_admin = true;
            lines.push(admin.clone());
        } else {
            lines.push(line.to_owned());
        }
    }
    if !has_admin {
        lines.push(admin);
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_added_to_a_configuration_without_an_admin_table() {
        let config = with_listen("grace = \"1s\"\n[store]\ntimeout = \"50ms\"\n", "a:1", "b:2");
        let expected = "listen = \"a:1\"\ngrace = \"1s\"\n[store]\ntimeout = \"50ms\"\n\
                        [admin]\nlisten = \"b:2\"\n";
        assert_eq!(config, expected);
    }

    #[test]
    fn addresses_are_added_to_a_configuration_with_an_admin_table() {
        let config = with_listen("[admin]\ntoken = \"secret\"\n[store]\n", "a:1", "b:2");
        let expected = "listen = \"a:1\"\n[admin]\nlisten = \"b:2\"\ntoken = \"secret\"\n[store]\n";
        assert_eq!(config, expected);
    }
}
