//! A cluster under load: primaries die, are replaced and freeze, and slots move.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Verdict;
use super::scene::Scene;
use crate::scenario::millis;
use crate::servers::{Cluster, Failover};

const HOSTS: usize = 3;
const CLIENTS: u64 = 8;
const PAUSE: Duration = Duration::from_millis(20);

/// The primary to which things happen, and its replica.
const STRUCK: usize = 0;
const REPLICA: usize = 3;

/// How long the load goes on before and after.
const WATCHED: Duration = Duration::from_secs(4);

/// Longer than a node may be silent before it is replaced.
const FROZEN: Duration = Duration::from_secs(5);

/// What happens to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Struck {
    /// A primary dies and stays away.
    Killed,
    /// A replica is told to take over.
    Ordered(Failover),
    /// A primary freezes until a replica has taken its place, and resumes.
    Frozen,
    /// Slots move back and forth, some of them half, and some moves are given up.
    SlotsMove,
    /// A node joins, gets slots, loses them and is gone.
    NodeComesAndGoes,
    /// A primary is cut off from all other nodes, and the hosts reach both it and the one that takes its
    /// place.
    Divided,
    /// Every node that the hosts were told of but one is gone when they start.
    OneSeedLeft,
}

impl Struck {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Killed,
        Self::Ordered(Failover::Plain),
        Self::Ordered(Failover::Force),
        Self::Ordered(Failover::Takeover),
        Self::Frozen,
        Self::SlotsMove,
        Self::NodeComesAndGoes,
        Self::Divided,
        Self::OneSeedLeft,
    ];
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What happened.
    pub struck: Struck,
    /// From when it began until every row was a hit on every host again.
    pub cold_ms: f64,
    /// Keys without a lifetime at the end.
    pub endless: Vec<String>,
    /// The verdict on all requests.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Eight clients read and write through three hosts while it happens.
///
/// # Errors
/// When a server does not come up, or the cache is not used again.
pub async fn run(struck: Struck, seed: u64) -> anyhow::Result<Report> {
    let mut cluster = if struck == Struck::Divided {
        Cluster::start_divisible(3, 3, &[]).await?
    } else {
        Cluster::start(3, 3).await?
    };
    let url = if struck == Struck::OneSeedLeft {
        format!("{},127.0.0.1:1,127.0.0.1:2", cluster.url_of(&[1]))
    } else {
        cluster.url()
    };
    let mut scene = Scene::set(&vec![url; HOSTS]).await?;
    scene.fill().await?;
    scene.start_clients(CLIENTS, PAUSE, seed);
    sleep(WATCHED).await;
    let began = Instant::now();
    strike(&mut cluster, struck, seed).await?;
    sleep(WATCHED).await;
    let verdict = scene.end().await?;
    cluster.until_settled().await?;
    scene.fill().await?;
    let cold_ms = millis(began.elapsed());
    let mut endless = Vec::new();
    for primary in cluster.primaries().await? {
        endless.extend(endless_keys(&cluster, primary).await?);
    }
    Ok(Report { struck, cold_ms, endless, verdict })
}

async fn strike(cluster: &mut Cluster, struck: Struck, seed: u64) -> anyhow::Result<()> {
    match struck {
        Struck::Killed | Struck::OneSeedLeft => {
            cluster.kill(STRUCK);
            cluster.until_primary(REPLICA).await
        }
        Struck::Ordered(how) => cluster.failover(REPLICA, how).await,
        Struck::Frozen => {
            cluster.freeze(STRUCK)?;
            sleep(FROZEN).await;
            cluster.until_primary(REPLICA).await?;
            cluster.thaw(STRUCK)
        }
        Struck::Divided => {
            cluster.divide(&[STRUCK])?;
            cluster.until_primary(REPLICA).await?;
            sleep(WATCHED).await;
            cluster.unite()
        }
        Struck::SlotsMove => move_slots(cluster, seed).await,
        Struck::NodeComesAndGoes => {
            let added = cluster.add_node(None).await?;
            let slots = slots_with_keys(cluster, STRUCK).await?;
            for slot in &slots {
                cluster.move_slot(*slot, added).await?;
            }
            sleep(WATCHED).await;
            for slot in &slots {
                cluster.move_slot(*slot, STRUCK).await?;
            }
            cluster.remove_node(added).await
        }
    }
}

/// Moves slots that have keys between two nodes and back; every third move is given up halfway.
async fn move_slots(cluster: &Cluster, seed: u64) -> anyhow::Result<()> {
    const ROUNDS: usize = 60;
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut here: Vec<u16> = slots_with_keys(cluster, STRUCK).await?;
    let mut there: Vec<u16> = Vec::new();
    for round in 0..ROUNDS {
        let is_back = there.len() > 3;
        let (from, to) = if is_back { (1, STRUCK) } else { (STRUCK, 1) };
        let pool = if is_back { &mut there } else { &mut here };
        let slot = pool.swap_remove(random.random_range(0..pool.len()));
        cluster.begin_move(slot, from, to).await?;
        cluster.move_keys(slot, from, to, 1).await?;
        sleep(Duration::from_millis(random.random_range(0..150))).await;
        if round % 3 == 2 {
            cluster.cancel_move(slot, from, to).await?;
            pool.push(slot);
            continue;
        }
        cluster.finish_move(slot, from, to).await?;
        if is_back { here.push(slot) } else { there.push(slot) }
    }
    Ok(())
}

/// The keys of a primary without a lifetime. A key that a move which was given up left behind belongs to
/// another node.
async fn endless_keys(cluster: &Cluster, primary: usize) -> anyhow::Result<Vec<String>> {
    let (node, view) = (cluster.node(primary), cluster.view(primary).await?);
    let mut found = Vec::new();
    for key in node.keys("*").await? {
        if view.has(cluster.slot(&key).await?) {
            let left: i64 = redis::from_redis_value(node.say(&["PTTL", &key]).await?)?;
            if left == -1 {
                found.push(key);
            }
        }
    }
    Ok(found)
}

/// The slots of a node in which a key of the hosts lies.
async fn slots_with_keys(cluster: &Cluster, node: usize) -> anyhow::Result<Vec<u16>> {
    let redis = cluster.node(node);
    let mut slots = Vec::new();
    for key in redis.keys("corral:*").await? {
        let slot = redis.say(&["CLUSTER", "KEYSLOT", &key]).await?;
        slots.push(redis::from_redis_value(slot)?);
    }
    slots.sort_unstable();
    slots.dedup();
    Ok(slots)
}

impl Report {
    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// As [`Verdict::expect_of_reads`], and if a key has no lifetime.
    pub fn expect(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.endless.is_empty(), "without a lifetime: {:?}", self.endless);
        self.verdict.expect()
    }
}
