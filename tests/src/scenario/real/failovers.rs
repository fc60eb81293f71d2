//! A replica takes the place of its primary, in every way in which hosts can be left behind: with a
//! replica that lagged, with connections that lead to the old primary, with hosts on both sides.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Verdict;
use super::desk::Read;
use super::pair::Pair;
use super::scene::Scene;
use crate::forwarder::Forwarder;
use crate::scenario::millis;

/// Three hosts: the first one has its own way to the store, and the others share one.
const FIRST: usize = 0;
const OTHERS: [usize; 2] = [1, 2];
const ALL: [usize; 3] = [0, 1, 2];

/// Long enough for a load to outlive the failover, and short enough for its reader's deadline.
const LOAD_MS: u64 = 1_200;

/// The item that it loads.
const ITEM: u8 = 0;

/// Until the load has ended, and some time more.
const WATCHED: Duration = Duration::from_secs(2);

/// The time for a look at the hosts between two steps.
const A_LOOK: Duration = Duration::from_millis(800);

/// The time until a machine that is cut off is given up.
const GIVEN_UP: Duration = Duration::from_millis(500);

/// What happens to the old primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Primary {
    /// It dies, and the replica that takes its place did not get the last writes.
    Dies,
    /// It becomes a replica of the server that took its place, which did not get the last writes.
    /// Connections to it are kept.
    IsDemoted,
    /// It lives on with the connections of the first host, and the name leads to the other server.
    LivesOn,
    /// It is cut off together with the first host, and goes on serving that host.
    IsCutOff,
    /// It freezes, the replica takes its place and the name moves. Then it resumes with the
    /// connections of the first host.
    Freezes,
    /// It lives on. The first host is frozen during the failover, and resumes.
    LivesOnForAFrozenHost,
}

impl Primary {
    /// Every way.
    pub const ALL: [Self; 6] = [
        Self::Dies,
        Self::IsDemoted,
        Self::LivesOn,
        Self::IsCutOff,
        Self::Freezes,
        Self::LivesOnForAFrozenHost,
    ];
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What happened to the primary.
    pub primary: Primary,
    /// From the replica's promotion until every row was a hit on every host again.
    pub cold_ms: f64,
    /// The verdict on all requests.
    #[serde(flatten)]
    pub verdict: Verdict,
}

struct Stage {
    pair: Pair,
    first: Forwarder,
    others: Forwarder,
    scene: Scene,
}

/// Values and a lease are on both servers. Then the failover happens, and rows are written on the
/// side that the name leads to and, where possible, on the other side.
///
/// # Errors
/// When a server does not come up, or the cache is not used again.
pub async fn run(primary: Primary) -> anyhow::Result<Report> {
    let mut stage = Stage::set().await?;
    stage.scene.fill().await?;
    let load = stage.scene.begin_slow(FIRST, ITEM, LOAD_MS).await?;
    stage.pair.in_step().await?;
    let promoted = Instant::now();
    match primary {
        Primary::Dies => stage.dies().await?,
        Primary::IsDemoted => stage.is_demoted().await?,
        Primary::LivesOn => stage.lives_on().await?,
        Primary::IsCutOff => stage.is_cut_off().await?,
        Primary::Freezes => stage.freezes().await?,
        Primary::LivesOnForAFrozenHost => stage.lives_on_for_a_frozen_host().await?,
    }
    stage.scene.watch(WATCHED).await?;
    load.await??;
    for host in ALL {
        stage.scene.desk.read(host, Read::Slow(ITEM, LOAD_MS)).await?;
    }
    // By now no host may use the old primary, whatever connections still lead to it.
    stage.pair.primary.kill();
    stage.scene.fill().await?;
    let cold_ms = millis(promoted.elapsed());
    Ok(Report { primary, cold_ms, verdict: stage.scene.end().await? })
}

impl Stage {
    async fn set() -> anyhow::Result<Self> {
        let pair = Pair::start().await?;
        let first = Forwarder::start(pair.primary.port()).await?;
        let others = Forwarder::start(pair.primary.port()).await?;
        let urls = [first.redis_url(), others.redis_url(), others.redis_url()];
        let scene = Scene::set(&urls).await?;
        Ok(Self { pair, first, others, scene })
    }

    async fn dies(&mut self) -> anyhow::Result<()> {
        self.pair.withhold();
        self.scene.write_all(&ALL).await?;
        self.pair.primary.kill();
        self.pair.promote().await?;
        self.move_name();
        self.others.cut();
        self.first.cut();
        Ok(())
    }

    async fn is_demoted(&mut self) -> anyhow::Result<()> {
        self.pair.withhold();
        self.scene.write_all(&ALL).await?;
        self.pair.promote().await?;
        self.pair.primary.replicate(self.pair.replica.port()).await?;
        self.pair.primary.until_replicated().await?;
        self.scene.watch(A_LOOK).await?;
        self.move_name();
        Ok(())
    }

    async fn lives_on(&mut self) -> anyhow::Result<()> {
        self.pair.promote().await?;
        self.move_name();
        self.others.cut();
        self.scene.write_all(&OTHERS).await?;
        self.scene.watch(A_LOOK).await?;
        self.scene.write_all(&[FIRST]).await
    }

    async fn is_cut_off(&mut self) -> anyhow::Result<()> {
        self.pair.link.isolate();
        self.others.point_to(self.pair.replica.port());
        self.others.isolate();
        self.pair.replica.promote().await?;
        sleep(GIVEN_UP).await;
        self.others.cut();
        self.scene.write_all(&OTHERS).await?;
        self.scene.watch(A_LOOK).await?;
        // The cut is mended: new connections reach the server that took over.
        self.move_name();
        self.first.cut();
        self.pair.link.cut();
        Ok(())
    }

    async fn freezes(&mut self) -> anyhow::Result<()> {
        self.pair.primary.stop()?;
        self.pair.promote().await?;
        self.move_name();
        self.others.cut();
        self.scene.write_all(&OTHERS).await?;
        self.pair.primary.cont()
    }

    async fn lives_on_for_a_frozen_host(&mut self) -> anyhow::Result<()> {
        self.scene.hosts[FIRST].stop()?;
        self.pair.promote().await?;
        self.move_name();
        self.others.cut();
        self.scene.write_all(&OTHERS).await?;
        self.scene.hosts[FIRST].cont()
    }

    /// Makes the name lead new connections to the replica.
    fn move_name(&self) {
        self.first.point_to(self.pair.replica.port());
        self.others.point_to(self.pair.replica.port());
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
