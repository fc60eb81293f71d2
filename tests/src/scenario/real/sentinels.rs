//! Sentinels put a replica in the place of the primary, or an operator moves the name, in every way in which
//! hosts can be left behind: with replicas that got nothing of the last writes, with two primaries, with a host
//! that reaches no sentinel, without a majority of sentinels.

use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Verdict;
use super::desk::Look;
use super::scene::Scene;
use crate::forwarder::Forwarder;
use crate::scenario::millis;
use crate::servers::Sentinels;

/// Three hosts: the first one has its own way to each sentinel.
const FIRST: usize = 0;
const OTHERS: [usize; 2] = [1, 2];
const ALL: [usize; 3] = [0, 1, 2];

/// Long enough for a load to outlive a failover, and short enough for its reader's deadline.
const LOAD_MS: u64 = 1_200;

/// The item that it loads.
const ITEM: u8 = 0;

/// The server that is the primary at first, and the one to which an operator moves the name.
const BEFORE: usize = 0;
const MOVED: usize = 2;

const CLIENTS: u64 = 8;

/// The longest pause of a client.
const PAUSE: Duration = Duration::from_millis(20);

/// The time for a look at the hosts between two steps.
const A_LOOK: Duration = Duration::from_millis(800);

/// The longest time for which a host trusts a node after the majority last named it.
const TRUST_ENDS: Duration = Duration::from_secs(2);

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Change {
    /// The primary dies, and no replica got the last writes.
    Killed,
    /// A failover is ordered, and no replica got the last writes.
    Ordered,
    /// The primary freezes, is replaced, and resumes: for some seconds there are two primaries.
    Frozen,
    /// An operator moves the name to a server with older data. The first host reaches no sentinel meanwhile, and
    /// goes on reaching the server that had the name.
    CutOff,
    /// Two of three sentinels die, and come back.
    NoMajority,
    /// An operator moves the name to a server with older data, and the server that had it lives on.
    Renamed,
}

impl Change {
    /// Every change.
    pub const ALL: [Self; 6] =
        [Self::Killed, Self::Ordered, Self::Frozen, Self::CutOff, Self::NoMajority, Self::Renamed];
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What happened.
    pub change: Change,
    /// From the change until most sentinels named another server, where they did.
    pub named_ms: Option<f64>,
    /// The longest time for which a host had no hits, from the change until all had hits again.
    pub without_hits_ms: f64,
    /// The verdict on all requests.
    #[serde(flatten)]
    pub verdict: Verdict,
}

struct Stage {
    sentinels: Sentinels,
    /// The first host's ways to the sentinels.
    ways: Vec<Forwarder>,
    scene: Scene,
    /// How long it took until most sentinels named another server.
    named: Option<Duration>,
}

/// Values and a lease are there. Then the change happens under load, and rows are written through every host
/// that is not cut off.
///
/// # Errors
/// When a server does not come up, or the cache is not used again.
pub async fn run(change: Change) -> anyhow::Result<Report> {
    let mut stage = Stage::set(|ways, _| Sentinels::url_over(ways)).await?;
    stage.scene.fill().await?;
    let load = stage.scene.begin_slow(FIRST, ITEM, LOAD_MS).await?;
    stage.sentinels.in_step(BEFORE).await?;
    stage.scene.start_clients(CLIENTS, PAUSE, rand::random());
    let changed = Instant::now();
    let over = match change {
        Change::Killed => stage.killed().await?,
        Change::Ordered => stage.ordered().await?,
        Change::Frozen => stage.frozen().await?,
        Change::CutOff => stage.cut_off().await?,
        Change::NoMajority => stage.no_majority().await?,
        Change::Renamed => stage.renamed().await?,
    };
    stage.scene.first_hits(over).await?;
    let without_hits_ms = millis(stage.without_hits(changed));
    load.await??;
    stage.scene.write_all(&ALL).await?;
    let verdict = stage.scene.end().await?;
    stage.scene.fill().await?;
    Ok(Report { change, named_ms: stage.named.map(millis), without_hits_ms, verdict })
}

/// The control: the same as [`Change::Frozen`], with a first host that asks no sentinel and goes on using the
/// address of the old primary.
///
/// # Errors
/// When a server does not come up.
pub async fn run_without_sentinels() -> anyhow::Result<Verdict> {
    let mut stage = Stage::set(|_, primary| primary.to_owned()).await?;
    stage.scene.fill().await?;
    stage.freeze().await?;
    stage.scene.write_all(&OTHERS).await?;
    stage.sentinels.server(BEFORE).cont()?;
    stage.scene.watch(TRUST_ENDS).await?;
    stage.scene.end().await
}

impl Stage {
    /// The URL of the first host is chosen with the ports of its ways to the sentinels and the URL of the
    /// primary.
    async fn set(first: impl Fn(&[u16], &str) -> String) -> anyhow::Result<Self> {
        let sentinels = Sentinels::start().await?;
        let mut ways = Vec::new();
        for port in sentinels.ports() {
            ways.push(Forwarder::start(port).await?);
        }
        let ports: Vec<u16> = ways.iter().map(Forwarder::port).collect();
        let first = first(&ports, &sentinels.server(BEFORE).url());
        let scene = Scene::set(&[first, sentinels.url(), sentinels.url()]).await?;
        Ok(Self { sentinels, ways, scene, named: None })
    }

