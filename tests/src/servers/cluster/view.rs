//! What nodes know of their cluster.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use anyhow::Context as _;

use super::{Cluster, READY_WITHIN, eventually};

/// What a node says of itself and of others (`CLUSTER NODES`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct View {
    /// The node's name in the cluster.
    pub id: String,
    /// Whether it says that it is a primary.
    pub is_primary: bool,
    /// The id of the primary that it follows. `None` for a primary.
    pub follows: Option<String>,
    /// Its configuration epoch. A replica has its primary's.
    pub epoch: u64,
    /// Its slots, in runs: first and last one.
    pub slots: Vec<(u16, u16)>,
    is_own: bool,
    is_gone: bool,
}

impl View {
    /// Reads a line: `id address flags primary ping pong epoch link slot…`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let id = words.next()?.to_owned();
        let flags: Vec<&str> = words.nth(1)?.split(',').collect();
        let follows = Some(words.next()?).filter(|id| *id != "-").map(ToOwned::to_owned);
        let epoch = words.nth(2)?.parse().ok()?;
        // A slot in migration is `[slot->-id]`.
        let slots = words.skip(1).filter(|word| !word.starts_with('['));
        let slots = slots.map(|word| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        Some(Self {
            id,
            is_primary: flags.contains(&"master"),
            follows,
            epoch,
            slots: slots.collect::<Option<_>>()?,
            is_own: flags.contains(&"myself"),
            is_gone: ["fail", "handshake", "noaddr"].iter().any(|flag| flags.contains(flag)),
        })
    }

    /// Its slots, in runs.
    pub fn runs(&self) -> impl Iterator<Item = RangeInclusive<u16>> {
        self.slots.iter().map(|(first, last)| *first..=*last)
    }

    /// Whether it has this slot.
    #[must_use]
    pub fn has(&self, slot: u16) -> bool {
        self.runs().any(|run| run.contains(&slot))
    }
}

impl Cluster {
    /// What a node says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn view(&self, index: usize) -> anyhow::Result<View> {
        let own = self.views_of(index).await?.into_iter().find(|view| view.is_own);
        own.context("a node says of itself that it is itself")
    }

    /// A node's id in the cluster.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn id(&self, index: usize) -> anyhow::Result<String> {
        Ok(redis::from_redis_value(self.say(index, &["CLUSTER", "MYID"]).await?)?)
    }

    /// The slot of a key.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn slot(&self, key: &str) -> anyhow::Result<u16> {
        let first = self.answering().into_iter().next().context("a node answers")?;
        Ok(redis::from_redis_value(self.say(first, &["CLUSTER", "KEYSLOT", key]).await?)?)
    }

    /// The primary of a slot: of the nodes that say so of themselves, the one with the greatest epoch.
    ///
    /// # Errors
    /// When a node does not answer, or no node has the slot.
    pub async fn primary_of(&self, slot: u16) -> anyhow::Result<usize> {
        let mut found = None;
        for index in self.answering() {
            let view = self.view(index).await?;
            if view.is_primary && view.has(slot) {
                found = found.max(Some((view.epoch, index)));
            }
        }
        found.map(|(_, index)| index).with_context(|| format!("no node has slot {slot}"))
    }

    /// The nodes that say that they are primaries.
    ///
    /// # Errors
    /// When a node does not answer.
    pub async fn primaries(&self) -> anyhow::Result<Vec<usize>> {
        let mut primaries = Vec::new();
        for index in self.answering() {
            if self.view(index).await?.is_primary {
                primaries.push(index);
            }
        }
        Ok(primaries)
    }

    /// The nodes that say that they follow this one.
    ///
    /// # Errors
    /// When a node does not answer.
    pub async fn replicas_of(&self, primary: usize) -> anyhow::Result<Vec<usize>> {
        let id = self.id(primary).await?;
        let mut replicas = Vec::new();
        for index in self.answering() {
            if self.view(index).await?.follows.as_ref() == Some(&id) {
                replicas.push(index);
            }
        }
        Ok(replicas)
    }

    /// Waits until a node says that it is a primary.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_primary(&self, index: usize) -> anyhow::Result<()> {
        let what = format!("node {index} is a primary");
        eventually(&what, READY_WITHIN, || async {
            Ok(self.view(index).await?.is_primary.then_some(()))
        })
        .await
    }

    /// Waits until all nodes that answer serve, know each other and no others that live, agree on the slots'
    /// primaries, and replicas have their primaries' data.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_settled(&self) -> anyhow::Result<()> {
        eventually("a cluster is settled", READY_WITHIN, || async {
            Ok(self.is_settled().await.unwrap_or(false).then_some(()))
        })
        .await
    }

    async fn is_settled(&self) -> anyhow::Result<bool> {
        let answering = self.answering();
        let mut maps = BTreeSet::new();
        for index in answering.iter().copied() {
            let state: String =
                redis::from_redis_value(self.say(index, &["CLUSTER", "INFO"]).await?)?;
            let mut views = self.views_of(index).await?;
            let own = views.iter().find(|view| view.is_own).context("a node knows itself")?;
            let node = self.node(index);
            let follows =
                own.is_primary || node.info("replication", "master_link_status").await? == "up";
            if !state.contains("cluster_state:ok") || !follows {
                return Ok(false);
            }
            views.retain(|view| !view.is_gone);
            if views.len() != answering.len() {
                return Ok(false);
            }
            for view in &mut views {
                view.is_own = false;
                // A replica's epoch is what its primary last told.
                view.epoch = 0;
            }
            views.sort();
            maps.insert(views);
        }
        Ok(maps.len() == 1)
    }

    async fn views_of(&self, index: usize) -> anyhow::Result<Vec<View>> {
        let text: String = redis::from_redis_value(self.say(index, &["CLUSTER", "NODES"]).await?)?;
        let views: Option<Vec<View>> = text.lines().map(View::parse).collect();
        views.with_context(|| format!("what node {index} says of the cluster: {text}"))
    }
}
