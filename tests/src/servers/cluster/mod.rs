//! A private cluster: primaries and replicas, whose slots move and whose replicas take over when told to.
//!
//! Nodes have numbers from zero on, in the order in which they were started: primaries first. A number stays
//! with its node when that is killed, changes its part, or leaves the cluster.

mod division;
mod moves;
mod view;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::port::free_port;
use super::{Edition, READY_WITHIN, Redis, eventually};
use crate::forwarder::{Crossing, End, Road};

pub use view::View;

/// How many slots a cluster has.
pub const SLOTS: u16 = 16_384;

/// How long a node is silent before others hold it for failed. Redis's own fifteen seconds would only make
/// tests slower; much less, and a busy machine's pauses look like failures.
const NODE_TIMEOUT: Duration = Duration::from_millis(2_000);

/// How far above a node's port its bus is where that can't be chosen, and how many ports are tried for a pair
/// of free ones.
const BUS_DISTANCE: u16 = 10_000;
const PAIRS_TRIED: usize = 100;

/// How a replica is told to take over (`CLUSTER FAILOVER`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Failover {
    /// The primary agrees, and stops until the replica has everything.
    Plain,
    /// The other primaries agree; the replica's own primary may be dead.
    Force,
    /// No other node is asked.
    Takeover,
}

/// A cluster of private servers. They end on drop.
pub struct Cluster {
    edition: Edition,
    nodes: Vec<Node>,
    crossing: Option<Crossing>,
    args: Vec<String>,
}

struct Node {
    redis: Redis,
    /// The port that it tells others and clients.
    port: u16,
    /// The port of its bus that it tells others.
    bus: u16,
    frozen: AtomicBool,
    removed: bool,
}

impl Cluster {
    /// Starts so many primaries of [`Edition::chosen`], which share all slots, and so many replicas: the first one follows the first
    /// primary, and so on in turn. Returns when the cluster serves.
    ///
    /// # Errors
    /// When a node does not come up, or the nodes do not become a cluster.
    pub async fn start(primaries: usize, replicas: usize) -> anyhow::Result<Self> {
        Self::start_with(primaries, replicas, &[]).await
    }

    /// The same with arguments of `redis-server` for every node (`--cluster-require-full-coverage`, `no`).
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn start_with(
        primaries: usize,
        replicas: usize,
        args: &[&str],
    ) -> anyhow::Result<Self> {
        Self::start_over(None, primaries, replicas, args).await
    }

