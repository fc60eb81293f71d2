//! The command line: one file a command.
//!
//! Exit codes: 0 if the command did its work, 1 if it failed, 2 if the command line or the
//! configuration is wrong.

mod bench;
mod cache;
mod check;
mod client;
mod demo;
mod explain;
mod fleet;
mod flush;
mod policy;
mod serve;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use crate::config::Config;
use crate::observe::logs::{self, Level, LogFormat};

#[derive(Parser)]
#[command(name = "corral", version, about = "A read cache in front of Postgres, with Redis")]
struct Cli {
    /// How log lines look.
    #[arg(long, value_enum, default_value = "text", global = true)]
    log: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves reads and writes.
    #[command(after_help = "Example:\n  corral serve --config corral.toml")]
    Serve(ConfigFile),
    /// Looks at everything that serving needs, and lists every problem at once.
    #[command(after_help = "Example:\n  corral check --config corral.toml")]
    Check(ConfigFile),
    /// Shows the whole playbook with measured numbers, then serves.
    #[command(after_help = "Examples:\n  corral demo\n  corral demo --once --json\n  \
                            corral demo --store redis://127.0.0.1 --origin postgres://me@127.0.0.1/shop")]
    Demo(demo::Demo),
    /// Loads any HTTP server, and says how fast it answers.
    #[command(after_help = bench::EXAMPLES)]
    Bench(Box<bench::Bench>),
    /// Says what a running host would do with a read, and why; nothing is loaded or written.
    #[command(after_help = "Examples:\n  corral explain user.profile id=42\n  \
                            corral explain user.profile id=42 --candidate policy.wasm --json")]
    Explain(explain::Explain),
    /// Makes every stored value untrue, on every host.
    #[command(after_help = "Example:\n  corral flush --url http://127.0.0.1:7070")]
    Flush(flush::Flush),
    /// Says which hosts are alive, and what each runs.
    #[command(after_help = "Example:\n  corral fleet --url http://127.0.0.1:7071")]
    Fleet(fleet::FleetCommand),
    /// Builds, shows, pushes and rolls back policies.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
}

/// Where the configuration is.
#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "corral.toml")]
    config: PathBuf,
}

/// Why a command failed.
enum Failed {
    /// The command line or the configuration is wrong: exit code 2.
    Usage(anyhow::Error),
    /// The command itself failed: exit code 1.
    Run(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Run(error.into())
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let level =
        if matches!(cli.command, Command::Demo(_)) { Level::Narrated } else { Level::Usual };
    logs::start(cli.log, level);
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => report(&failed),
    }
}

fn run(command: Command) -> Result<(), Failed> {
    match command {
        Command::Serve(file) => {
            let config = load(&file.config)?;
            let runtime = runtime(config.threads)?;
            let served = runtime.block_on(serve::run(config));
            // Work that was cut off, such as the examination of a policy, must not delay the exit.
            runtime.shutdown_background();
            served
        }
        Command::Check(file) => on_all_cores(check::run(&file.config)),
        Command::Demo(demo) => on_all_cores(demo::run(demo)),
        Command::Bench(bench) => on_all_cores(bench::run(&bench)),
        Command::Explain(explain) => on_all_cores(explain::run(explain)),
        Command::Flush(flush) => on_all_cores(flush::run(flush)),
        Command::Fleet(fleet) => on_all_cores(fleet::run(fleet)),
        Command::Policy(command) => on_all_cores(policy::run(command)),
    }
}

fn on_all_cores(work: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    runtime(cores)?.block_on(work)
}

/// How many ready connections one thread serves before it polls for others. Their messages to the
/// store travel while the thread reads from the next connections. With more at once, the thread
/// would wait for the store's answers; with fewer, the store gets more messages.
const TURN: usize = 32;

/// A runtime of so many threads. A single thread saves the communication between threads.
fn runtime(threads: usize) -> std::io::Result<Runtime> {
    if threads == 1 {
        return Builder::new_current_thread().max_io_events_per_tick(TURN).enable_all().build();
    }
    Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}

fn report(failed: &Failed) -> ExitCode {
    let (error, code) = match failed {
        Failed::Usage(error) => (error, 2),
        Failed::Run(error) => (error, 1),
    };
    // If standard error is closed, the error can't be shown.
    let _closed = writeln!(std::io::stderr(), "corral: {error:#}");
    ExitCode::from(code)
}

/// Prints a line to standard output. A closed pipe is no error: the reader has read enough.
fn say(line: impl std::fmt::Display) {
    let _closed = writeln!(std::io::stdout(), "{line}");
}

fn load(path: &Path) -> Result<Config, Failed> {
    Config::load(path).map_err(|errors| Failed::Usage(anyhow::Error::new(errors)))
}
