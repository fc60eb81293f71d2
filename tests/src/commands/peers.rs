//! Measures Corral beside what people would use instead, and what it costs as it grows.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgGroup, Subcommand};
use corral_tests::peers::compare::{self, Effort};
use corral_tests::peers::growth::{self, Sizes};
use corral_tests::peers::peer::Peer;
use corral_tests::peers::rig::Rig;
use corral_tests::peers::{against, chart, disturbed, service, start, table};
use indicatif::ProgressBar;
use serde::Serialize;

/// Installs the peers from Debian, npm and PyPI, starts each on a private port over one Redis, runs
/// them in turn for several rounds, and prints medians, spreads, processor time and ratios. Fails
/// when a ratio that is promised does not hold.
///
/// Example: corral-tests peers --rounds 5 --json out.json --svg out.svg
#[derive(clap::Args)]
#[command(group(ArgGroup::new("what")), args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// Rounds; in each one every server has its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each load is measured.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Only servers whose name contains this (`corral`, `nginx`); may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Measure instead what Corral costs with more entries, connections, keys of a tag, hosts,
    /// bytes.
    #[arg(long, group = "what")]
    growth: bool,
    /// Measure instead open loops on Corral in whose middle a policy is exchanged or Redis
    /// restarted.
    #[arg(long, group = "what")]
    disturbed: bool,
    /// Measure instead how soon a host that is started answers.
    #[arg(long, group = "what")]
    start: bool,
    /// Measure instead what a hit costs this `corral`, and the `corral` in this file.
    #[arg(long, value_name = "FILE", group = "what")]
    against: Option<PathBuf>,
    /// File for the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// File for a chart of the comparison.
    #[arg(long, value_name = "FILE", conflicts_with = "what")]
    svg: Option<PathBuf>,
    #[command(subcommand)]
    inner: Option<Inner>,
}

#[derive(Subcommand)]
enum Inner {
    /// One of the services that are measured; this command starts it itself.
    #[command(hide = true)]
    Service(service::Options),
}

/// Whether every ratio that is promised holds.
///
/// # Errors
/// When a server can't be installed, started or measured.
pub(crate) fn run(args: &Args) -> anyhow::Result<bool> {
    if let Some(Inner::Service(options)) = &args.inner {
        return service::run(options).map(|()| true);
    }
    crate::on_runtime(measure(args))
}

/// Prints what was measured, and says whether what must hold does.
async fn measure(args: &Args) -> anyhow::Result<bool> {
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(200));
    // Indicatif draws on terminals only, and a log needs progress too, since a run takes minutes.
    let told = |what: &str| match std::io::stderr().is_terminal() {
        true => spinner.set_message(what.to_owned()),
        false => eprintln!("{what}"),
    };
    let (text, holds) = if args.growth {
        let tables = growth::run(&Sizes::full(args.time), &told).await?;
        save(args.json.as_deref(), &tables)?;
        (table::growth(&tables), true)
    } else if args.disturbed {
        let lines = disturbed::run(args.time, &told).await?;
        save(args.json.as_deref(), &lines)?;
        (table::disturbed(&lines), true)
    } else if let Some(earlier) = &args.against {
        let effort = Effort { rounds: args.rounds, time: args.time };
        let lines = against::run(earlier, effort, &told).await?;
        save(args.json.as_deref(), &lines)?;
        (table::against(&lines), true)
    } else if args.start {
        let start = start::run(&Rig::start().await?).await?;
        save(args.json.as_deref(), &start)?;
        (serde_json::to_string_pretty(&start)? + "\n", true)
    } else {
        let effort = Effort { rounds: args.rounds, time: args.time };
        let peers = wanted(&args.only);
        let about = compare::duration(peers.len(), effort).as_secs().div_ceil(60);
        eprintln!("{} servers, {} rounds: about {about} minutes", peers.len(), args.rounds);
        let comparison = compare::run(&peers, effort, &told).await?;
        save(args.json.as_deref(), &comparison)?;
        if let Some(path) = &args.svg {
            std::fs::write(path, chart::svg(&comparison)).with_context(|| said(path))?;
        }
        let holds = comparison.claims.iter().all(|claim| claim.holds);
        (table::comparison(&comparison), holds)
    };
    spinner.finish_and_clear();
    print!("{text}");
    Ok(holds)
}

fn wanted(only: &[String]) -> Vec<Peer> {
    let mut peers = Peer::all();
    peers.retain(|peer| {
        let name = peer.name().to_lowercase();
        only.is_empty() || only.iter().any(|part| name.contains(&part.to_lowercase()))
    });
    peers
}

fn save(path: Option<&Path>, figures: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, serde_json::to_string_pretty(figures)? + "\n").with_context(|| said(path))
}

fn said(path: &Path) -> String {
    format!("{} can't be written", path.display())
}
