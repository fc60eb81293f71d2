//! Calculates what a node of the store bears as hosts and nodes become more.

use clap::Args;
use corral_tests::growth::model::{Costs, Load};
use corral_tests::growth::{Report, measured};

/// What a node of the store bears as hosts and nodes become more: calculated, and on request measured over one
/// node under one to eight hosts.
#[derive(Args)]
pub(crate) struct Growth {
    /// Hosts.
    #[arg(long, default_value_t = 1_000)]
    hosts: u32,
    /// Primaries of the cluster.
    #[arg(long, default_value_t = 100)]
    shards: u32,
    /// Reads that each host is asked for in a second.
    #[arg(long, default_value_t = 1_000.0)]
    reads: f64,
    /// The share of them that near caches answer.
    #[arg(long, default_value_t = 0.9)]
    near: f64,
    /// Writes that each host is asked for in a second.
    #[arg(long, default_value_t = 1.0)]
    writes: f64,
    /// The share of the hosts that hold a written key in their near caches.
    #[arg(long, default_value_t = 0.1)]
    holders: f64,
    /// Measure the costs here, in place of those of an earlier measurement.
    #[arg(long)]
    measure: bool,
    /// Print a JSON document instead of the tables.
    #[arg(long)]
    json: bool,
}

impl Growth {
    /// Whether what was measured is what is calculated.
    pub(crate) async fn run(&self) -> anyhow::Result<bool> {
        let mut measurements = Vec::new();
        let mut costs = Costs::default();
        if self.measure {
            measurements = measured::all(|one| eprintln!("{one:?}")).await?;
            costs = measured::costs(&measurements, measured::push_us().await?)?;
        }
        let Self { hosts, shards, reads, near, writes, holders, .. } = *self;
        let load = Load { reads, near, writes, holders };
        let report = Report::of(costs, load, (hosts, shards), measurements);
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            println!("{report}");
        }
        Ok(report.holds())
    }
}
