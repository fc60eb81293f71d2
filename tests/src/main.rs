//! What is too long or too noisy for a test: campaigns, scenarios, replays and measurements.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks on both")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod commands;

use commands::{growth, peers, replay, scenario, simulate};

/// Campaigns, scenarios, replays and measurements of Corral. Each command fails when what it judges
/// does not hold. (The fuzzer counts every allocation, so it is a program of its own: `fuzz`.)
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Simulate(simulate::Args),
    /// Starts private servers and hosts, plays one scenario, and prints a JSON document, or a table.
    #[command(subcommand)]
    Scenario(scenario::Scenario),
    Replay(replay::Args),
    Peers(peers::Args),
    Growth(growth::Growth),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Simulate(args) => Ok(simulate::run(&args)),
        Command::Scenario(scenario) => on_runtime(scenario::play(scenario)),
        Command::Replay(args) => on_runtime(replay::run(&args)),
        Command::Peers(args) => peers::run(&args),
        Command::Growth(growth) => on_runtime(growth.run()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("corral-tests: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn on_runtime(command: impl Future<Output = anyhow::Result<bool>>) -> anyhow::Result<bool> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}