    /// The same, with ways between all nodes that can be interrupted: see [`Cluster::divide`]. Everything
    /// passes through this process, so such a cluster is no place to measure rates.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn start_divisible(
        primaries: usize,
        replicas: usize,
        args: &[&str],
    ) -> anyhow::Result<Self> {
        Self::start_over(Some(Crossing::default()), primaries, replicas, args).await
    }

    async fn start_over(
        crossing: Option<Crossing>,
        primaries: usize,
        replicas: usize,
        args: &[&str],
    ) -> anyhow::Result<Self> {
        ensure!(primaries > 0, "a cluster has a primary");
        let args = args.iter().map(ToString::to_string).collect();
        let edition = Edition::chosen()?;
        let mut cluster = Self { edition, nodes: Vec::new(), crossing, args };
        for _ in 0..primaries + replicas {
            cluster.launch().await?;
        }
        for index in 0..primaries {
            // Nodes with different epochs need not find out which of them has the greater one.
            cluster.say(index, &["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]).await?;
            cluster.give_slots(index, primaries).await?;
        }
        for index in 1..cluster.nodes.len() {
            cluster.introduce(index, 0).await?;
        }
        for replica in primaries..primaries + replicas {
            cluster.follow(replica, (replica - primaries) % primaries).await?;
        }
        cluster.until_settled().await?;
        Ok(cluster)
    }

    /// Starts a server that belongs to no cluster yet, and returns its number.
    async fn launch(&mut self) -> anyhow::Result<usize> {
        let index = self.nodes.len();
        let number = number(index)?;
        let timeout = NODE_TIMEOUT.as_millis().to_string();
        let (own_port, own_bus) = free_pair(self.edition)?;
        let mut args = Vec::new();
        let mut set =
            |name: &str, value: &str| args.extend([format!("--{name}"), value.to_owned()]);
        set("cluster-enabled", "yes");
        set("cluster-node-timeout", &timeout);
        set("cluster-announce-ip", "127.0.0.1");
        if self.edition.chooses_its_bus() {
            set("cluster-port", &own_bus.to_string());
        }
        let mut announced = None;
        if self.crossing.is_some() {
            let (port, bus) = (free_port()?, free_port()?);
            set("cluster-announce-port", &port.to_string());
            set("cluster-announce-bus-port", &bus.to_string());
            args.extend(self.edition.source(&End::Node(number).source().to_string()));
            announced = Some((port, bus));
        }
        args.extend(self.args.iter().cloned());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let redis = Redis::start_on(self.edition, own_port, &args).await?;
        let (port, bus) = announced.unwrap_or((redis.port(), own_bus));
        if let Some(crossing) = &mut self.crossing {
            crossing.open(port, (number, Road::Commands), redis.port()).await?;
            crossing.open(bus, (number, Road::Bus), own_bus).await?;
        }
        let frozen = AtomicBool::new(false);
        self.nodes.push(Node { redis, port, bus, frozen, removed: false });
        Ok(index)
    }

    /// `redis+cluster://127.0.0.1:…,127.0.0.1:…`, with every node that belongs to the cluster.
    #[must_use]
    pub fn url(&self) -> String {
        let members = (0..self.nodes.len()).filter(|index| !self.nodes[*index].removed);
        self.url_of(&members.collect::<Vec<_>>())
    }

    /// The same, with these nodes alone.
    ///
    /// # Panics
    /// If there is no such node.
    #[must_use]
    pub fn url_of(&self, seeds: &[usize]) -> String {
        let seeds: Vec<String> =
            seeds.iter().map(|seed| format!("127.0.0.1:{}", self.port(*seed))).collect();
        format!("redis+cluster://{}", seeds.join(","))
    }

    /// The port that a node tells clients.
    ///
    /// # Panics
    /// If there is no such node.
    #[must_use]
    pub fn port(&self, index: usize) -> u16 {
        self.nodes[index].port
    }

    /// How many nodes were started so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// A node's server, which the test itself reaches however the cluster is divided.
    ///
    /// # Panics
    /// If there is no such node.
    #[must_use]
    pub fn node(&self, index: usize) -> &Redis {
        &self.nodes[index].redis
    }

    /// The nodes that belong to the cluster, run, and are not frozen.
    #[must_use]
    pub fn answering(&self) -> Vec<usize> {
        let answers = |node: &Node| {
            !node.removed && node.redis.pid().is_some() && !node.frozen.load(Ordering::SeqCst)
        };
        (0..self.nodes.len()).filter(|index| answers(&self.nodes[*index])).collect()
    }

    /// Sends any command to a node, and returns its answer.
    ///
    /// # Errors
    /// Redis's error.
    pub async fn say(&self, index: usize, words: &[&str]) -> anyhow::Result<redis::Value> {
        self.nodes[index].redis.say(words).await.with_context(|| format!("node {index}"))
    }

    /// Kills a node with SIGKILL.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].redis.kill();
        self.nodes[index].frozen.store(false, Ordering::SeqCst);
    }

    /// Starts a node again with what it knew of the cluster and the data in its folder; kills it first if it
    /// still runs.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn restart(&mut self, index: usize) -> anyhow::Result<()> {
        self.kill(index);
        self.nodes[index].redis.restart().await
    }

    /// Freezes a node (SIGSTOP): connections stay open and nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self, index: usize) -> anyhow::Result<()> {
        self.nodes[index].frozen.store(true, Ordering::SeqCst);
        self.nodes[index].redis.stop()
    }

    /// Thaws a node (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self, index: usize) -> anyhow::Result<()> {
        self.nodes[index].redis.cont()?;
        self.nodes[index].frozen.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Tells a replica to take over from its primary, and waits until it says that it is a primary.
    ///
    /// # Errors
    /// When it refuses, or that takes too long.
    pub async fn failover(&self, index: usize, how: Failover) -> anyhow::Result<()> {
        self.order_failover(index, how).await?;
        self.until_primary(index).await
    }

    /// Tells a replica to take over from its primary, and does not wait.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn order_failover(&self, index: usize, how: Failover) -> anyhow::Result<()> {
        let words: &[&str] = match how {
            Failover::Plain => &["CLUSTER", "FAILOVER"],
            Failover::Force => &["CLUSTER", "FAILOVER", "FORCE"],
            Failover::Takeover => &["CLUSTER", "FAILOVER", "TAKEOVER"],
        };
        self.say(index, words).await.map(drop)
    }

    /// Starts one more node: a replica of the node with the number, or a primary without slots. It is known
    /// to all others on return.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn add_node(&mut self, primary: Option<usize>) -> anyhow::Result<usize> {
        let guide = self.answering().into_iter().next().context("a node answers")?;
        let index = self.launch().await?;
        self.introduce(index, guide).await?;
        if let Some(primary) = primary {
            self.follow(index, primary).await?;
        }
        self.until_settled().await?;
        Ok(index)
    }

    /// Takes a node without slots out of the cluster, and ends it. A primary that gives its last slot away is a
    /// replica of the node that got it, if the server is Redis 7.0.
    ///
    /// # Errors
    /// When another node refuses to forget it.
    pub async fn remove_node(&mut self, index: usize) -> anyhow::Result<()> {
        let id = self.id(index).await?;
        for other in self.answering() {
            if other != index {
                self.say(other, &["CLUSTER", "FORGET", &id]).await?;
            }
        }
        self.nodes[index].removed = true;
        self.kill(index);
        self.until_settled().await
    }

    /// Gives a primary its share of the slots, in one piece.
    async fn give_slots(&self, index: usize, primaries: usize) -> anyhow::Result<()> {
        let border = |index: usize| index * usize::from(SLOTS) / primaries;
        let slots: Vec<String> =
            (border(index)..border(index + 1)).map(|slot| slot.to_string()).collect();
        let mut words = vec!["CLUSTER", "ADDSLOTS"];
        words.extend(slots.iter().map(String::as_str));
        self.say(index, &words).await.map(drop)
    }

    /// Has two nodes meet.
    async fn introduce(&self, index: usize, to: usize) -> anyhow::Result<()> {
        let (port, bus) = (self.port(to).to_string(), self.nodes[to].bus.to_string());
        self.say(index, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await.map(drop)
    }

    /// Makes a node a replica of another one, once it has heard of that.
    async fn follow(&self, replica: usize, primary: usize) -> anyhow::Result<()> {
        let id = self.id(primary).await?;
        eventually("a replica has heard of its primary", READY_WITHIN, || async {
            Ok(self.say(replica, &["CLUSTER", "REPLICATE", &id]).await.ok())
        })
        .await
        .map(drop)
    }
}

/// The number of a node in the address that it connects from.
fn number(index: usize) -> anyhow::Result<u8> {
    let number = u8::try_from(index + 1).ok().filter(|number| *number < u8::MAX);
    number.context("a cluster of so many nodes")
}

/// Free ports for a node and its bus.
fn free_pair(edition: Edition) -> anyhow::Result<(u16, u16)> {
    if edition.chooses_its_bus() {
        return Ok((free_port()?, free_port()?));
    }
    for _ in 0..PAIRS_TRIED {
        let port = free_port()?;
        let bus = port + BUS_DISTANCE;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, bus)).is_ok() {
            return Ok((port, bus));
        }
    }
    bail!("no free port for a node and, {BUS_DISTANCE} above it, one for its bus")
}
