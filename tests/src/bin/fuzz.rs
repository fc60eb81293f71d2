//! Gives random inputs to the code that reads bytes from outside the process.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks on both")]

use std::process::ExitCode;

use clap::Parser;
use corral_tests::fuzz::{HEAP, Report, run, targets};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = HEAP;

/// Gives envelopes, announcements, replies of Redis, query strings, values, configurations, answers
/// of policies and whole HTTP requests, changed at random, to the code that reads them. Fails if an
/// input causes a panic or takes too much memory, and prints how to repeat it.
///
/// Example: fuzz --inputs 10000000
#[derive(Parser)]
struct Args {
    /// Only these targets.
    only: Vec<String>,
    /// Number of inputs, of all targets together.
    #[arg(long, default_value_t = 100_000)]
    inputs: u64,
    /// Seed of the inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the input of this number.
    #[arg(long)]
    input: Option<u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let known: Vec<&str> = targets().iter().map(|target| target.name()).collect();
    if let Some(unknown) = args.only.iter().find(|name| !known.contains(&name.as_str())) {
        eprintln!("there is no target {unknown}; there are {}", known.join(", "));
        return ExitCode::from(2);
    }
    let mut chosen = targets();
    chosen.retain(|target| args.only.is_empty() || args.only.iter().any(|n| n == target.name()));
    let shares: u64 = chosen.iter().map(|target| target.share()).sum();
    println!("{:<16}{:>12}{:>12}{:>16}", "target", "inputs", "understood", "most bytes");
    let mut holds = true;
    for target in &mut chosen {
        let (first, inputs) = match args.input {
            Some(input) => (input, 1),
            None => (0, args.inputs * target.share() / shares),
        };
        holds &= tell(&run(target.as_mut(), args.seed, first, inputs), args.seed);
    }
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a target's report; whether no input broke it.
fn tell(report: &Report, seed: u64) -> bool {
    let Report { target, inputs, understood, most_bytes, broken } = report;
    println!("{target:<16}{inputs:>12}{understood:>12}{most_bytes:>16}");
    let Some(broken) = broken else { return true };
    println!("BROKEN    {}\ninput     {}", broken.what, broken.bytes);
    println!("see it with  fuzz {target} --seed {seed} --input {}", broken.input);
    false
}
