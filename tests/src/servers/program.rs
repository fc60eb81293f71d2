//! Any other program that serves HTTP.

use std::process::Command;

use hyper::StatusCode;
use tempfile::TempDir;

use super::process::{Process, Signal, children, signal};
use crate::client::Client;

/// A program that serves HTTP on a port; killed on drop, with the processes that it started.
pub struct Program {
    process: Process,
    port: u16,
    _home: TempDir,
}

impl Program {
    /// Starts it, and returns when `ready_path` is answered with 200. `home` is its folder, and is
    /// removed with it.
    ///
    /// # Errors
    /// When it does not come up; with its log.
    pub async fn start(
        command: Command,
        home: TempDir,
        port: u16,
        ready_path: &str,
    ) -> anyhow::Result<Self> {
        let process = Process::spawn(command, home.path())?;
        let mut program = Self { process, port, _home: home };
        let url = format!("{}{ready_path}", program.url());
        let client = Client::new();
        let answers =
            || async { client.get(&url).await.is_ok_and(|answer| answer.status == StatusCode::OK) };
        program.process.until_ready(answers).await?;
        Ok(program)
    }

    /// `http://127.0.0.1:…`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// `127.0.0.1:…`
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A master process that is killed leaves its workers running.
        let workers = children(self.pid()).unwrap_or_default();
        self.process.kill();
        for worker in workers {
            // It may have ended with its master.
            let _gone = signal(worker, Signal::Kill);
        }
    }
}
