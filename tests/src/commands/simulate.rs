//! Simulates hosts over a store and an origin that fail, and looks for a broken promise.

use std::time::Duration;

use clap::ValueEnum as _;
use corral_tests::sim::{Campaign, Churn, Found, Protection, Scene, Tally};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

/// Runs the real cache of several hosts in virtual time, under every fault, and judges what its
/// clients saw. Fails if a promise was broken, and prints how to repeat the run.
///
/// Example: corral-tests simulate --requests 1000000
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Stop after so many requests of simulated clients, all schedules together.
    #[arg(long, default_value_t = 100_000)]
    requests: u64,
    /// The seed of the first schedule; the others count on from it.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Run one schedule and print everything that happened in it.
    #[arg(long, conflicts_with_all = ["requests", "first_seed", "controls"])]
    seed: Option<u64>,
    /// Fill so many short-lived keys under tags within a virtual hour, and count what the indexes
    /// hold.
    #[arg(long, conflicts_with_all = ["requests", "first_seed", "seed", "controls"])]
    churn: Option<u64>,
    /// Switch off a protection of the protocol, after which a broken promise has to be found.
    #[arg(long, value_enum)]
    without: Option<Protection>,
    /// Switch off each protection in turn and print what is found: the table of the races.
    #[arg(long, conflicts_with = "without")]
    controls: bool,
    /// Give up on a protection after so many schedules.
    #[arg(long, default_value_t = 200_000)]
    patience: u64,
    /// Threads; each runs schedules of its own.
    #[arg(long)]
    threads: Option<usize>,
    /// Print one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

const HOUR: Duration = Duration::from_secs(3600);

/// Whether no promise was broken, or with `--controls` each protection was missed.
pub(crate) fn run(args: &Args) -> bool {
    match (args.seed, args.churn) {
        (Some(seed), _) => replay(seed, args.without),
        (None, Some(keys)) => churn(keys),
        (None, None) if args.controls => controls(args),
        (None, None) => campaign(args),
    }
}

/// An hour of short-lived keys; `true` if the indexes kept within their bound.
fn churn(keys: u64) -> bool {
    let churned = Churn { keys, within: HOUR }.run();
    println!("{:#}", json!(churned));
    churned.most_members <= churned.bound && (churned.left, churned.missing) == (0, 0)
}

/// Runs one schedule and prints everything that happened.
fn replay(seed: u64, missing: Option<Protection>) -> bool {
    let outcome = Scene { seed, missing, detailed: true }.run();
    println!("{:#?}", outcome.climate);
    for entry in &outcome.entries {
        println!("{entry}");
    }
    for violation in &outcome.violations {
        println!("BROKEN {violation}");
    }
    outcome.violations.is_empty()
}

fn threads(args: &Args) -> usize {
    args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn campaign(args: &Args) -> bool {
    let seeds = args.first_seed..u64::MAX;
    let style = "{bar:40} {pos}/{len} requests, {per_sec}, {eta} left";
    let bar = ProgressBar::new(args.requests).with_style(
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let campaign = Campaign { seeds, missing: args.without, threads: threads(args) };
    let tally = campaign.run(args.requests, |requests| bar.inc(requests));
    bar.finish_and_clear();
    report(args, &tally);
    tally.found.is_none()
}

fn report(args: &Args, tally: &Tally) {
    let per_second = |count: u64| count as f64 / tally.took.as_secs_f64();
    let Tally { schedules, requests, .. } = *tally;
    let last_seed = args.first_seed + schedules.saturating_sub(1);
    if args.json {
        let found = tally.found.as_ref().map(|found| {
            let violations: Vec<_> = found.violations.iter().map(ToString::to_string).collect();
            json!({ "seed": found.seed, "violations": violations })
        });
        let document = json!({
            "first_seed": args.first_seed,
            "last_seed": last_seed,
            "schedules": schedules,
            "requests": requests,
            "store_operations": tally.store_operations,
            "seconds": tally.took.as_secs_f64(),
            "schedules_per_second": per_second(schedules),
            "requests_per_second": per_second(requests),
            "found": found,
        });
        println!("{document:#}");
        return;
    }
    println!("schedules         {schedules}, {:.0} per second", per_second(schedules));
    println!("requests          {requests}, {:.0} per second", per_second(requests));
    println!("store operations  {}", tally.store_operations);
    println!("seeds             {} to {last_seed}", args.first_seed);
    match &tally.found {
        None => println!("no promise was broken"),
        Some(Found { seed, violations, .. }) => {
            violations.iter().for_each(|violation| println!("BROKEN {violation}"));
            println!("see it with       corral-tests simulate --seed {seed}");
        }
    }
}

/// Switches off each protection in turn; `true` if each was missed.
fn controls(args: &Args) -> bool {
    let mut all = true;
    println!(
        "| race | without | found after schedules | seed | what broke |\n|---|---|---|---|---|"
    );
    for protection in Protection::value_variants() {
        let campaign = Campaign {
            seeds: 0..args.patience,
            missing: Some(*protection),
            threads: threads(args),
        };
        let tally = campaign.run(u64::MAX, |_| {});
        let (race, name) = (protection.race(), protection.name());
        match tally.found {
            Some(Found { seed, schedules, violations }) => {
                let what = violations.first().map(|v| v.what.clone()).unwrap_or_default();
                println!("| {race} | {name} | {schedules} | {seed} | {what} |");
            }
            None => {
                all = false;
                eprintln!("{name} (race {race}) was not missed in {} schedules", tally.schedules);
            }
        }
    }
    all
}
