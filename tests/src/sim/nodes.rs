//! The store's nodes: one that serves, and those that served before it or live on beside it.

use std::time::Duration;

use corral_host::store::{Epoch, Replicas};

use super::shelf::Shelf;

/// How long a replica that acknowledged something may be silent before its node misses it.
const SILENT: Duration = Duration::from_secs(3);

/// One process of the store.
pub(super) struct Node {
    pub(super) shelf: Shelf,
    pub(super) epoch: Epoch,
    /// Its lives: connections end with each.
    pub(super) life: u64,
    pub(super) up: bool,
    /// It follows another one: it answers reads and refuses writes.
    pub(super) follows: bool,
    /// It is out of memory: it removes and adds nothing.
    pub(super) full: bool,
    /// Its clock minus the schedule's.
    pub(super) offset_ms: i64,
    pub(super) replicas: Shown,
}

/// What a node shows of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// It has none and never was one.
    Nothing,
    /// It has some, or traces of an earlier role.
    Something,
    /// It has one that has been silent since then.
    SilentSince(Duration),
}

impl Node {
    pub(super) fn new(shelf: Shelf, epoch: Epoch, replicas: Shown) -> Self {
        let (life, up) = (0, true);
        Self { shelf, epoch, life, up, follows: false, full: false, offset_ms: 0, replicas }
    }

    /// What it says of its replicas at a moment of the schedule.
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
    /// By host: the node that a connection reaches which is opened now.
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

    /// The one to which a host's address leads.
    pub(super) fn of(&self, host: usize) -> (usize, &Node) {
        let number = self.routes[host];
        (number, &self.all[number])
    }
}
