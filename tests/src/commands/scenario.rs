//! Runs a scenario over real servers at full size, and prints what came of it.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use corral_host::policy::build::Language;
use corral_tests::authors;
use corral_tests::scenario::real::command::Real;
use corral_tests::scenario::swaps::Swaps;
use corral_tests::scenario::{
    deaths, faults, fleet, idlers, lifetimes, loads, near, newcomer, origin, outage, policies,
    pooler, predict, rename, report, rolling, saturated, stampede,
};
use corral_tests::trace::{Trace, beside_the_project, synthetic};
use serde::Serialize;

/// Starts private servers and hosts, plays one scenario, and prints a JSON document, or a table.
#[derive(Subcommand)]
pub(crate) enum Scenario {
    /// Readers of one value on two hosts: cold, expired, behind an orphan lease, with a killed holder.
    Stampede {
        /// Readers at once.
        #[arg(long, default_value_t = 500)]
        readers: usize,
        /// Rounds of each start.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// How long a load takes.
        #[arg(long, value_delimiter = ',', default_value = "100,900,5000")]
        load_ms: Vec<u64>,
    },
    /// Reads and writes over three hosts while something breaks every second.
    Faults {
        /// Requests of all clients.
        #[arg(long, default_value_t = 10_000)]
        requests: usize,
        /// Milliseconds between two disturbances.
        #[arg(long, default_value_t = 1_000)]
        every_ms: u64,
        /// Seed of the disturbances.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Milliseconds for which near caches may answer; 0 for no near caches.
        #[arg(long, default_value_t = 0)]
        near_ms: u64,
    },
    /// How long a near cache still answers a value that a write on another host has made untrue.
    Near {
        /// Writes while nothing is wrong.
        #[arg(long, default_value_t = 3_000)]
        writes: usize,
        /// Rounds over a silent way, and with a stopped store.
        #[arg(long, default_value_t = 20)]
        rounds: usize,
        /// Milliseconds for which the near cache may answer.
        #[arg(long, default_value_t = 1_000)]
        near_ms: u64,
    },
    /// The store stops answering, and answers again later.
    Outage {
        /// Seconds of each of the three phases.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// The store's budget for an exchange.
        #[arg(long, default_value_t = 50)]
        budget_ms: u64,
    },
    /// The origin is frozen, killed and out of connections, and then back, while stale values are
    /// at hand.
    Origin {
        /// Seconds of each of the three phases.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// The readers of one entity, while another entity's loads take longer than any deadline.
    Saturated {
        /// Runs with the slow entity, and as many runs without it.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Seconds of each run.
        #[arg(long, default_value_t = 8)]
        seconds: u64,
    },
    /// Connections that send nothing, send half a request, or read nothing of their answer, while
    /// others work.
    Idlers {
        /// Connections that send nothing.
        #[arg(long, default_value_t = 10_000)]
        silent: usize,
        /// Connections that send half a request.
        #[arg(long, default_value_t = 10_000)]
        half: usize,
        /// Connections that read nothing of an answer of ten megabytes.
        #[arg(long, default_value_t = 1_000)]
        never: usize,
        /// Connections that work.
        #[arg(long, default_value_t = 64)]
        good: usize,
        /// The host's `max_connections`.
        #[arg(long, default_value_t = 10_000)]
        max_connections: usize,
        /// Print a JSON document instead of the table.
        #[arg(long)]
        json: bool,
    },
    /// A host is killed between its commit and its invalidation.
    Deaths {
        /// Runs until so many writes were committed and not acknowledged.
        #[arg(long, default_value_t = 20)]
        deaths: usize,
    },
    /// What `corral policy diff` predicts for two policies and a trace, and what comes of the trace
    /// under each.
    Predict {
        /// The trace. Without it, the recorded product pages, or generated accesses if there is no
        /// recording.
        #[arg(long)]
        trace: Option<PathBuf>,
        /// Only so many of its accesses.
        #[arg(long, default_value_t = 40_000)]
        limit: usize,
        /// Accesses in a second.
        #[arg(long, default_value_t = 1_000.0)]
        rate: f64,
    },
    /// A trace on two hosts while its entries expire: the loads, compared with the fewest possible.
    Loads {
        /// The trace. Without it, the recorded product pages, or generated accesses if there is no
        /// recording.
        #[arg(long)]
        trace: Option<PathBuf>,
        /// Only so many of its accesses: the longest recorded one takes minutes for each line.
        #[arg(long, default_value_t = 1_000_000)]
        limit: usize,
        /// How long an entry is fresh.
        #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
        ttl: Duration,
        /// Accesses in a second. Without it, each as soon as the one before is answered.
        #[arg(long)]
        rate: Option<f64>,
    },
    /// A report that costs the database much, read on a schedule: its cost with and without a
    /// cache.
    Report {
        /// Orders in the shop.
        #[arg(long, default_value_t = 1_000_000)]
        orders: u32,
        /// Sections of the orders, each with its report.
        #[arg(long, default_value_t = 5)]
        sections: u32,
        /// How long a report is fresh.
        #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
        ttl: Duration,
        /// Requests in a second.
        #[arg(long, default_value_t = 1_000.0)]
        rate: f64,
        /// Seconds of the run.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// How often the query is run without the cache.
        #[arg(long, default_value_t = 100)]
        direct: u32,
    },
    /// When keys that are filled together expire.
    Spread {
        /// Number of keys.
        #[arg(long, default_value_t = 10_000)]
        keys: usize,
    },
    /// A hot key that is refreshed before it expires.
    Hot {
        /// Seconds for which it is read.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// From `corral policy new` to a response's header in each language, with nothing built before,
    /// and what a decision costs in that language.
    Newcomer,
    /// Short-lived keys under tags, and what is left of them.
    Churn {
        /// Number of keys.
        #[arg(long, default_value_t = 1_000_000)]
        keys: u64,
    },
    /// Bad policies, pushed into two hosts under load.
    Policies {
        /// Only these, by name.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Print a JSON document instead of the table.
        #[arg(long)]
        json: bool,
    },
    /// A host behind `PgBouncer`, which lends its connections by transaction, while tables change.
    Pooler {
        /// Requests in a second, a seventh of which the cache can't answer.
        #[arg(long, default_value_t = 5_000)]
        rate: u32,
        /// Seconds of the run.
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// Clients of the host.
        #[arg(long, default_value_t = 64)]
        clients: u32,
        /// Connections that the pooler has to the server.
        #[arg(long, default_value_t = 20)]
        lent: u16,
    },
    /// Redis comes back with older data or is two servers at a time, and commits have an outcome
    /// that the host does not learn: whether anything stale is read in each case.
    Real(Real),
    /// Three hosts behind `HAProxy` or nginx, replaced one after the other under load.
    Rolling(rolling::Rolling),
    /// Rollouts over several hosts under load: of good policies and bad ones, while hosts die and join.
    Fleet(fleet::Size),
    /// A policy that renames every key comes into force on two hosts under load with writes.
    Rename {
        /// Seconds before and after.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Print a JSON document instead of the table.
        #[arg(long)]
        json: bool,
    },
    /// Policies exchanged under full load, in turn with the same load without exchanges, and
    /// exchanges of Varnish's configuration for comparison.
    Swaps {
        /// How often the load with exchanges and the load without them take turns.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// Exchanges under load in each round.
        #[arg(long, default_value_t = 200)]
        swaps: u32,
        /// Exchanges of Varnish's configuration; 0 for none.
        #[arg(long, default_value_t = 20)]
        varnish_swaps: u32,
        /// Exchanges without load, and exchanges to policies never seen before.
        #[arg(long, default_value_t = 20)]
        few: u32,
        /// Connections of the load.
        #[arg(long, default_value_t = 16)]
        connections: usize,
        /// Milliseconds between two exchanges.
        #[arg(long, default_value_t = 100)]
        pause_ms: u64,
        /// Print a JSON document instead of the table.
        #[arg(long)]
        json: bool,
    },
}

/// Whether every promise was kept that the scenario judges.
pub(crate) async fn play(scenario: Scenario) -> anyhow::Result<bool> {
    match scenario {
        Scenario::Stampede { readers, rounds, load_ms } => {
            let told = |line: &stampede::Line| eprintln!("{line:?}");
            let lines = stampede::run(readers, rounds, &load_ms, told).await?;
            judged(&lines, lines.iter().all(stampede::Line::holds))
        }
        Scenario::Faults { requests, every_ms, seed, near_ms } => {
            let [every, near] = [every_ms, near_ms].map(Duration::from_millis);
            let report = faults::Faults { requests, every, seed, near }.run().await?;
            judged(&report, report.holds())
        }
        Scenario::Near { writes, rounds, near_ms } => {
            let report = near::run(Duration::from_millis(near_ms), writes, rounds).await?;
            judged(&report, report.holds())
        }
        Scenario::Outage { seconds, budget_ms } => {
            let budget = Duration::from_millis(budget_ms);
            let phases = outage::run(Duration::from_secs(seconds), budget).await?;
            judged(&phases, phases.iter().all(outage::Phase::holds))
        }
        Scenario::Origin { seconds } => {
            let mut holds = true;
            for blow in origin::Blow::ALL {
                let report = origin::run(blow, Duration::from_secs(seconds)).await?;
                holds &= judged(&report, report.expect().is_ok())?;
            }
            Ok(holds)
        }
        Scenario::Saturated { rounds, seconds } => {
            let told = |run: &saturated::Run| eprintln!("{run:?}");
            let report = saturated::run(rounds, Duration::from_secs(seconds), told).await?;
            judged(&report, report.holds())
        }
        Scenario::Idlers { silent, half, never, good, max_connections, json } => {
            let [before, within] = [10, 120].map(Duration::from_secs);
            let idlers =
                idlers::Idlers { silent, half, never, good, before, max_connections, within };
            let report = idlers.run().await?;
            shown(&report, json, report.holds())
        }
        Scenario::Deaths { deaths } => {
            let report = deaths::run(deaths, |died| eprintln!("{died} of {deaths}")).await?;
            judged(&report, report.holds())
        }
        Scenario::Predict { trace, limit, rate } => {
            let report = predict::run(&recorded(trace, limit)?, rate).await?;
            judged(&report, report.holds())
        }
        Scenario::Loads { trace, limit, ttl, rate } => {
            let keepings = [loads::EXACT, loads::DEFAULTS, loads::STALE];
            let told = |line: &loads::Line| eprintln!("{line:?}");
            let replay = loads::Loads { ttl, rate };
            let report = replay.run(&recorded(trace, limit)?, &keepings, told).await?;
            judged(&report, report.holds())
        }
        Scenario::Report { orders, sections, ttl, rate, seconds, direct } => {
            let lasts = Duration::from_secs(seconds);
            let reading = report::Reading { orders, sections, ttl, rate, lasts, direct };
            let report = reading.run(|what| eprintln!("{what}")).await?;
            judged(&report, report.holds())
        }
        Scenario::Spread { keys } => {
            let spread = lifetimes::spread(keys).await?;
            judged(&spread, spread.holds())
        }
        Scenario::Hot { seconds } => {
            let hot = lifetimes::hot(Duration::from_secs(seconds)).await?;
            judged(&hot, hot.holds())
        }
        Scenario::Newcomer => {
            println!("{}", authors::HEAD);
            for language in Language::ALL {
                let home = tempfile::tempdir()?;
                let walk = newcomer::walk(language, home.path(), None).await?;
                println!("{}", authors::line(&walk, authors::judged(&walk.component)?.cost));
            }
            Ok(true)
        }
        Scenario::Churn { keys } => {
            let churn = lifetimes::churn(keys).await?;
            judged(&churn, churn.holds())
        }
        Scenario::Policies { only, json } => {
            let wanted = |case: &&policies::Case| {
                only.is_empty() || only.iter().any(|name| name == case.name)
            };
            let cases: Vec<_> = policies::CASES.iter().filter(wanted).copied().collect();
            let report = policies::run(&cases, |what| eprintln!("{what}")).await?;
            shown(&report, json, report.holds())
        }
        Scenario::Pooler { rate, seconds, clients, lent } => {
            let lasts = Duration::from_secs(seconds);
            let pooling = pooler::Pooling { rate, lasts, clients, lent };
            let report = pooling.run().await?;
            judged(&report, report.holds(&pooling))
        }
        Scenario::Real(real) => real.play(|report| println!("{report:#}")).await,
        Scenario::Rolling(rolling) => {
            let report = rolling.run().await?;
            judged(&report, report.expect().is_ok())
        }
        Scenario::Fleet(size) => {
            let report = fleet::run(size, |what| eprintln!("{what}")).await?;
            shown(&report, false, report.holds())
        }
        Scenario::Rename { seconds, json } => {
            let lasts = Duration::from_secs(seconds);
            let report = rename::run(lasts, |what| eprintln!("{what}")).await?;
            shown(&report, json, report.holds())
        }
        Scenario::Swaps { rounds, swaps, varnish_swaps, few, connections, pause_ms, json } => {
            let pause = Duration::from_millis(pause_ms);
            let swaps = Swaps { rounds, swaps, varnish_swaps, few, connections, pause };
            let report = swaps.run(|side| eprintln!("{side}")).await?;
            shown(&report, json, report.missed().is_empty())
        }
    }
}

/// The first accesses of a trace: the named one, the recorded product pages, or a generated one.
fn recorded(trace: Option<PathBuf>, limit: usize) -> anyhow::Result<Trace> {
    const THINGS: u32 = 10_000;
    // A generated trace ends here.
    const MADE: usize = 100_000;
    match trace.or_else(beside_the_project) {
        Some(path) => Ok(Trace::read(&path)?.limited(limit)),
        None => Ok(synthetic(limit.min(MADE), THINGS, 1)),
    }
}

/// Prints a table for a reader, or a document for a program.
fn shown(report: &(impl Serialize + Display), json: bool, holds: bool) -> anyhow::Result<bool> {
    if json {
        return judged(report, holds);
    }
    println!("{report}");
    Ok(holds)
}

fn judged(report: &impl Serialize, holds: bool) -> anyhow::Result<bool> {
    println!("{}", serde_json::to_string_pretty(report)?);
    Ok(holds)
}
