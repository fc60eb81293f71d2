//! A private Redis Cluster.

use std::ops::RangeInclusive;

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;

use super::port::free_port;
use super::redis::Redis;
use super::{READY_WITHIN, eventually};

/// The slots of a cluster.
const SLOTS: u16 = 1 << 14;

/// After how long without a word a node is suspected, in ms. Redis's fifteen seconds would only make tests
/// slower.
const NODE_TIMEOUT_MS: &str = "1000";

/// A cluster of `redis-server`s: primaries first, then the replicas of each. It ends on drop.
pub struct Cluster {
    nodes: Vec<ClusterNode>,
    primaries: usize,
}

/// A node with its id in the cluster.
pub struct ClusterNode {
    /// The server.
    pub redis: Redis,
    /// The id.
    pub id: String,
    bus: u16,
}

/// How a replica is told to take the place of its primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Takeover {
    /// `CLUSTER FAILOVER`: the primary hands over.
    Agreed,
    /// `CLUSTER FAILOVER FORCE`: the other primaries are asked, the primary is not.
    Forced,
    /// `CLUSTER FAILOVER TAKEOVER`: nobody is asked.
    Unasked,
}

impl ClusterNode {
    async fn start() -> anyhow::Result<Self> {
        let bus = free_port()?;
        let args = ["--cluster-enabled", "yes", "--cluster-port", &bus.to_string()];
        let args = [&args[..], &["--cluster-node-timeout", NODE_TIMEOUT_MS]].concat();
        let redis = Redis::start_with(&args).await?;
        let id = text(redis.say(&["CLUSTER", "MYID"]).await?)?;
        Ok(Self { redis, id, bus })
    }

    /// A field of `CLUSTER INFO`.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn cluster_info(&self, field: &str) -> anyhow::Result<String> {
        let info = text(self.redis.say(&["CLUSTER", "INFO"]).await?)?;
        let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(line.context("a field of CLUSTER INFO")?.trim().to_owned())
    }

    async fn meet(&self, other: &Self) -> anyhow::Result<()> {
        let (port, bus) = (other.redis.port().to_string(), other.bus.to_string());
        self.redis.say(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await.map(drop)
    }

    /// How many nodes it knows, apart from those that it greets still.
    async fn known(&self) -> anyhow::Result<usize> {
        let nodes = text(self.redis.say(&["CLUSTER", "NODES"]).await?)?;
        Ok(nodes.lines().filter(|line| !line.contains("handshake")).count())
    }

    async fn is_primary(&self) -> anyhow::Result<bool> {
        Ok(self.redis.info("replication", "role").await? == "master")
    }
}

