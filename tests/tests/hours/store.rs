//! The store that hosts share: the memory store, a millisecond away. It counts exchanges, refuses
//! all of them while it is stopped, and knows which hosts are alive, as Redis does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use corral_host::store::{
    Beat, Claim, Claimed, Confirmation, Envelope, Epoch, Filled, FloorScope, HostCard, Indexed,
    Intent, LeaseToken, LinkId, Listener, Listing, Mark, Marking, MemoryStore, Name, Naming, Over,
    Range, RangeId, Removed, Remover, Store, StoreError, StoreTag,
};
use tokio::time::{Instant, sleep};

/// How long a host is listed as alive after its last report, and how long it is remembered after
/// that.
const LISTED: Duration = Duration::from_secs(30);
const REMEMBERED: Duration = Duration::from_secs(2 * 3600);

/// How long one way of an exchange takes.
const LEG: Duration = Duration::from_millis(1);

/// A missing protection, to see what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Hosts do not learn of each other's namings.
    HidesNamings,
    /// Invalidations are acknowledged and not carried out.
    ForgetsInvalidations,
    /// A mark always says that its tag was invalidated at this moment.
    RenewsMarks,
}

/// The store.
pub(super) struct Shared {
    memory: MemoryStore,
    fault: Option<Fault>,
    down: AtomicBool,
    exchanges: Mutex<BTreeMap<&'static str, usize>>,
    hosts: Mutex<BTreeMap<String, (HostCard, Instant)>>,
    /// Namings that every host knows, each with the floor that it had then.
    known: Mutex<BTreeMap<FloorScope, u64>>,
}

impl Shared {
    pub(super) fn new(fault: Option<Fault>) -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryStore::default(),
            fault,
            down: AtomicBool::new(false),
            exchanges: Mutex::default(),
            hosts: Mutex::default(),
            known: Mutex::default(),
        })
    }

    /// From now on refuses everything.
    pub(super) fn stop(&self) {
        self.down.store(true, Ordering::SeqCst);
    }

    /// From now on answers again.
    pub(super) fn start(&self) {
        self.down.store(false, Ordering::SeqCst);
    }

    /// The exchanges that were answered since the last call, by operation.
    pub(super) fn take_exchanges(&self) -> BTreeMap<&'static str, usize> {
        std::mem::take(&mut *self.exchanges.lock().unwrap())
    }

    async fn enter(&self, operation: &'static str) -> Result<(), StoreError> {
        sleep(LEG).await;
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the test has stopped it".into()));
        }
        *self.exchanges.lock().unwrap().entry(operation).or_default() += 1;
        Ok(())
    }

    /// A range as Redis keeps it, which includes the namings that every host knows.
    fn shared(&self, over: Over<Vec<Range>>) -> Over<Vec<Range>> {
        let shared = |mut range: Range| {
            let known = self.known.lock().unwrap();
            let is_so =
                |(scope, floor): &(&FloorScope, &u64)| range.floors.get(scope) == Some(floor);
            range.known = known.iter().filter(is_so).map(|(scope, _)| scope.clone()).collect();
            if self.fault == Some(Fault::HidesNamings) {
                range.namings.clear();
            }
            range
        };
        over.map(|ranges| ranges.into_iter().map(shared).collect())
    }

    async fn floors(&self) -> Result<BTreeMap<FloorScope, u64>, StoreError> {
        let read = self.memory.read_ranges(&[RangeId::FIRST]).await?.answer;
        Ok(read.into_iter().flat_map(|range| range.floors).collect())
    }
}

async fn back<T>(answer: T) -> T {
    sleep(LEG).await;
    answer
}

