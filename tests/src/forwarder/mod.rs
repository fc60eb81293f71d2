//! A way to a server: a TCP proxy that passes bytes on as a separate process would. It can be told
//! to withhold bytes, to end or refuse connections, to lead new connections to another server, and
//! to be slow or narrow.
//!
//! A server's *name* is such a way: a client that connects through it reaches the server that the
//! way points to at that moment, and stays there after the way points elsewhere.

mod crossing;
mod link;
mod pooler;
mod pump;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use crossing::{Crossing, End, Road, Way};
pub use pooler::{Ending, Fault, Passing, Pooler};

use self::link::Link;
use self::pump::Lane;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// The properties of a way, which never change.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traits {
    /// How long each piece takes, in each direction.
    pub delay: Duration,
    /// How many bytes pass in a second in each direction, over all connections together and shared
    /// fairly among those that have something to send. `None` if as many pass as come.
    pub bytes_per_second: Option<u64>,
}

/// A way to a server. On drop it ends, with all its connections.
pub struct Forwarder {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

/// What the listener and all connections share.
struct Shared {
    delay: Duration,
    upstreams: Mutex<Vec<u16>>,
    opened: AtomicUsize,
    refusing: AtomicBool,
    /// Whether bytes are withheld in a direction, for all connections.
    held: [watch::Sender<bool>; 2],
    /// How many connections had begun at the last cut or isolation: all connections with a lower
    /// number are cut or isolated.
    cut: watch::Sender<usize>,
    isolated: watch::Sender<usize>,
    links: [Link; 2],
    living: Arc<()>,
}

impl Forwarder {
    /// A way to the server that listens on this port.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(port: u16) -> anyhow::Result<Self> {
        Self::start_with(&[port], Traits::default()).await
    }

    /// A way with these properties to the servers on these ports. Each connection leads to the next
    /// one of them.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start_with(ports: &[u16], traits: Traits) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let link = || Link::new(traits.bytes_per_second);
        let shared = Arc::new(Shared {
            delay: traits.delay,
            upstreams: Mutex::new(ports.to_vec()),
            opened: AtomicUsize::new(0),
            refusing: AtomicBool::new(false),
            held: [watch::Sender::new(false), watch::Sender::new(false)],
            cut: watch::Sender::new(0),
            isolated: watch::Sender::new(0),
            links: [link(), link()],
            living: Arc::default(),
        });
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, listening })
    }

    /// The port through which the server is reached.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `redis://127.0.0.1:…`
    #[must_use]
    pub fn redis_url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        Arc::strong_count(&self.shared.living) - 1
    }

    /// How many connections were opened so far.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.shared.opened.load(Ordering::SeqCst)
    }

    /// Leads new connections to the server on this port; open ones stay where they are.
    pub fn point_to(&self, port: u16) {
        *self.shared.upstreams() = vec![port];
    }

    /// Ends all open connections. Bytes that are on their way on them are lost.
    pub fn cut(&self) {
        self.shared.cut.send_replace(self.shared.opened.load(Ordering::SeqCst));
    }

    /// Passes nothing on any more over the open connections, in either direction, not even their
    /// ends: as behind a machine that is cut off.
    pub fn isolate(&self) {
        self.shared.isolated.send_replace(self.shared.opened.load(Ordering::SeqCst));
    }

    /// Closes new connections at once, or lets them pass again.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refusing.store(refuse, Ordering::SeqCst);
    }

    /// Keeps back what goes in this direction, on all connections.
    pub fn hold(&self, direction: Direction) {
        self.shared.held[direction as usize].send_replace(true);
    }

    /// Passes on what was kept back, and what comes.
    pub fn release(&self, direction: Direction) {
        self.shared.held[direction as usize].send_replace(false);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

impl Shared {
    fn upstreams(&self) -> MutexGuard<'_, Vec<u16>> {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane(&self, direction: Direction, number: usize) -> Lane {
        Lane {
            number,
            delay: self.delay,
            held: self.held[direction as usize].subscribe(),
            isolated: self.isolated.subscribe(),
            link: self.links[direction as usize].clone(),
        }
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let number = shared.opened.fetch_add(1, Ordering::SeqCst);
        if !shared.refusing.load(Ordering::SeqCst) {
            tokio::spawn(carry(client, number, Arc::clone(&shared)));
        }
    }
}

/// One connection, until it ends or is cut.
async fn carry(client: TcpStream, number: usize, shared: Arc<Shared>) {
    let _living = Arc::clone(&shared.living);
    let upstreams = shared.upstreams().clone();
    let port = upstreams[number % upstreams.len()];
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    // Without it, small pieces wait for further ones, which costs time and changes nothing.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let mut cut = shared.cut.subscribe();
    tokio::select! {
        // The end of one direction is passed on, and the other may go on.
        _ = async {
            tokio::join!(
                shared.lane(Direction::Up, number).pump(from_client, to_server),
                shared.lane(Direction::Down, number).pump(from_server, to_client),
            )
        } => {}
        // The wait can't fail: its sender is in `shared`, which lives.
        _ = cut.wait_for(|cut| number < *cut) => {}
    }
}