impl Cluster {
    /// Starts so many primaries with so many replicas each, and returns when the cluster serves.
    ///
    /// # Errors
    /// When a node does not come up, or the cluster does not form.
    pub async fn start(primaries: usize, replicas_each: usize) -> anyhow::Result<Self> {
        let count = primaries * (1 + replicas_each);
        let nodes = try_join_all((0..count).map(|_| ClusterNode::start())).await?;
        let cluster = Self { nodes, primaries };
        for (nth, node) in cluster.nodes.iter().enumerate() {
            node.redis.say(&["CLUSTER", "SET-CONFIG-EPOCH", &(nth + 1).to_string()]).await?;
        }
        for node in &cluster.nodes[1..] {
            cluster.nodes[0].meet(node).await?;
        }
        cluster.until_all_know(count).await?;
        for primary in 0..primaries {
            let slots = cluster.first_slots(primary);
            let (first, last) = (slots.start().to_string(), slots.end().to_string());
            cluster.nodes[primary].redis.say(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await?;
        }
        for replica in primaries..count {
            let primary = &cluster.nodes[replica % primaries].id;
            cluster.nodes[replica].redis.say(&["CLUSTER", "REPLICATE", primary]).await?;
        }
        cluster.until_serving().await?;
        for replica in &cluster.nodes[primaries..] {
            replica.redis.until_replicated().await?;
        }
        Ok(cluster)
    }

    /// The slots that a primary has at first.
    #[must_use]
    pub fn first_slots(&self, primary: usize) -> RangeInclusive<u16> {
        let edge = |nth: usize| u16::try_from(usize::from(SLOTS) * nth / self.primaries);
        edge(primary).unwrap_or(0)..=edge(primary + 1).unwrap_or(SLOTS) - 1
    }

    /// The nodes: primaries first, as they were at the start; the replica `n` follows the primary
    /// `n % primaries`.
    #[must_use]
    pub fn nodes(&self) -> &[ClusterNode] {
        &self.nodes
    }

    /// A node, to kill it.
    pub fn node(&mut self, nth: usize) -> &mut ClusterNode {
        &mut self.nodes[nth]
    }

    /// How many primaries there were at the start.
    #[must_use]
    pub fn primaries(&self) -> usize {
        self.primaries
    }

    /// `redis+cluster://…` with every node.
    #[must_use]
    pub fn url(&self) -> String {
        let nodes = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.redis.port()));
        format!("redis+cluster://{}", nodes.collect::<Vec<_>>().join(","))
    }

    /// Waits until every node that runs says that the cluster serves every slot.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_serving(&self) -> anyhow::Result<()> {
        eventually("the cluster serves", READY_WITHIN, || async {
            for node in self.running() {
                if node.cluster_info("cluster_state").await? != "ok"
                    || node.cluster_info("cluster_slots_ok").await? != SLOTS.to_string()
                {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    async fn until_all_know(&self, count: usize) -> anyhow::Result<()> {
        eventually("every node knows every other one", READY_WITHIN, || async {
            for node in self.running() {
                if node.known().await? < count {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    fn running(&self) -> impl Iterator<Item = &ClusterNode> {
        self.nodes.iter().filter(|node| node.redis.pid().is_some())
    }

    /// Has a replica take the place of its primary, and returns when it has.
    ///
    /// # Errors
    /// When the replica refuses, or does not become a primary.
    pub async fn take_over(&self, replica: usize, how: Takeover) -> anyhow::Result<()> {
        let node = &self.nodes[replica];
        let words: &[&str] = match how {
            Takeover::Agreed => &["CLUSTER", "FAILOVER"],
            Takeover::Forced => &["CLUSTER", "FAILOVER", "FORCE"],
            Takeover::Unasked => &["CLUSTER", "FAILOVER", "TAKEOVER"],
        };
        node.redis.say(words).await?;
        self.until_primary(replica).await
    }

    /// Waits until a node is a primary.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_primary(&self, nth: usize) -> anyhow::Result<()> {
        let node = &self.nodes[nth];
        eventually("a replica takes over", READY_WITHIN, || async {
            Ok(node.is_primary().await?.then_some(()))
        })
        .await
    }

    /// Moves a slot with all of its keys from one node to another, as `redis-cli` does.
    ///
    /// # Errors
    /// When a node refuses.
    pub async fn move_slot(&self, slot: u16, from: usize, to: usize) -> anyhow::Result<()> {
        self.begin_move(slot, from, to).await?;
        while self.move_keys(slot, from, to, 100).await? > 0 {}
        self.end_move(slot, to).await
    }

    /// Begins to move a slot: from now on its keys may be on either node.
    ///
    /// # Errors
    /// When a node refuses.
    pub async fn begin_move(&self, slot: u16, from: usize, to: usize) -> anyhow::Result<()> {
        let (slot, [source, target]) = (slot.to_string(), [from, to].map(|n| &self.nodes[n]));
        target.redis.say(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source.id]).await?;
        source.redis.say(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target.id]).await?;
        Ok(())
    }

    /// Moves some keys of a slot that is on its way; how many.
    ///
    /// # Errors
    /// When a node refuses.
    pub async fn move_keys(
        &self,
        slot: u16,
        from: usize,
        to: usize,
        at_most: u16,
    ) -> anyhow::Result<usize> {
        let (source, port) = (&self.nodes[from].redis, self.nodes[to].redis.port().to_string());
        let (slot, at_most) = (slot.to_string(), at_most.to_string());
        let keys = source.say(&["CLUSTER", "GETKEYSINSLOT", &slot, &at_most]).await?;
        let keys: Vec<String> = redis::from_redis_value(keys)?;
        if keys.is_empty() {
            return Ok(0);
        }
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "REPLACE", "KEYS"];
        words.extend(keys.iter().map(String::as_str));
        source.say(&words).await?;
        Ok(keys.len())
    }

    /// Ends the move of a slot: tells the new owner first, then all others.
    ///
    /// # Errors
    /// When a node refuses.
    pub async fn end_move(&self, slot: u16, to: usize) -> anyhow::Result<()> {
        let (slot, owner) = (slot.to_string(), &self.nodes[to]);
        owner.redis.say(&["CLUSTER", "SETSLOT", &slot, "NODE", &owner.id]).await?;
        for other in self.running().filter(|node| node.id != owner.id) {
            // A replica takes this word from its primary alone.
            if other.is_primary().await? {
                other.redis.say(&["CLUSTER", "SETSLOT", &slot, "NODE", &owner.id]).await?;
            }
        }
        Ok(())
    }

    /// Gives up the move of a slot: its keys go back, and its owner stays.
    ///
    /// # Errors
    /// When a node refuses.
    pub async fn cancel_move(&self, slot: u16, from: usize, to: usize) -> anyhow::Result<()> {
        while self.move_keys(slot, to, from, 100).await? > 0 {}
        for node in [from, to] {
            let node = &self.nodes[node].redis;
            node.say(&["CLUSTER", "SETSLOT", &slot.to_string(), "STABLE"]).await?;
        }
        Ok(())
    }

    /// Every key on any primary that matches `pattern` and has no lifetime.
    ///
    /// # Errors
    /// When a node does not answer.
    pub async fn keys_without_lifetime(&self, pattern: &str) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        for node in self.running() {
            if node.is_primary().await? {
                found.extend(node.redis.keys_without_lifetime(pattern).await?);
            }
        }
        Ok(found)
    }

    /// Starts one more node, as a primary without slots; its place among the nodes.
    ///
    /// # Errors
    /// When the node does not come up.
    pub async fn add_primary(&mut self) -> anyhow::Result<usize> {
        let node = ClusterNode::start().await?;
        self.nodes[0].meet(&node).await?;
        self.nodes.push(node);
        self.until_all_know(self.running().count()).await?;
        ensure!(self.nodes.len() > self.primaries, "there is one more");
        Ok(self.nodes.len() - 1)
    }
}

fn text(value: redis::Value) -> anyhow::Result<String> {
    Ok(redis::from_redis_value(value)?)
}
