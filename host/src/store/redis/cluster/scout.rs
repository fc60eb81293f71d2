//! The scouts: one task for each node of the cluster, which asks the node for its view of all nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::ClusterState;
use super::view::{MemberAddress, View};
use crate::clock::Clock as _;
use crate::store::redis::lane::write_command;
use crate::store::redis::reply::{Reply, take_reply};
use crate::store::redis::stream::{self, ByteStream};

/// How often a node is asked.
pub(super) const ASK: Duration = Duration::from_millis(400);

/// How long an answer may take, connecting included.
const WITHIN: Duration = Duration::from_millis(400);

/// The pause after a failure, and between two questions of which the second one follows from a doubt.
const PAUSE: Duration = Duration::from_millis(50);

/// How often the scouts look for nodes that they do not know.
const LOOK: Duration = Duration::from_millis(100);

/// How long a node is asked after it was heard of last.
const GONE: Duration = Duration::from_secs(60);

/// The task that keeps the scouts.
pub(super) struct Scouting {
    state: Arc<ClusterState>,
    scouts: JoinSet<()>,
    /// The nodes that have a scout, each with the time when it was heard of last.
    asked: BTreeMap<MemberAddress, (Duration, tokio::task::AbortHandle)>,
}

impl Scouting {
    pub(super) fn new(state: Arc<ClusterState>) -> Self {
        Self { state, scouts: JoinSet::new(), asked: BTreeMap::new() }
    }

    /// Keeps a scout for every seed and for every node that one of the nodes names. Never returns.
    pub(super) async fn run(mut self) {
        loop {
            let now = self.state.clock.now();
            for address in self.named() {
                let state = &self.state;
                let scouts = &mut self.scouts;
                let asked = self.asked.entry(address).or_insert_with_key(|address| {
                    (now, scouts.spawn(scout(Arc::clone(state), address.clone())))
                });
                asked.0 = now;
            }
            self.asked.retain(|address, (named, scout)| {
                let is_named = *named + GONE > now;
                if !is_named {
                    scout.abort();
                    self.state.known().views.remove(address);
                }
                is_named
            });
            // What counted when the map was made may be too old by now.
            self.state.judge(&mut self.state.known(), false);
            sleep(LOOK).await;
        }
    }

    fn named(&self) -> BTreeSet<MemberAddress> {
        let known = self.state.known();
        let nodes = known.views.values().flat_map(|(_, view)| view.nodes.values());
        let addresses = nodes.map(|seen| seen.address.clone());
        addresses.chain(self.state.seeds.addresses().iter().cloned()).collect()
    }
}

/// Asks one node again and again.
async fn scout(state: Arc<ClusterState>, address: MemberAddress) {
    let (mut open, mut doubt) = (None, state.doubt.subscribe());
    loop {
        doubt.mark_unchanged();
        let sent = state.clock.now();
        match timeout(WITHIN, ask(&state, &address, &mut open)).await {
            Ok(Ok(view)) => state.hear(&address, sent, view),
            Ok(Err(error)) => {
                tracing::debug!(host = address.0, port = address.1, %error, "a node does not answer");
                open = None;
            }
            Err(_late) => open = None,
        }
        sleep(PAUSE).await;
        let doubted = async {
            // An error means that the store is about to be dropped.
            if doubt.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let pause = ASK.saturating_sub(PAUSE);
        let _either = timeout(if open.is_some() { pause } else { PAUSE }, doubted).await;
    }
}

async fn ask(
    state: &ClusterState,
    address: &MemberAddress,
    open: &mut Option<Box<dyn ByteStream>>,
) -> std::io::Result<View> {
    let stream = match open {
        Some(stream) => stream,
        None => {
            let to = state.seeds.login(address).map_err(std::io::Error::other)?;
            open.insert(stream::open(&to).await?)
        }
    };
    let mut command = Vec::new();
    write_command(&mut command, &[b"CLUSTER", b"NODES"]);
    stream.write_all(&command).await?;
    stream.flush().await?;
    let mut arrived = BytesMut::new();
    let reply = loop {
        if let Some(reply) = take_reply(&mut arrived)? {
            break reply;
        }
        if stream.read_buf(&mut arrived).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let Reply::Value(text) = reply else {
        return Err(std::io::Error::other(format!("CLUSTER NODES is answered by {reply:?}")));
    };
    let view = View::read(&String::from_utf8_lossy(&text), address);
    view.ok_or_else(|| std::io::Error::other("CLUSTER NODES does not name the node itself"))
}
