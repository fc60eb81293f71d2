//! Hosts of two configurations, and clients that ask any of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::host::{Host, Terms, Way};
use super::rows::Rows;
use super::store::{Fault, Shared};

/// How many rows clients read and write.
pub(super) const ROWS: u32 = 20;

const CLIENTS: u64 = 8;

/// The first configuration of an entity.
pub(super) const OLD: Terms = Terms {
    form: 1,
    statement: "one",
    ttl: Duration::from_secs(3_600),
    longest_deadline: Duration::from_secs(3),
};

/// Another statement, whose answers have another form (`form`).
pub(super) const NEW: Terms = Terms { form: 2, statement: "another", ..OLD };

/// The longest pause of a client.
pub(super) const BUSY: Duration = Duration::from_millis(10);
pub(super) const QUIET: Duration = Duration::from_secs(2);

pub(super) struct Fleet {
    pub(super) store: Arc<Shared>,
    pub(super) rows: Arc<Rows>,
    /// The hosts that clients may ask, by seat (place in the fleet).
    seats: Mutex<Vec<Option<Arc<Host>>>>,
    pause_ms: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) reads: AtomicU64,
    over: AtomicBool,
}

impl Fleet {
    pub(super) fn new(hosts: usize, fault: Option<Fault>) -> Arc<Self> {
        Arc::new(Self {
            store: Shared::new(fault),
            rows: Arc::default(),
            seats: Mutex::new(vec![None; hosts]),
            pause_ms: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            over: AtomicBool::new(false),
        })
    }

    /// Ends the host of a seat, if there is one, and starts another in its place.
    pub(super) async fn start(&self, seat: usize, terms: Terms) -> Arc<Host> {
        let before = self.seats.lock().unwrap()[seat].take();
        if let Some(before) = before {
            before.stop().await;
        }
        Host::start(&self.store, &self.rows, seat, terms).await
    }

    /// Lets clients ask a host from now on.
    pub(super) fn seat(&self, host: &Arc<Host>) {
        self.seats.lock().unwrap()[host.number] = Some(Arc::clone(host));
    }

    pub(super) fn host(&self, seat: usize) -> Arc<Host> {
        self.seats.lock().unwrap()[seat].clone().unwrap()
    }

    /// Reads every row once through a host.
    pub(super) async fn read_all(&self, host: &Host) {
        for row in 0..ROWS {
            host.read(row).await;
        }
    }

    pub(super) fn pause(&self, at_most: Duration) {
        self.pause_ms.store(at_most.as_millis() as u64, Ordering::Relaxed);
    }

    /// Starts clients; so many of a hundred of their requests are writes.
    pub(super) fn begin(self: &Arc<Self>, writes: u32) -> Vec<JoinHandle<()>> {
        (0..CLIENTS).map(|seed| tokio::spawn(client(Arc::clone(self), writes, seed))).collect()
    }

    /// Ends the clients.
    pub(super) async fn end(&self, clients: Vec<JoinHandle<()>>) {
        self.over.store(true, Ordering::Relaxed);
        for client in clients {
            client.await.unwrap();
        }
    }

    fn any(&self, random: &mut StdRng) -> Option<Arc<Host>> {
        let seats = self.seats.lock().unwrap();
        seats[random.random_range(0..seats.len())].clone()
    }
}

async fn client(fleet: Arc<Fleet>, writes: u32, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    while !fleet.over.load(Ordering::Relaxed) {
        let at_most = fleet.pause_ms.load(Ordering::Relaxed);
        sleep(Duration::from_millis(random.random_range(0..=at_most))).await;
        let Some(host) = fleet.any(&mut random) else { continue };
        let row = random.random_range(0..ROWS);
        if random.random_range(0..100) < writes {
            let way = if random.random() { Way::Invalidate } else { Way::Through };
            host.write(row, way).await;
        } else {
            let hit = host.read(row).await;
            fleet.reads.fetch_add(1, Ordering::Relaxed);
            fleet.hits.fetch_add(u64::from(hit), Ordering::Relaxed);
        }
    }
}
