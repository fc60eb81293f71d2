//! A balancer in front of three hosts, configured by the lines that host/MANUAL.md prints for it.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use serde::Serialize;

use super::nginx::nginx;
use super::port::free_port;
use super::program::Program;

const README: &str = include_str!("../../../host/MANUAL.md");

/// The hosts' addresses in host/MANUAL.md, and the balancer's.
const HOSTS: [&str; 3] = ["10.0.0.1:7070", "10.0.0.2:7070", "10.0.0.3:7070"];
const LISTEN: &str = ":7000";

/// Debian's package puts this outside the path of users other than root.
const HAPROXY: &str = "/usr/sbin/haproxy";

/// A program that shares requests out among hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Balancer {
    /// Asks `/readyz`. As configured here it never sends a request twice, not even a refused one.
    Haproxy,
    /// Asks nothing. It sends a request to another host if one refuses the connection.
    Nginx,
}

impl Balancer {
    /// Starts the balancer in front of these hosts, as Debian ships it.
    ///
    /// # Errors
    /// If it is not installed, does not come up (with its log), or has no lines in host/MANUAL.md.
    pub async fn start(self, hosts: [String; 3]) -> anyhow::Result<Program> {
        let (home, port) = (tempfile::tempdir()?, free_port()?);
        let lines = self.lines(&hosts, port)?;
        match self {
            Self::Haproxy => {
                let file = home.path().join("haproxy.cfg");
                fs::write(&file, lines.replacen("defaults\n", "defaults\n    retries 0\n", 1))?;
                let mut command = Command::new(HAPROXY);
                command.arg("-db").arg("-f").arg(file);
                Program::start(command, home, port, "/healthz").await
            }
            Self::Nginx => nginx(home, port, "", &lines, "/healthz").await,
        }
    }

    /// The lines in host/MANUAL.md, with other addresses.
    fn lines(self, hosts: &[String; 3], port: u16) -> anyhow::Result<String> {
        let (name, listen) = match self {
            Self::Haproxy => ("haproxy", format!("bind {LISTEN}")),
            Self::Nginx => ("nginx", format!("listen {}", &LISTEN[1..])),
        };
        let lines = README
            .split_once(&format!("```{name}\n"))
            .and_then(|(_, begun)| begun.split_once("```"));
        let mut lines =
            lines.with_context(|| format!("host/MANUAL.md has no lines for {name}"))?.0.to_owned();
        let (word, _) = listen.split_once(' ').context("two words")?;
        let here = (listen.as_str(), format!("{word} 127.0.0.1:{port}"));
        for (there, here) in HOSTS.into_iter().zip(hosts.iter().cloned()).chain([here]) {
            ensure!(lines.contains(there), "host/MANUAL.md's lines for {name} have no {there}");
            lines = lines.replace(there, &here);
        }
        Ok(lines)
    }
}