#[async_trait]
impl Store for Shared {
    async fn get(&self, name: &Name) -> Result<Over<Option<Envelope>>, StoreError> {
        self.enter("get").await?;
        back(self.memory.get(name).await).await
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.memory.listen(listener);
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Over<Claimed>, StoreError> {
        self.enter("claim").await?;
        back(self.memory.claim(claim).await).await
    }

    async fn fill(
        &self,
        name: &Name,
        token: LeaseToken,
        envelope: &Envelope,
    ) -> Result<Over<Filled>, StoreError> {
        self.enter("fill").await?;
        back(self.memory.fill(name, token, envelope).await).await
    }

    async fn renew(
        &self,
        name: &Name,
        token: LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        self.enter("renew").await?;
        back(self.memory.renew(name, token, lease).await).await
    }

    async fn release(&self, name: &Name, token: LeaseToken) -> Result<bool, StoreError> {
        self.enter("release").await?;
        back(self.memory.release(name, token).await).await
    }

    async fn lease_left(&self, name: &Name) -> Result<Option<Duration>, StoreError> {
        self.memory.lease_left(name).await
    }

    async fn index(
        &self,
        name: &Name,
        tags: &[StoreTag],
        expires_at_ms: u64,
    ) -> Result<Over<Indexed>, StoreError> {
        self.enter("index").await?;
        let mut indexed = self.memory.index(name, tags, expires_at_ms).await?;
        if self.fault == Some(Fault::RenewsMarks) {
            let at_ms = self.memory.now_ms();
            let renewed = |mark: Mark| Mark { at_ms, ..mark };
            indexed.answer.marks = indexed.answer.marks.into_iter().map(renewed).collect();
        }
        back(Ok(indexed)).await
    }

    async fn remove(&self, names: &[Name]) -> Result<Over<Removed>, StoreError> {
        self.enter("remove").await?;
        let forgets = self.fault == Some(Fault::ForgetsInvalidations);
        back(self.memory.remove(if forgets { &[] } else { names }).await).await
    }

    async fn walk(
        &self,
        tags: &[StoreTag],
        marking: Marking,
        remover: &dyn Remover,
    ) -> Result<Over<()>, StoreError> {
        self.enter("walk").await?;
        let forgets = self.fault == Some(Fault::ForgetsInvalidations);
        back(self.memory.walk(if forgets { &[] } else { tags }, marking, remover).await).await
    }

    async fn announce(
        &self,
        range: RangeId,
        intent: &Intent,
        hold: Duration,
    ) -> Result<Over<()>, StoreError> {
        self.enter("announce").await?;
        back(self.memory.announce(range, intent, hold).await).await
    }

    async fn withdraw(&self, range: RangeId, intent: &Intent) -> Result<(), StoreError> {
        self.enter("withdraw").await?;
        back(self.memory.withdraw(range, intent).await).await
    }

    async fn due(
        &self,
        ranges: &[RangeId],
        hold: Duration,
    ) -> Result<Vec<(RangeId, Intent)>, StoreError> {
        self.enter("due").await?;
        back(self.memory.due(ranges, hold).await).await
    }

    async fn settled(&self, name: &Name, at_most: Duration) {
        self.memory.settled(name, at_most).await;
        sleep(LEG).await;
    }

    async fn beat(&self, ranges: &[RangeId]) -> Result<Over<Beat>, StoreError> {
        self.enter("beat").await?;
        back(self.memory.beat(ranges).await).await
    }

    async fn confirm(&self) -> Result<Confirmation, StoreError> {
        self.enter("confirm").await?;
        back(self.memory.confirm().await).await
    }

    async fn relinked(&self, since: LinkId) {
        self.memory.relinked(since).await;
    }

    fn relink(&self, why: &str) {
        self.memory.relink(why);
    }

    async fn read_ranges(&self, ranges: &[RangeId]) -> Result<Over<Vec<Range>>, StoreError> {
        self.enter("range").await?;
        back(Ok(self.shared(self.memory.read_ranges(ranges).await?))).await
    }

    async fn publish(
        &self,
        ranges: &[RangeId],
        namings: &[Naming],
    ) -> Result<Over<Vec<Range>>, StoreError> {
        self.enter("publish").await?;
        let was_empty = self.memory.beat(ranges).await?.answer.range_versions == [0];
        let before = self.floors().await?;
        let published = self.memory.publish(ranges, namings).await?;
        let after = self.floors().await?;
        if before.keys().any(|scope| !after.contains_key(scope)) {
            self.known.lock().unwrap().clear();
        }
        let over = self.shared(published);
        let as_found = |range: Range| Range { was_empty, ..range };
        back(Ok(over.map(|ranges| ranges.into_iter().map(as_found).collect()))).await
    }

    async fn raise(
        &self,
        ranges: &[RangeId],
        scopes: &[FloorScope],
    ) -> Result<Over<()>, StoreError> {
        self.enter("raise").await?;
        let before = self.shared(self.memory.read_ranges(ranges).await?).answer;
        let raised = self.memory.raise(ranges, scopes).await?;
        let floors = self.floors().await?;
        let is_known =
            |scope: &&FloorScope| before.iter().any(|range| range.known.contains(*scope));
        let still = scopes.iter().filter(is_known);
        let still = still.filter_map(|scope| Some((scope.clone(), *floors.get(scope)?)));
        self.known.lock().unwrap().extend(still);
        back(Ok(raised)).await
    }

    async fn note_watched(&self, ranges: &[RangeId], epoch: Epoch) -> Result<(), StoreError> {
        self.enter("note watched").await?;
        back(self.memory.note_watched(ranges, epoch).await).await
    }

    async fn note_known(
        &self,
        range: RangeId,
        namings: &[(FloorScope, u64)],
    ) -> Result<(), StoreError> {
        self.enter("note known").await?;
        self.known.lock().unwrap().extend(namings.iter().cloned());
        // Every change of the range has a version of its own.
        self.memory.raise(&[range], &[]).await?;
        back(Ok(())).await
    }

    async fn enlist(&self, card: &HostCard) -> Result<Listing, StoreError> {
        self.enter("enlist").await?;
        let listing = {
            let (mut hosts, now) = (self.hosts.lock().unwrap(), Instant::now());
            hosts.retain(|_, (_, until)| now < *until + REMEMBERED);
            let was_listed = hosts.insert(card.id.clone(), (card.clone(), now + LISTED)).is_some();
            let alive = hosts.values().filter(|(_, until)| now < *until);
            let alive = alive.map(|(card, _)| card.clone()).collect();
            Listing { alive, was_listed, is_alone: hosts.len() == 1 }
        };
        back(Ok(listing)).await
    }

    async fn delist(&self, id: &str) -> Result<(), StoreError> {
        self.enter("delist").await?;
        self.hosts.lock().unwrap().remove(id);
        Ok(())
    }

    async fn note(&self, of: &str) -> Result<Option<Bytes>, StoreError> {
        self.memory.note(of).await
    }

    async fn write_note(&self, of: &str, note: &[u8], lasts: Duration) -> Result<(), StoreError> {
        self.memory.write_note(of, note, lasts).await
    }

    async fn replace_note(
        &self,
        of: &str,
        read: Option<&[u8]>,
        note: &[u8],
        lasts: Duration,
    ) -> Result<bool, StoreError> {
        self.memory.replace_note(of, read, note, lasts).await
    }

    fn now_ms(&self) -> u64 {
        self.memory.now_ms()
    }

    fn kind(&self) -> &'static str {
        "counted"
    }

    fn unreadable(&self) -> u64 {
        0
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_a_store() {
    corral_tests::conformance::run_all(&*Shared::new(None), "hours").await.unwrap();
}
