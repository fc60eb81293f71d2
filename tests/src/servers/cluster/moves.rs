//! Slots that move from node to node, step by step or all at once.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;
use tokio::time::timeout;

use super::Cluster;

/// How many keys are moved at a time.
const PAGE: usize = 100;
/// How long a node may take to hand a page of keys over, in milliseconds.
const HANDED_OVER_WITHIN_MS: &str = "5000";
/// How long `redis-cli` may take to move many slots.
const REBALANCED_WITHIN: Duration = Duration::from_secs(600);

impl Cluster {
    /// Begins to move a slot: its node still answers for the keys that it has, and sends clients on for those
    /// that it does not have.
    ///
    /// # Errors
    /// When a node refuses: the slot is not where it is said to be, or moves already.
    pub async fn begin_move(&self, slot: u16, from: usize, to: usize) -> anyhow::Result<()> {
        let (slot, source, target) = (slot.to_string(), self.id(from).await?, self.id(to).await?);
        self.say(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]).await?;
        self.say(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]).await.map(drop)
    }

    /// Hands over at most so many keys of a slot that moves, and returns how many there were.
    ///
    /// # Errors
    /// When a node refuses.
    pub async fn move_keys(
        &self,
        slot: u16,
        from: usize,
        to: usize,
        at_most: usize,
    ) -> anyhow::Result<usize> {
        let keys = ["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &at_most.to_string()];
        let keys: Vec<String> = redis::from_redis_value(self.say(from, &keys).await?)?;
        self.move_named(from, to, &keys).await?;
        Ok(keys.len())
    }

    /// Hands these keys over, of a slot that moves: a value without its lease, for example.
    ///
    /// # Errors
    /// When a node refuses.
    pub async fn move_named(&self, from: usize, to: usize, keys: &[String]) -> anyhow::Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let port = self.node(to).port().to_string();
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", HANDED_OVER_WITHIN_MS];
        words.extend(["REPLACE", "KEYS"]);
        words.extend(keys.iter().map(String::as_str));
        self.say(from, &words).await.map(drop)
    }

    /// Hands over the rest of a slot that moves, and gives it to its new node.
    ///
    /// # Errors
    /// When a node refuses.
    pub async fn finish_move(&self, slot: u16, from: usize, to: usize) -> anyhow::Result<()> {
        while self.move_keys(slot, from, to, PAGE).await? > 0 {}
        let (slot, target) = (slot.to_string(), self.id(to).await?);
        let words = ["CLUSTER", "SETSLOT", &slot, "NODE", &target];
        // The new node first: if the old one were first, the slot would belong to neither for a moment.
        self.say(to, &words).await?;
        self.say(from, &words).await?;
        for other in self.primaries().await? {
            if other != to && other != from {
                self.say(other, &words).await?;
            }
        }
        Ok(())
    }

    /// Gives up moving a slot. Keys that were handed over stay where they are, and are lost to clients.
    ///
    /// # Errors
    /// When a node refuses.
    pub async fn cancel_move(&self, slot: u16, from: usize, to: usize) -> anyhow::Result<()> {
        let slot = slot.to_string();
        for node in [from, to] {
            self.say(node, &["CLUSTER", "SETSLOT", &slot, "STABLE"]).await?;
        }
        Ok(())
    }

    /// Moves a slot with all its keys.
    ///
    /// # Errors
    /// When a node refuses.
    pub async fn move_slot(&self, slot: u16, to: usize) -> anyhow::Result<()> {
        let from = self.primary_of(slot).await?;
        if from != to {
            self.begin_move(slot, from, to).await?;
            self.finish_move(slot, from, to).await?;
        }
        Ok(())
    }

    /// Moves slots with all their keys, one after another.
    ///
    /// # Errors
    /// When a node refuses.
    pub async fn move_slots(
        &self,
        slots: impl IntoIterator<Item = u16>,
        to: usize,
    ) -> anyhow::Result<()> {
        for slot in slots {
            self.move_slot(slot, to).await?;
        }
        Ok(())
    }

    /// Shares the slots out by `redis-cli --cluster rebalance`, in proportion to the weights of these nodes,
    /// which may have no slots yet; other primaries have the weight 1.
    ///
    /// # Errors
    /// When `redis-cli` is not installed or fails; with what it said.
    pub async fn rebalance(&self, weights: &[(usize, f64)]) -> anyhow::Result<()> {
        let guide = self.answering().into_iter().next().context("a node answers")?;
        let mut command = Command::new("redis-cli");
        command.args(["--cluster", "rebalance", &format!("127.0.0.1:{}", self.port(guide))]);
        command.args(["--cluster-use-empty-masters", "--cluster-threshold", "1"]);
        if !weights.is_empty() {
            command.arg("--cluster-weight");
        }
        for (index, weight) in weights {
            command.arg(format!("{}={weight}", self.id(*index).await?));
        }
        command.kill_on_drop(true);
        let output = timeout(REBALANCED_WITHIN, command.output())
            .await
            .with_context(|| format!("slots are not moved within {REBALANCED_WITHIN:?}"))??;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{command:?} failed: {said}");
        self.until_settled().await
    }
}
