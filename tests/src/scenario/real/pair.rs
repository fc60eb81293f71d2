//! A primary and its replica, with a link between them that can be withheld.

use crate::forwarder::{Direction, Forwarder};
use crate::servers::{Redis, eventually};

use super::scene::SOON;

/// Two servers of Redis. The replica follows the primary over [`Pair::link`].
pub(super) struct Pair {
    pub(super) primary: Redis,
    pub(super) replica: Redis,
    /// The replica is the client of this link: the data that it gets goes *down*, its
    /// acknowledgements go *up*.
    pub(super) link: Forwarder,
}

impl Pair {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let primary = Redis::start().await?;
        let link = Forwarder::start(primary.port()).await?;
        let replica = Redis::start_replica(link.port()).await?;
        Ok(Self { primary, replica, link })
    }

    /// Waits until the replica has everything that the primary has now.
    pub(super) async fn in_step(&self) -> anyhow::Result<()> {
        let goal = self.primary.offset().await?;
        eventually("the replica has everything", SOON, || async {
            Ok((self.replica.offset().await? >= goal).then_some(()))
        })
        .await
    }

    /// From now on the replica gets no data, and the primary still sees it alive.
    pub(super) fn withhold(&self) {
        self.link.hold(Direction::Down);
    }

    /// Makes the replica a primary. The data that was withheld is lost.
    pub(super) async fn promote(&self) -> anyhow::Result<()> {
        self.replica.promote().await?;
        self.link.cut();
        Ok(())
    }

    /// Ends the primary and lets the replica take its place; the dead server comes back empty, as
    /// the replica of the new primary.
    pub(super) async fn swap(&mut self) -> anyhow::Result<()> {
        std::mem::swap(&mut self.primary, &mut self.replica);
        self.link = Forwarder::start(self.primary.port()).await?;
        self.replica.restart_empty().await?;
        self.replica.replicate(self.link.port()).await?;
        self.replica.until_replicated().await
    }
}
