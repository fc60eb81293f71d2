//! How soon a host that is started answers.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::numbers::Spread;
use super::rig::Rig;
use crate::servers::{corral, free_port};

/// How often it is started.
const STARTS: usize = 20;

/// How often the port is tried: far more often than the time that is measured.
const TRY_EVERY: Duration = Duration::from_millis(1);

/// A host that takes longer does not come up.
const COMES_UP_WITHIN: Duration = Duration::from_secs(30);

/// The figures.
#[derive(Debug, Clone, Serialize)]
pub struct Start {
    /// How often it was started.
    pub starts: usize,
    /// Milliseconds from the start of the process, with the default policy, to the first read
    /// that was answered with 200, from the store, on a machine where it ran before.
    pub ready_ms: Spread,
    /// The same on a machine where it never ran, so that no compiled policy is kept.
    pub first_ms: Spread,
    /// Memory of the process at that moment, in MiB.
    pub memory_mib: Spread,
}

/// Starts `corral serve` again and again.
///
/// # Errors
/// When it does not come up.
pub async fn run(rig: &Rig) -> anyhow::Result<Start> {
    let (mut times, mut first, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    let kept = tempfile::tempdir()?;
    // The first host puts the value into the store, and keeps what it compiles.
    once(rig, kept.path()).await?;
    for _ in 0..STARTS {
        let (time, mib) = once(rig, kept.path()).await?;
        times.push(time.as_secs_f64() * 1000.0);
        memory.push(mib);
        let (time, _) = once(rig, tempfile::tempdir()?.path()).await?;
        first.push(time.as_secs_f64() * 1000.0);
    }
    let spread = |values| Spread::of(values).context("hosts were started");
    Ok(Start {
        starts: STARTS,
        ready_ms: spread(times)?,
        first_ms: spread(first)?,
        memory_mib: spread(memory)?,
    })
}

async fn once(rig: &Rig, cache: &Path) -> anyhow::Result<(Duration, f64)> {
    let home = tempfile::tempdir()?;
    let (port, admin) = (free_port()?, free_port()?);
    let config = format!(
        "listen = \"127.0.0.1:{port}\"\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n{}",
        rig.config("")
    );
    let path = home.path().join("corral.toml");
    std::fs::write(&path, config)?;
    let began = Instant::now();
    let mut child = spawn(&path, cache)?;
    let answered = timeout(COMES_UP_WITHIN, first_answer(port)).await;
    let took = began.elapsed();
    let usage = corral_host::bench::ResourceUsage::of(child.0.id());
    // Reaped here, so that the next start has the machine to itself.
    child.end();
    answered.context("the host does not answer")??;
    Ok((took, usage?.memory_kib as f64 / 1024.0))
}

/// A process that is killed when this is dropped.
struct Child(std::process::Child);

impl Child {
    fn end(&mut self) {
        // The process may have ended by itself, which shows by the missing answer.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(config: &Path, cache: &Path) -> anyhow::Result<Child> {
    let mut command: Command = corral()?;
    command.args(["serve", "--config"]).arg(config).env("CORRAL_POLICY_CACHE", cache);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(Child(command.spawn()?))
}

async fn first_answer(port: u16) -> anyhow::Result<()> {
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => break stream,
            Err(_) => sleep(TRY_EVERY).await,
        }
    };
    stream.write_all(b"GET /read/item?id=1 HTTP/1.1\r\nhost: corral\r\n\r\n").await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    ensure!(&status == b"HTTP/1.1 200", "{}", String::from_utf8_lossy(&status));
    Ok(())
}
