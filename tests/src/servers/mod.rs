//! Private servers on free loopback ports, each in a temporary directory of its own.
//!
//! A server ends when its value is dropped, on panic too, and when the test process ends in any
//! way. Its log is printed if the test that owns it panics.

mod balancer;
pub mod cluster;
mod compiled;
mod edition;
mod host;
mod nginx;
mod pgbouncer;
mod port;
mod postgres;
mod process;
mod program;
mod redis;
mod sentinels;
mod shared;
mod varnish;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

pub use balancer::Balancer;
pub use cluster::{Cluster, Failover};
pub use corral_host::bench::Scrape as Metrics;
pub use edition::Edition;
pub use host::{Host, corral, user_cache};
pub use nginx::nginx;
pub use pgbouncer::PgBouncer;
pub use port::free_port;
pub use postgres::Postgres;
pub use process::{Signal, Threads, is_alive, resident_bytes, signal, threads};
pub use program::Program;
pub use redis::{Image, Redis};
pub use sentinels::Sentinels;
pub use shared::SharedServers;
pub use varnish::Varnish;

/// How long a server may take until it answers: a crash recovery on a busy machine takes seconds.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How often [`eventually`] and [`until`] look: short compared with all waits.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Calls `probe` again and again until it finds something.
///
/// # Errors
/// When `probe` fails, or has found nothing within `limit`; the error names `what`.
pub async fn eventually<T, F>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let looking = async {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            if let Some(found) = probe().await? {
                return Ok(found);
            }
        }
    };
    tokio::time::timeout(limit, looking)
        .await
        .with_context(|| format!("{what}: not within {limit:?}"))?
}

/// Waits until a condition holds. The condition may borrow what it asks, so the wait can't be spawned;
/// [`eventually`] can.
///
/// # Panics
/// When it does not hold within twenty seconds; the message names `what`.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    const LIMIT: Duration = Duration::from_secs(20);
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let came = tokio::time::timeout(LIMIT, looking).await;
    assert!(came.is_ok(), "{what}: not within {LIMIT:?}");
}

/// The directory in which cargo put this executable and those built with it, such as `corral`.
///
/// # Errors
/// If it can't be found out.
pub fn build_dir() -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let mut dir = executable.parent().context("an executable lies in a directory")?;
    if dir.ends_with("deps") || dir.ends_with("examples") {
        dir = dir.parent().context("cargo's `deps` lies in a directory")?;
    }
    Ok(dir.to_owned())
}

/// Puts another file in the place of this one, as `mv` does: a reader gets the whole old file or the
/// whole new one.
///
/// # Errors
/// When the file can't be written beside the old one, or not moved.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, content)?;
    fs::rename(beside, path)
}

/// Copies a directory with its owners and modes.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
    Ok(())
}
