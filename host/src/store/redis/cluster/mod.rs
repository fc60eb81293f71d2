//! The store on a Redis Cluster: one [`RedisStore`] for each primary, and the map of slots.
//!
//! ```text
//! scouts: every node is asked twice a second for its view ──► views ──► votes ──► the map
//! members: one link for each primary that has a confirmed slot
//! ```
//!
//! No node is believed about its own place: see [`votes`]. A node that says that a slot is not its own
//! (`MOVED`) makes the map doubtful, and all nodes are asked at once.

mod scout;
mod seeds;
mod view;
mod votes;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use redis::ConnectionInfo;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::RedisStore;
use super::place::StorePlace;
use super::stream::{self, ByteStream};
use crate::clock::{Clock, SystemClock};
use crate::store::{Layout, NodeEntry, Prefix, SlotMap, Store, StoreError, Topology};
use scout::Scouting;
use seeds::Seeds;
use view::{MemberAddress, MemberId, View};

/// How old what a node says of the others may be to count. A node is asked again after
/// [`scout::ASK`], so one lost answer is made up for.
const COUNTS: Duration = Duration::from_millis(900);

/// How long a primary stays in the map after a node named it last. Until then it is the same node if it comes
/// back.
const REMEMBERED: Duration = Duration::from_secs(60);

/// A store on a cluster. Its tasks end when it is dropped.
pub struct RedisCluster {
    state: Arc<ClusterState>,
    scouting: JoinHandle<()>,
}

impl Drop for RedisCluster {
    fn drop(&mut self) {
        self.scouting.abort();
    }
}

/// What is known of the cluster.
pub(super) struct ClusterState {
    seeds: Seeds,
    prefix: Prefix,
    budget: Duration,
    clock: SystemClock,
    known: Mutex<KnownCluster>,
    map: watch::Sender<Arc<SlotMap>>,
    /// Changes when all nodes have to be asked at once.
    doubt: watch::Sender<()>,
}

#[derive(Default)]
struct KnownCluster {
    /// What each node said last, and when it was asked.
    views: BTreeMap<MemberAddress, (Duration, View)>,
    /// The nodes whose views counted when the map was made.
    counted: BTreeSet<MemberAddress>,
    members: Vec<ClusterMember>,
}

/// A primary that has, or had a short while ago, a confirmed slot.
struct ClusterMember {
    id: MemberId,
    address: MemberAddress,
    store: Arc<RedisStore>,
    /// When it had a confirmed slot last.
    named: Duration,
    /// Whether it has one at present.
    is_owner: bool,
}

