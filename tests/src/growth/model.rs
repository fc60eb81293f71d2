//! The calculation. It has no clock and asks no server.
//!
//! A host has the same connections to every node, and beats, opens a connection anew, and looks for due
//! intents on every node, whatever it is asked for. So a node bears the hosts' number, and a new node takes
//! over its share of reads and writes, but nothing of that. It is assumed that
//!
//! - keys are spread evenly over the nodes, and reads and writes over the hosts;
//! - a write concerns one key and one tag;
//! - the host that is told of a change does not read the key again at once;
//! - a cluster's ranges are spread evenly over its nodes, and a node has one range at least.

use serde::Serialize;

/// How often a host does what it does on every node, in seconds. `BEAT`, `CONFIRM`, `LOOK` and `PUBLISH` are
/// the host's constants of these names; the lane for small reads is asked with every second beat.
const BEAT_S: f64 = 0.25;
const LANE_S: f64 = 2.0 * BEAT_S;
const CONFIRM_S: f64 = 0.5;
const LOOK_S: f64 = 0.3;
const PUBLISH_S: f64 = 10.0;

/// Into how many ranges a cluster is divided.
const RANGES: f64 = 64.0;

/// The connections of a host to a node.
pub const CONNECTIONS: u32 = 3;

/// What a node spends, in microseconds of processor time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Costs {
    /// On a host without requests, in a second.
    pub idle_us: f64,
    /// On a read that it answers.
    pub hit_us: f64,
    /// On a write, with its announcement and its invalidation.
    pub write_us: f64,
    /// On telling one host of a change.
    pub push_us: f64,
}

/// Measured by `growth --measure` on 2026-12-01, over Redis 7.0 on two shared cores.
impl Default for Costs {
    fn default() -> Self {
        Self { idle_us: 1_247.0, hit_us: 24.5, write_us: 212.0, push_us: 4.5 }
    }
}

/// What each host is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Load {
    /// Reads in a second.
    pub reads: f64,
    /// The share of them that the near cache answers.
    pub near: f64,
    /// Writes in a second.
    pub writes: f64,
    /// The share of the hosts that hold a written key in their near caches.
    pub holders: f64,
}

/// What one of the nodes bears.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Node {
    /// How many hosts there are.
    pub hosts: u32,
    /// How many nodes they share.
    pub nodes: u32,
    /// Open connections.
    pub connections: u32,
    /// Connections that are opened and closed again in a second.
    pub new_connections_per_second: f64,
    /// Calls of hosts, whether or not they have requests.
    pub idle_calls_per_second: f64,
    /// The share of a core that they take.
    pub idle_core: f64,
    /// Pushes of changes to hosts.
    pub pushes_per_second: f64,
    /// The share of a core that everything takes; more than one is more than the node can do.
    pub core: f64,
}

/// The calls that a host makes to a node in a second by itself; the node has so many ranges.
#[must_use]
pub fn idle_calls(ranges: f64) -> f64 {
    // A beat asks for two sections of INFO, the time, and each range's version.
    let beat = (3.0 + ranges) / BEAT_S;
    let lane = 2.0 / LANE_S;
    // A new connection asks whether the server answers, and for the two sections.
    let confirmation = 3.0 / CONFIRM_S;
    // Namings are published in each range, and the host is listed and asks for the memory's settings.
    let listing = (ranges + 2.0) / PUBLISH_S;
    beat + lane + confirmation + listing + ranges / LOOK_S
}

/// What a node of a deployment of so many hosts and nodes bears.
#[must_use]
pub fn node(costs: &Costs, load: &Load, (hosts, nodes): (u32, u32)) -> Node {
    let (all, share) = (f64::from(hosts), f64::from(hosts) / f64::from(nodes));
    let ranges = if nodes == 1 { 1.0 } else { (RANGES / f64::from(nodes)).max(1.0) };
    let idle_calls_per_second = all * idle_calls(ranges);
    // Calls of a range are taken to cost what the others cost on average.
    let idle_core = all * costs.idle_us * idle_calls(ranges) / idle_calls(1.0) / 1e6;
    let writes = share * load.writes;
    let pushes_per_second = writes * load.holders * all;
    let reads = share * load.reads * (1.0 - load.near);
    let asked_us =
        reads * costs.hit_us + writes * costs.write_us + pushes_per_second * costs.push_us;
    Node {
        hosts,
        nodes,
        connections: hosts * CONNECTIONS,
        new_connections_per_second: all / CONFIRM_S,
        idle_calls_per_second,
        idle_core,
        pushes_per_second,
        core: idle_core + asked_us / 1e6,
    }
}

/// The number of hosts that, by themselves, take half a core of every node.
#[must_use]
pub fn end(costs: &Costs) -> f64 {
    0.5e6 / costs.idle_us
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load { reads: 1_000.0, near: 0.9, writes: 1.0, holders: 1.0 };

    #[test]
    fn a_node_that_joins_takes_reads_over_and_no_beats() {
        let costs = Costs::default();
        // With 64 nodes and more, each has one range.
        let [few, many] = [64, 128].map(|nodes| node(&costs, &LOAD, (100, nodes)));
        assert_eq!(few.connections, many.connections);
        assert!((few.idle_core - many.idle_core).abs() < 1e-9);
        let asked = |node: Node| node.core - node.idle_core;
        assert!((asked(few) / asked(many) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn pushes_of_a_node_grow_with_the_square_of_the_hosts() {
        let pushes = |hosts| node(&Costs::default(), &LOAD, (hosts, 4)).pushes_per_second;
        assert!((pushes(200) / pushes(100) - 4.0).abs() < 1e-9);
    }
}
