//! Ways between the nodes of a cluster, and from clients to them. A connection is known by the address that
//! it comes from, so nodes can be kept apart from each other while clients reach all of them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Direction;
use super::link::Link;
use super::pump::Lane;

/// Where a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// At a client.
    Client,
    /// At the node with this number.
    Node(u8),
}

impl End {
    /// The address from which it connects. All of them are the machine itself.
    #[must_use]
    pub fn source(self) -> Ipv4Addr {
        match self {
            Self::Client => Ipv4Addr::LOCALHOST,
            Self::Node(number) => Ipv4Addr::new(127, 0, 1, number),
        }
    }

    fn of(address: SocketAddr) -> Self {
        match address.ip() {
            IpAddr::V4(ip) if ip.octets()[..3] == [127, 0, 1] => Self::Node(ip.octets()[3]),
            IpAddr::V4(_) | IpAddr::V6(_) => Self::Client,
        }
    }
}

/// Which port of a node a way leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Road {
    /// The port that answers clients and replicas.
    Commands,
    /// The port on which nodes tell each other of the cluster.
    Bus,
}

/// One direction of all connections from an end to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Way {
    /// Where the connections begin.
    pub from: End,
    /// The node that they lead to.
    pub to: u8,
    /// Which of its ports.
    pub road: Road,
    /// Which way the bytes go.
    pub direction: Direction,
}

/// The ways to the nodes of one cluster. On drop they end, with all their connections.
#[derive(Default)]
pub struct Crossing {
    ways: Arc<Ways>,
    doors: JoinSet<()>,
}

/// Whether bytes are withheld on a way.
#[derive(Default)]
struct Ways(Mutex<HashMap<Way, watch::Sender<bool>>>);

impl Crossing {
    /// Opens a port that leads to the port `upstream` of a node.
    ///
    /// # Errors
    /// When `port` is not free.
    pub async fn open(
        &mut self,
        port: u16,
        (to, road): (u8, Road),
        upstream: u16,
    ) -> anyhow::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let ways = Arc::clone(&self.ways);
        self.doors.spawn(async move {
            // The connections end with the task that accepts them.
            let mut connections = JoinSet::new();
            while let Ok((client, address)) = listener.accept().await {
                let lane =
                    |direction| ways.lane(Way { from: End::of(address), to, road, direction });
                let (up, down) = (lane(Direction::Up), lane(Direction::Down));
                connections.spawn(carry(client, upstream, up, down));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(())
    }

    /// Keeps back what goes this way, over connections that are open and over new ones, or lets it pass again.
    pub fn hold(&self, way: Way, hold: bool) {
        self.ways.change(way, |held| {
            held.send_replace(hold);
        });
    }

    /// Lets everything pass again.
    pub fn release(&self) {
        for held in self.ways.0.lock().unwrap_or_else(PoisonError::into_inner).values() {
            held.send_replace(false);
        }
    }
}

impl Ways {
    fn lane(&self, way: Way) -> Lane {
        Lane {
            number: 0,
            delay: Duration::ZERO,
            held: self.change(way, |held| held.subscribe()),
            isolated: watch::channel(0).1,
            link: Link::new(None),
        }
    }

    fn change<T>(&self, way: Way, then: impl FnOnce(&watch::Sender<bool>) -> T) -> T {
        let mut ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        then(ways.entry(way).or_insert_with(|| watch::Sender::new(false)))
    }
}

/// One connection, until it ends.
async fn carry(client: TcpStream, port: u16, up: Lane, down: Lane) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    // Without it, small pieces wait for further ones, which costs time and changes nothing.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    tokio::join!(up.pump(from_client, to_server), down.pump(from_server, to_client));
}
