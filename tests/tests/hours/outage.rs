//! The store is down for twenty minutes while a few rows are written hundreds of times a second.
//! Writes go on, the debt is one entry for each row, it is paid in a few round trips, and nothing
//! stale is read afterwards. `scenario real debt` shows with real servers what a host says that is
//! stopped meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use corral_host::cache::{Breaker, CacheEffect};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};

use super::fleet::OLD;
use super::host::{Host, Way};
use super::rows::Rows;
use super::store::{Fault, Shared};

const ROWS: u32 = 50;

const WRITES_A_SECOND: u32 = 300;

/// The host that takes the writes.
const WRITER: usize = 0;

/// One read through either host for so many writes.
const READ_EVERY: u32 = 10;

/// The time for a host to notice that the store is back, and to pay its debt.
const SOON: Duration = Duration::from_millis(500);

/// What was seen in an outage.
#[derive(Debug)]
struct Seen {
    /// Writes, counted by the cache's effect that their answers named.
    writes: BTreeMap<String, u32>,
    most_owed: usize,
    /// From the return of the store until nothing was owed and the store was used again.
    drained: Duration,
    /// The exchanges of both hosts with the store in that time, by operation.
    exchanges: BTreeMap<&'static str, usize>,
    stale: usize,
    complaints: Vec<String>,
}

struct Stage {
    store: Arc<Shared>,
    rows: Arc<Rows>,
    hosts: [Arc<Host>; 2],
}

impl Stage {
    async fn set(fault: Option<Fault>) -> Self {
        let (store, rows) = (Shared::new(fault), Arc::new(Rows::default()));
        let first = Host::start(&store, &rows, WRITER, OLD).await;
        sleep(Duration::from_secs(1)).await;
        let hosts = [first, Host::start(&store, &rows, 1, OLD).await];
        let stage = Self { store, rows, hosts };
        stage.read_all().await;
        stage
    }

    async fn read_all(&self) {
        for row in 0..ROWS {
            for host in &self.hosts {
                host.read(row).await;
            }
        }
    }

    /// Writes and reads for so long. Returns the effects that writers were told, and the largest
    /// debt.
    async fn write(&self, lasts: Duration) -> (BTreeMap<String, u32>, usize) {
        let mut turns = interval(Duration::from_secs(1) / WRITES_A_SECOND);
        let (mut requests, mut said, mut most_owed) = (JoinSet::new(), BTreeMap::new(), 0);
        let began = Instant::now();
        for turn in 0_u32.. {
            turns.tick().await;
            if began.elapsed() >= lasts {
                break;
            }
            let (row, host) = (turn % ROWS, Arc::clone(&self.hosts[WRITER]));
            requests.spawn(async move { Some(host.write(row, Way::Invalidate).await) });
            if turn.is_multiple_of(READ_EVERY) {
                let host = Arc::clone(&self.hosts[(turn / READ_EVERY % 2) as usize]);
                requests.spawn(async move {
                    host.read(row).await;
                    None
                });
            }
            while let Some(done) = requests.try_join_next() {
                note(&mut said, done.unwrap());
            }
            most_owed = most_owed.max(self.hosts[WRITER].standing().owed);
        }
        for done in requests.join_all().await {
            note(&mut said, done);
        }
        (said, most_owed.max(self.hosts[WRITER].standing().owed))
    }

    /// Returns when both hosts use the store.
    async fn used(&self) {
        let used = |host: &Arc<Host>| host.standing().store == Breaker::Closed;
        while !self.hosts.iter().all(used) {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

fn note(said: &mut BTreeMap<String, u32>, done: Option<Option<CacheEffect>>) {
    if let Some(wrote) = done {
        *said.entry(format!("{wrote:?}")).or_default() += 1;
    }
}

/// Stops the store for so long.
async fn outage(lasts: Duration, fault: Option<Fault>) -> Seen {
    let stage = Stage::set(fault).await;
    stage.store.stop();
    let (writes, most_owed) = stage.write(lasts).await;
    stage.store.take_exchanges();
    stage.store.start();
    let back = Instant::now();
    let read_on = async {
        loop {
            stage.read_all().await;
        }
    };
    let used = timeout(SOON, stage.used());
    let paid = tokio::select! {
        paid = used => paid.is_ok(),
        () = read_on => false,
    };
    let drained = back.elapsed();
    let exchanges = stage.store.take_exchanges();
    let owed = stage.hosts[WRITER].standing().owed;
    assert!(paid && owed == 0, "{owed} are owed after {drained:?}");
    stage.rows.drained(WRITER);
    stage.read_all().await;
    stage.write(Duration::from_secs(1)).await;
    stage.read_all().await;
    let (stale, complaints) = stage.rows.verdict();
    Seen { writes, most_owed, drained, exchanges, stale, complaints }
}

async fn holds(lasts: Duration) {
    let seen = outage(lasts, None).await;
    println!("{seen:#?}");
    let all = lasts.as_secs() as u32 * WRITES_A_SECOND;
    assert_eq!(seen.writes, BTreeMap::from([("Some(Pending)".to_owned(), all)]));
    assert_eq!(seen.most_owed, ROWS as usize);
    assert!(seen.drained < SOON);
    assert_eq!(seen.exchanges["remove"], 1, "everything that is owed in one go");
    // Beats and what belongs to them, from two hosts; nothing that grows with rows or writes.
    let round_trips = |what: &&&str| !matches!(**what, "get" | "claim" | "fill" | "index");
    let trips: usize = seen.exchanges.keys().filter(round_trips).map(|k| seen.exchanges[k]).sum();
    assert!(trips <= 12, "{trips} round trips");
    assert_eq!((seen.stale, seen.complaints), (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn an_outage_under_writes_leaves_one_debt_for_each_row_and_nothing_stale() {
    holds(Duration::from_secs(60)).await;
}

/// At full size: `cargo test -p corral-tests --test hours twenty_minutes -- --ignored --nocapture`.
#[tokio::test(start_paused = true)]
#[ignore = "takes longer than a test may"]
async fn an_outage_of_twenty_minutes_under_writes_does_the_same() {
    holds(Duration::from_secs(1_200)).await;
}

#[tokio::test(start_paused = true)]
async fn the_check_notices_a_store_that_forgets_what_it_missed() {
    let seen = outage(Duration::from_secs(2), Some(Fault::ForgetsInvalidations)).await;
    assert!(seen.stale > 0, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_stopped_meanwhile_is_not_idle_and_knows_what_is_left() {
    let stage = Stage::set(None).await;
    stage.store.stop();
    stage.write(Duration::from_secs(1)).await;
    let host = &stage.hosts[WRITER];
    assert!(timeout(Duration::from_secs(60), host.stop()).await.is_err(), "it had ended");
    assert_eq!((host.cache.is_idle(), host.standing().owed), (false, ROWS as usize));
    stage.store.start();
    assert!(timeout(SOON, host.stop()).await.is_ok(), "it waits for what is paid");
    assert_eq!(host.standing().owed, 0);
}
