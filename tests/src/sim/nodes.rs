//! The store's nodes: the one that serves, and those that served before it or live on beside it.

use std::time::Duration;

use corral_host::store::{Epoch, Replicas};

use super::shelf::Shelf;

/// How long a replica that acknowledged something may be silent before its node reports that.
const SILENT: Duration = Duration::from_secs(3);

/// One node: a process of the store.
pub(super) struct Node {
    pub(super) shelf: Shelf,
    pub(super) epoch: Epoch,
    /// The number of its present life. Connections end with each life.
    pub(super) life: u64,
    pub(super) up: bool,
    /// Whether it follows another node: then it answers reads and refuses writes.
    pub(super) follows: bool,
    /// Whether it is out of memory: then it removes and adds nothing.
    pub(super) full: bool,
    /// Its clock minus the schedule's.
    pub(super) offset_ms: i64,
    pub(super) replicas: Shown,
}

/// What a node shows of its replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// It has no replicas and never was one.
    Nothing,
    /// It has replicas, or traces of an earlier role.
    Something,
    /// It has a replica that has been silent since then.
    SilentSince(Duration),
}

impl Node {
    pub(super) fn new(shelf: Shelf, epoch: Epoch, replicas: Shown) -> Self {
        let (life, up) = (0, true);
        Self { shelf, epoch, life, up, follows: false, full: false, offset_ms: 0, replicas }
    }

    /// What the node reports about its replicas at a moment of the schedule.
    pub(super) fn shows(&self, now: Duration) -> Replicas {
        match self.replicas {
            Shown::Nothing => Replicas::None,
            Shown::SilentSince(since) if since + SILENT <= now => Replicas::Silent,
            Shown::Something | Shown::SilentSince(_) => Replicas::Answering,
        }
    }
}

/// All nodes, and where each host's address leads.
pub(super) struct Nodes {
    pub(super) all: Vec<Node>,
    /// For each host, the node that a new connection reaches.
    pub(super) routes: Vec<usize>,
    /// The node that serves.
    pub(super) serving: usize,
}

impl Nodes {
    pub(super) fn new(first: Node, hosts: usize) -> Self {
        Self { all: vec![first], routes: vec![0; hosts], serving: 0 }
    }

    pub(super) fn serving(&mut self) -> &mut Node {
        let serving = self.serving;
        &mut self.all[serving]
    }

    /// The node to which a host's address leads.
    pub(super) fn of(&self, host: usize) -> (usize, &Node) {
        let number = self.routes[host];
        (number, &self.all[number])
    }
}