    async fn killed(&mut self) -> anyhow::Result<Instant> {
        self.sentinels.withhold(BEFORE).await?;
        self.scene.write_all(&ALL).await?;
        self.sentinels.kill(BEFORE);
        let gone = Instant::now();
        self.until_another(gone).await?;
        Ok(gone)
    }

    async fn ordered(&mut self) -> anyhow::Result<Instant> {
        self.sentinels.withhold(BEFORE).await?;
        self.scene.write_all(&ALL).await?;
        let ordered = Instant::now();
        self.sentinels.fail_over().await?;
        self.until_another(ordered).await?;
        self.until_the_old_primary_is_left().await
    }

    async fn frozen(&mut self) -> anyhow::Result<Instant> {
        let gone = self.freeze().await?;
        self.scene.write_all(&OTHERS).await?;
        self.sentinels.server(BEFORE).cont()?;
        self.scene.watch(A_LOOK).await?;
        self.scene.write_all(&[FIRST]).await?;
        Ok(gone)
    }

    async fn cut_off(&mut self) -> anyhow::Result<Instant> {
        self.lag().await?;
        for way in &self.ways {
            way.isolate();
            way.refuse(true);
        }
        self.rename().await?;
        let left = self.until_the_old_primary_is_left().await?;
        self.scene.write_all(&OTHERS).await?;
        self.scene.watch(A_LOOK).await?;
        ensure!(self.hits(left, &OTHERS) > 0, "the hosts that reach sentinels don't use the store");
        ensure!(self.hits(left, &[FIRST]) == 0, "a host that reaches no sentinel uses the store");
        for way in &self.ways {
            way.refuse(false);
            way.cut();
        }
        Ok(Instant::now())
    }

    async fn no_majority(&mut self) -> anyhow::Result<Instant> {
        const DEAD: [usize; 2] = [1, 2];
        for dead in DEAD {
            self.sentinels.kill_sentinel(dead);
        }
        sleep(TRUST_ENDS).await;
        let alone = Instant::now();
        self.scene.watch(A_LOOK).await?;
        ensure!(self.hits(alone, &ALL) == 0, "the store is used without a majority");
        for dead in DEAD {
            self.sentinels.restart_sentinel(dead).await?;
        }
        Ok(Instant::now())
    }

    async fn renamed(&mut self) -> anyhow::Result<Instant> {
        self.lag().await?;
        self.rename().await?;
        self.until_the_old_primary_is_left().await
    }

    /// Makes a server one that got nothing of the last writes.
    async fn lag(&mut self) -> anyhow::Result<()> {
        self.sentinels.server(MOVED).promote().await?;
        self.scene.write_all(&ALL).await
    }

    /// Moves the name to that server.
    async fn rename(&mut self) -> anyhow::Result<()> {
        let renamed = Instant::now();
        self.sentinels.rename(MOVED).await?;
        self.until_another(renamed).await
    }

    /// Freezes the primary until another one is named; returns when it froze.
    async fn freeze(&mut self) -> anyhow::Result<Instant> {
        self.sentinels.server(BEFORE).stop()?;
        let gone = Instant::now();
        self.until_another(gone).await?;
        Ok(gone)
    }

    /// Watches until a hit can come from the new primary only.
    async fn until_the_old_primary_is_left(&self) -> anyhow::Result<Instant> {
        self.scene.watch(TRUST_ENDS).await?;
        Ok(Instant::now())
    }

    async fn until_another(&mut self, since: Instant) -> anyhow::Result<()> {
        self.sentinels.until_another(BEFORE).await?;
        self.named = Some(since.elapsed());
        Ok(())
    }

    /// The longest time for which a host had no hits since then.
    fn without_hits(&self, since: Instant) -> Duration {
        let looks = self.scene.desk.looks(since, Instant::now());
        let of = |host| {
            let hits = looks.iter().filter(move |look| look.hit && look.host == host);
            let moments: Vec<_> = std::iter::once(since).chain(hits.map(|look| look.at)).collect();
            moments.windows(2).map(|two| two[1] - two[0]).max()
        };
        ALL.into_iter().filter_map(of).max().unwrap_or_default()
    }

    /// How many reads that these hosts were asked since then were hits.
    fn hits(&self, since: Instant, hosts: &[usize]) -> usize {
        let looks = self.scene.desk.looks(since, Instant::now());
        let hit = |look: &&Look| look.hit && look.asked >= since && hosts.contains(&look.host);
        looks.iter().filter(hit).count()
    }
}

impl Report {
    /// Fails if anything was broken, and says what.
    ///
    /// # Errors
    /// As [`Verdict::expect`].
    pub fn expect(&self) -> anyhow::Result<()> {
        self.verdict.expect()
    }
}
