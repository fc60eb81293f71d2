//! What a node of the store bears as hosts and nodes become more: a calculation ([`model`]), and a measurement
//! over one node that it is compared with ([`measured`]).

pub mod measured;
pub mod model;

use std::fmt;

use serde::Serialize;

use measured::Measured;
use model::{Costs, Load, Node};

/// How far calls may be from the calculated ones, as a share: timers are late on a busy machine.
const TOLERANCE: f64 = 0.15;

/// The sizes of a deployment that are calculated beside the one that is asked for: hosts and nodes.
const SIZES: [(u32, u32); 5] = [(1, 1), (8, 1), (8, 3), (64, 6), (250, 25)];

/// What was calculated, and what was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What each call costs a node.
    pub costs: Costs,
    /// What hosts are asked for.
    pub load: Load,
    /// The nodes of deployments of several sizes.
    pub nodes: Vec<Node>,
    /// One node under so many hosts, if that was measured.
    pub measured: Vec<Measured>,
}

impl Report {
    /// Calculates a deployment, and smaller ones beside it.
    #[must_use]
    pub fn of(costs: Costs, load: Load, size: (u32, u32), measured: Vec<Measured>) -> Self {
        let sizes = SIZES.into_iter().chain([size]);
        let nodes = sizes.map(|size| model::node(&costs, &load, size)).collect();
        Self { costs, load, nodes, measured }
    }

    /// Whether what was measured is what is calculated: connections to the number, calls nearly.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.measured.iter().all(|measured| {
            let calls = model::idle_calls(1.0) * f64::from(measured.hosts);
            let connections = model::CONNECTIONS * measured.hosts;
            measured.connections == connections
                && (measured.calls_per_second - calls).abs() <= TOLERANCE * calls
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Costs { idle_us, hit_us, write_us, push_us } = self.costs;
        writeln!(
            f,
            "A host costs a node {idle_us:.0} us a second by itself, {hit_us:.1} us a hit, {write_us:.0} us a \
             write, {push_us:.1} us for each host that is told of it."
        )?;
        let Load { reads, near, writes, holders } = self.load;
        writeln!(
            f,
            "Each host is asked for {reads} reads a second ({:.0} % near) and {writes} writes; {:.0} % of the \
             hosts hold a written key.",
            near * 100.0,
            holders * 100.0
        )?;
        writeln!(
            f,
            "\n| hosts | nodes | connections | new a second | calls by themselves | their core | pushes | whole core |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        for node in &self.nodes {
            writeln!(
                f,
                "| {} | {} | {} | {:.0} | {:.0}/s | {:.1} % | {:.0}/s | {:.1} % |",
                node.hosts,
                node.nodes,
                node.connections,
                node.new_connections_per_second,
                node.idle_calls_per_second,
                node.idle_core * 100.0,
                node.pushes_per_second,
                node.core * 100.0
            )?;
        }
        let end = model::end(&self.costs);
        writeln!(
            f,
            "\nBeats and looks alone take half a core of every node at {end:.0} hosts, however many nodes."
        )?;
        if !self.measured.is_empty() {
            writeln!(
                f,
                "\n| hosts | connections | calls a second, calculated | measured | core by themselves | us a hit | us a write |"
            )?;
            writeln!(f, "|---|---|---|---|---|---|---|")?;
        }
        for measured in &self.measured {
            writeln!(
                f,
                "| {} | {} | {:.1} | {:.1} | {:.2} % | {:.1} | {:.0} |",
                measured.hosts,
                measured.connections,
                model::idle_calls(1.0) * f64::from(measured.hosts),
                measured.calls_per_second,
                measured.idle_core * 100.0,
                measured.hit_us,
                measured.write_us
            )?;
        }
        Ok(())
    }
}
