//! What a host asks a node about itself, and about what the host must know before it trusts the
//! node.

use std::sync::Arc;

use corral_host::store::{
    Beat, Digest, Epoch, FloorScope, HostCard, LinkId, Listing, Naming, Over, PolicyId, Range,
    Replicas, StoreError,
};
use tokio::time::sleep;

use super::Link;
use super::operation::{Kind, Operation};
use crate::sim::climate::BUDGET;
use crate::sim::protection::Protection;
use crate::sim::weather::Way;

/// The epoch of all nodes, if epochs are not told apart.
const ONE: Epoch = Epoch(1);

impl Link {
    pub(super) async fn ask_beat(&self) -> Result<Over<Beat>, StoreError> {
        let world = Arc::clone(&self.world);
        let beat =
            self.exchange(Operation::on_store(Kind::Reads, "beat"), move |node, now_ms| Beat {
                epoch: Some(node.epoch),
                now_ms,
                is_primary: !node.follows,
                replicas: node.shows(world.elapsed()),
                range_versions: vec![node.shelf.register.version()],
            });
        let mut beat = beat.await?;
        if self.lacks(Protection::EpochsAreToldApart) {
            beat.answer.epoch = Some(ONE);
        }
        if self.lacks(Protection::NewNodesAreWatched) {
            beat.answer.replicas = Replicas::None;
        }
        if beat.answer.replicas == Replicas::Silent {
            self.forget_near();
        }
        if self.lacks(Protection::SilentReplicasCount) && beat.answer.replicas == Replicas::Silent {
            beat.answer.replicas = Replicas::Answering;
        }
        Ok(beat)
    }

    /// Asks over a new connection, which leads to wherever the address leads now.
    pub(super) async fn ask_confirmation(&self) -> Result<Option<Epoch>, StoreError> {
        self.thawed().await;
        self.pass(self.leg()).await;
        let way = self.world.weather().link(self.host);
        match way {
            Way::Open => {}
            Way::Refuses => return Err(StoreError::Unavailable("refused".into())),
            Way::Frozen => {
                self.pass(BUDGET * 10).await;
                return Err(StoreError::Timeout(BUDGET * 10));
            }
            Way::Slow(more) => self.pass(more * 2).await,
        }
        let standing = self.open().end.node;
        let epoch = {
            let nodes = self.world.nodes();
            let (_, node) = match self.lacks(Protection::AddressIsAskedAgain) {
                true => (standing, &nodes.all[standing]),
                false => nodes.of(self.host),
            };
            node.up.then_some(node.epoch)
        };
        self.pass(self.leg()).await;
        self.thawed().await;
        let epoch = epoch.ok_or_else(|| StoreError::Unavailable("refused".into()))?;
        Ok(Some(if self.lacks(Protection::EpochsAreToldApart) { ONE } else { epoch }))
    }

    pub(super) async fn await_relinking(&self, since: LinkId) {
        self.opened.wait_for(|open| open != since).await;
        // Opening a connection takes a way there and back, so an immediate failure is not repeated
        // at once.
        sleep(self.leg() + std::time::Duration::from_millis(1)).await;
    }

    pub(super) async fn read_range(&self) -> Result<Over<Range>, StoreError> {
        let read = Operation::on_store(Kind::Reads, "range");
        let over = self.exchange(read, |node, now_ms| node.shelf.register.read(now_ms)).await?;
        Ok(over.map(|range| self.as_known(range)))
    }

    pub(super) async fn publish_namings(
        &self,
        namings: &[Naming],
    ) -> Result<Over<Range>, StoreError> {
        let (world, own) = (Arc::clone(&self.world), namings.to_vec());
        self.sabotage().published.extend(namings.iter().map(Naming::scope));
        let publish = Operation::on_store(Kind::Adds, "publish");
        let over = self.exchange(publish, move |node, now_ms| {
            node.shelf.register.publish(&own, now_ms, &|| world.chance.number())
        });
        let over = over.await?;
        Ok(over.map(|range| self.as_known(range)))
    }

    /// The range as a host without a protection sees it: without the namings of other hosts, or
    /// with its own namings taken for known.
    fn as_known(&self, mut range: Range) -> Range {
        if self.lacks(Protection::NewNamingsWait) {
            range.known = range.floors.keys().cloned().collect();
        }
        if self.lacks(Protection::EmptiedRangesAreIncomplete) {
            // A made-up entry that says that a host has found the range complete.
            range.known.insert(FloorScope::Naming(Digest::of(["nobody"]), PolicyId::of("", "")));
        }
        if self.lacks(Protection::NamingsArePublished) {
            let published = &self.sabotage().published;
            range.namings.retain(|naming| published.contains(&naming.scope()));
        }
        range
    }

    pub(super) async fn raise_floors(&self, scopes: &[FloorScope]) -> Result<Over<()>, StoreError> {
        let is_lost = |scope: &FloorScope| match scope {
            FloorScope::Everything => self.lacks(Protection::FloorOfEverything),
            FloorScope::Naming(..) => self.lacks(Protection::FloorsOfNamings),
        };
        let (world, scopes) = (Arc::clone(&self.world), scopes.to_vec());
        let scopes: Vec<FloorScope> = scopes.into_iter().filter(|scope| !is_lost(scope)).collect();
        let raise = Operation::on_store(Kind::Adds, "raise floors");
        self.exchange(raise, move |node, _| {
            if !scopes.is_empty() {
                node.shelf.register.raise(&scopes, &|| world.chance.number());
            }
        })
        .await
    }

    pub(super) async fn write_watched(&self, epoch: Epoch) -> Result<(), StoreError> {
        let world = Arc::clone(&self.world);
        let note = Operation::on_store(Kind::Adds, "note the epoch watched");
        let over = self.exchange(note, move |node, _| {
            node.shelf.register.note_watched(epoch, &|| world.chance.number());
        });
        over.await.map(drop)
    }

    pub(super) async fn write_known(
        &self,
        namings: &[(FloorScope, u64)],
    ) -> Result<(), StoreError> {
        let (world, namings) = (Arc::clone(&self.world), namings.to_vec());
        let note = Operation::on_store(Kind::Adds, "note the namings known");
        let over = self.exchange(note, move |node, _| {
            node.shelf.register.note_known(&namings, &|| world.chance.number());
        });
        over.await.map(drop)
    }

    pub(super) async fn list_host(&self, card: &HostCard) -> Result<Listing, StoreError> {
        let card = card.clone();
        let enlist = Operation::on_store(Kind::Adds, "enlist");
        let over =
            self.exchange(enlist, move |node, now_ms| node.shelf.register.enlist(&card, now_ms));
        Ok(over.await?.answer)
    }
}