impl RedisCluster {
    /// The schemes of URLs that lead to a cluster, and whether each of them means TLS.
    const SCHEMES: [(&'static str, bool); 2] =
        [("redis+cluster://", false), ("rediss+cluster://", true)];

    /// A store on the cluster that the nodes of `url` belong to (`redis+cluster://host:port,host:port`), under
    /// names that begin with `prefix`. No exchange with a node waits for longer than `budget` while the node
    /// is silent. Connects in the background. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the reason if `url` can never work.
    pub fn connect(url: &str, prefix: Prefix, budget: Duration) -> Result<Self, StoreError> {
        let seeds = Self::seeds(url)?;
        let runtime = Handle::try_current().map_err(|error| super::unavailable(&error))?;
        let state = Arc::new(ClusterState {
            seeds,
            prefix,
            budget,
            clock: SystemClock,
            known: Mutex::default(),
            map: watch::Sender::default(),
            doubt: watch::Sender::default(),
        });
        let scouting = runtime.spawn(Scouting::new(Arc::clone(&state)).run());
        Ok(Self { state, scouting })
    }

    /// How to connect to a node (`host:port`) of the cluster to which `url` leads.
    pub(super) fn login(url: &str, node: &str) -> Result<ConnectionInfo, StoreError> {
        let seeds = Self::seeds(url)?;
        let address = seeds::read_host(node).map_err(StoreError::Unavailable)?;
        seeds.login(&address)
    }

    fn seeds(url: &str) -> Result<Seeds, StoreError> {
        let rest = |(scheme, with_tls)| Some((url.strip_prefix(scheme)?, with_tls));
        let (rest, with_tls) = Self::SCHEMES.into_iter().find_map(rest).unwrap_or((url, false));
        Seeds::read(rest, with_tls).map_err(StoreError::Unavailable)
    }

    /// Whether a URL leads to a cluster.
    pub(crate) fn is_meant_by(url: &str) -> bool {
        Self::SCHEMES.iter().any(|(scheme, _)| url.starts_with(scheme))
    }
}

impl ClusterState {
    /// Takes what a node said that was asked at `sent`.
    fn hear(self: &Arc<Self>, from: &MemberAddress, sent: Duration, view: View) {
        let mut known = self.known();
        let is_news = known.views.get(from).is_none_or(|(_, before)| *before != view);
        known.views.insert(from.clone(), (sent, view));
        self.judge(&mut known, is_news);
    }

    /// Makes the map anew, if other nodes' words count than before, or if one of them says something new.
    fn judge(self: &Arc<Self>, known: &mut KnownCluster, is_news: bool) {
        let now = self.clock.now();
        let is_fresh = |(sent, _): &(Duration, View)| *sent + COUNTS > now;
        let fresh = known.views.iter().filter(|(_, view)| is_fresh(view));
        let counted: BTreeSet<MemberAddress> =
            fresh.clone().map(|(from, _)| from.clone()).collect();
        if is_news || counted != known.counted {
            // A node that is reached through two addresses has one voice.
            let mut newest: BTreeMap<&MemberId, &(Duration, View)> = BTreeMap::new();
            for (_, heard) in fresh {
                let view = newest.entry(&heard.1.of).or_insert(heard);
                if view.0 < heard.0 {
                    *view = heard;
                }
            }
            let views: Vec<&View> = newest.into_values().map(|(_, view)| view).collect();
            let (owners, addresses) = (votes::owners(&views), addresses(&views));
            known.counted = counted;
            self.publish(known, &owners, &addresses, now);
        } else {
            known.members.iter_mut().filter(|member| member.is_owner).for_each(|m| m.named = now);
        }
    }

    fn publish(
        self: &Arc<Self>,
        known: &mut KnownCluster,
        owners: &[Option<MemberId>],
        addresses: &BTreeMap<MemberId, MemberAddress>,
        now: Duration,
    ) {
        let named: BTreeSet<&MemberId> = owners.iter().flatten().collect();
        for id in &named {
            let Some(address) = addresses.get(id) else { continue };
            let is_known = |member: &ClusterMember| member.id == **id && member.address == *address;
            if !known.members.iter().any(is_known) {
                known.members.retain(|member| member.id != **id);
                match self.member(id, address, now) {
                    Ok(member) => known.members.push(member),
                    Err(error) => tracing::warn!(%error, "a node of the cluster can't be used"),
                }
            }
        }
        for member in &mut known.members {
            member.is_owner = named.contains(&member.id);
            if member.is_owner {
                member.named = now;
            }
        }
        known.members.retain(|member| member.named + REMEMBERED > now);
        let place = |owner: &MemberId| {
            let at = known.members.iter().position(|member| member.id == *owner)?;
            u16::try_from(at).ok()
        };
        let owners = owners.iter().map(|owner| owner.as_ref().and_then(place)).collect();
        let nodes: Vec<NodeEntry> = known.members.iter().map(ClusterMember::entry).collect();
        let map = SlotMap { nodes, owners };
        self.map.send_if_modified(|current| {
            let is_new = !is_same(current, &map);
            if is_new {
                *current = Arc::new(map);
            }
            is_new
        });
    }

    fn member(
        self: &Arc<Self>,
        id: &MemberId,
        address: &MemberAddress,
        now: Duration,
    ) -> Result<ClusterMember, StoreError> {
        let place = Membership { id: id.clone(), cluster: Arc::downgrade(self) };
        let place = StorePlace::Member(Box::new(self.seeds.login(address)?), place);
        let store = RedisStore::member(place, self.prefix.clone(), self.budget)?;
        let (id, address) = (id.clone(), address.clone());
        Ok(ClusterMember { id, address, store: Arc::new(store), named: now, is_owner: true })
    }

    /// Whether a node has a slot, as others say that were asked a moment ago.
    fn is_named(self: &Arc<Self>, id: &MemberId) -> bool {
        let mut known = self.known();
        self.judge(&mut known, false);
        known.members.iter().any(|member| member.id == *id && member.is_owner)
    }

    fn known(&self) -> MutexGuard<'_, KnownCluster> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where each node is, by what the nodes say of themselves, or others of them.
fn addresses(views: &[&View]) -> BTreeMap<MemberId, MemberAddress> {
    let mut addresses = BTreeMap::new();
    for view in views {
        for (id, seen) in &view.nodes {
            addresses.entry(id.clone()).or_insert_with(|| seen.address.clone());
        }
    }
    addresses
}

/// Whether both maps say the same of the same stores.
fn is_same(one: &SlotMap, other: &SlotMap) -> bool {
    let is_one = |(a, b): (&NodeEntry, &NodeEntry)| Arc::ptr_eq(&a.store, &b.store);
    one.owners == other.owners
        && one.nodes.len() == other.nodes.len()
        && one.nodes.iter().zip(&other.nodes).all(is_one)
}

impl ClusterMember {
    fn entry(&self) -> NodeEntry {
        let (host, port) = &self.address;
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        NodeEntry { id: format!("{host}:{port}").into(), store }
    }
}

/// A member's place in its cluster.
pub(super) struct Membership {
    id: MemberId,
    cluster: Weak<ClusterState>,
}

impl Membership {
    /// The node's id, which it has to answer.
    pub(super) fn id(&self) -> &str {
        self.id.as_str()
    }

    /// How old the words are at most that name the node in its place; `None` if none does.
    pub(super) fn confirmed_within(&self) -> Option<Duration> {
        let cluster = self.cluster.upgrade()?;
        cluster.is_named(&self.id).then_some(COUNTS)
    }

    /// Connects to the node to which this one points.
    pub(super) async fn dial(&self, host: &str, port: u16) -> io::Result<Box<dyn ByteStream>> {
        let cluster = self.cluster.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        let to = cluster.seeds.login(&(host.to_owned(), port)).map_err(io::Error::other)?;
        stream::open(&to).await
    }
}

#[async_trait]
impl Topology for RedisCluster {
    fn layout(&self) -> Layout {
        Layout::Slots
    }

    fn map(&self) -> Arc<SlotMap> {
        Arc::clone(&self.state.map.borrow())
    }

    async fn changed(&self, since: &Arc<SlotMap>) {
        let mut map = self.state.map.subscribe();
        if map.wait_for(|map| !Arc::ptr_eq(map, since)).await.is_err() {
            // The store is about to be dropped: there will be no other map.
            std::future::pending::<()>().await;
        }
    }

    fn doubt(&self) {
        self.state.doubt.send_replace(());
    }

    fn kind(&self) -> &'static str {
        "redis cluster"
    }
}
