//! The nodes of a store, and which of them has which slot.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{HashSlot, Layout, Prefix, RangeId, RedisCluster, RedisStore, Store, StoreError};

/// A node of a store.
#[derive(Clone)]
pub struct NodeEntry {
    /// What distinguishes the node from others, for as long as it exists; also its name for operators.
    pub id: Arc<str>,
    /// The store on this node.
    pub store: Arc<dyn Store>,
}

impl fmt::Debug for NodeEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

/// Which node has which slot, as other nodes confirm it.
#[derive(Debug, Clone, Default)]
pub struct SlotMap {
    /// The nodes that have slots.
    pub nodes: Vec<NodeEntry>,
    /// For each slot the place of its node in `nodes`; `None` while no node is confirmed as its owner. One
    /// entry stands for all slots of a single node.
    pub owners: Vec<Option<u16>>,
}

impl SlotMap {
    /// The place in [`SlotMap::nodes`] of the node that has a slot.
    #[must_use]
    pub fn owner(&self, slot: HashSlot) -> Option<usize> {
        let at = if self.owners.len() == 1 { 0 } else { usize::from(slot.number()) };
        self.owners.get(at).copied().flatten().map(usize::from)
    }

    /// The ranges whose names a node has.
    #[must_use]
    pub fn ranges_of(&self, layout: Layout, node: usize) -> Vec<RangeId> {
        let is_kept = |range: &RangeId| self.owner(layout.anchor_slot(*range)) == Some(node);
        layout.ranges().filter(is_kept).collect()
    }
}

/// The nodes of a store, as they are found at every moment. Judges nothing but which node has which slot.
#[async_trait]
pub trait Topology: Send + Sync {
    /// How the store divides names.
    fn layout(&self) -> Layout;

    /// The map of this moment; empty until one is known, and while the nodes can't be asked.
    fn map(&self) -> Arc<SlotMap>;

    /// Returns when the map is another one than `since`.
    async fn changed(&self, since: &Arc<SlotMap>);

    /// Asks the nodes at once which of them has which slot: one of them said that a slot is not its own.
    fn doubt(&self) {}

    /// `memory`, `redis` or `redis cluster`, for logs and answers.
    fn kind(&self) -> &'static str;
}

/// A store of one node.
pub struct SingleNode {
    map: Arc<SlotMap>,
    kind: &'static str,
}

impl SingleNode {
    /// The store on this node.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        let kind = store.kind();
        let nodes = vec![NodeEntry { id: kind.into(), store }];
        Self { map: Arc::new(SlotMap { nodes, owners: vec![Some(0)] }), kind }
    }
}

#[async_trait]
impl Topology for SingleNode {
    fn layout(&self) -> Layout {
        Layout::Single
    }

    fn map(&self) -> Arc<SlotMap> {
        Arc::clone(&self.map)
    }

    async fn changed(&self, _since: &Arc<SlotMap>) {
        std::future::pending().await
    }

    fn kind(&self) -> &'static str {
        self.kind
    }
}

/// The store at `url`, under names that begin with `prefix`: one server (`redis://`, `rediss://`) or a cluster
/// (`redis+cluster://host:port,host:port`, `rediss+cluster://…`). No exchange with a node waits for longer than
/// `budget` while the node is silent. Connects in the background. Must be called inside a tokio runtime.
///
/// # Errors
/// [`StoreError::Unavailable`] with the reason if `url` can never work.
pub fn connect(
    url: &str,
    prefix: Prefix,
    budget: Duration,
) -> Result<Arc<dyn Topology>, StoreError> {
    if RedisCluster::is_meant_by(url) {
        return Ok(Arc::new(RedisCluster::connect(url, prefix, budget)?));
    }
    let store = RedisStore::connect(url, prefix, budget)?;
    Ok(Arc::new(SingleNode::new(Arc::new(store))))
}
