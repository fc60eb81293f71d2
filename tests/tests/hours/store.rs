//! The store that hosts share: the memory store, a millisecond away. It counts exchanges, refuses
//! all of them while it is stopped, and knows which hosts are alive, as Redis does.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use corral_host::store::{
    Beat, Claim, Claimed, Doomed, Envelope, Epoch, Filled, FloorScope, HostCard, Indexed, Intent,
    LeaseToken, LinkId, Listener, Listing, Mark, Marking, MemoryStore, Name, Naming, Over, Range,
    Removed, Store, StoreError, StoreTag,
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
    fn shared(&self, over: Over<Range>) -> Over<Range> {
        over.map(|mut range| {
            let known = self.known.lock().unwrap();
            let is_so =
                |(scope, floor): &(&FloorScope, &u64)| range.floors.get(scope) == Some(floor);
            range.known = known.iter().filter(is_so).map(|(scope, _)| scope.clone()).collect();
            if self.fault == Some(Fault::HidesNamings) {
                range.namings.clear();
            }
            range
        })
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

    async fn invalidate(
        &self,
        doomed: &[Doomed],
        marking: Marking,
    ) -> Result<Over<Removed>, StoreError> {
        self.enter("invalidate").await?;
        let forgets = self.fault == Some(Fault::ForgetsInvalidations);
        let doomed = if forgets { &[] } else { doomed };
        back(self.memory.invalidate(doomed, marking).await).await
    }

    async fn announce(&self, intent: &Intent, hold: Duration) -> Result<Over<()>, StoreError> {
        self.enter("announce").await?;
        back(self.memory.announce(intent, hold).await).await
    }

    async fn withdraw(&self, intent: &Intent) -> Result<(), StoreError> {
        self.enter("withdraw").await?;
        back(self.memory.withdraw(intent).await).await
    }

    async fn due(&self, hold: Duration) -> Result<Vec<Intent>, StoreError> {
        self.enter("due").await?;
        back(self.memory.due(hold).await).await
    }

    async fn settled(&self, name: &Name, at_most: Duration) {
        self.memory.settled(name, at_most).await;
        sleep(LEG).await;
    }

    async fn beat(&self) -> Result<Over<Beat>, StoreError> {
        self.enter("beat").await?;
        back(self.memory.beat().await).await
    }

    async fn confirm(&self) -> Result<Option<Epoch>, StoreError> {
        self.enter("confirm").await?;
        back(self.memory.confirm().await).await
    }

    async fn relinked(&self, since: LinkId) {
        self.memory.relinked(since).await;
    }

    fn relink(&self, why: &str) {
        self.memory.relink(why);
    }

    async fn range(&self) -> Result<Over<Range>, StoreError> {
        self.enter("range").await?;
        back(Ok(self.shared(self.memory.range().await?))).await
    }

    async fn publish(&self, namings: &[Naming]) -> Result<Over<Range>, StoreError> {
        self.enter("publish").await?;
        let was_empty = self.memory.beat().await?.answer.range_version == 0;
        let before = self.memory.range().await?.answer.floors;
        let published = self.memory.publish(namings).await?;
        if before.keys().any(|scope| !published.answer.floors.contains_key(scope)) {
            self.known.lock().unwrap().clear();
        }
        let over = self.shared(published);
        back(Ok(over.map(|range| Range { was_empty, ..range }))).await
    }

    async fn raise(&self, scopes: &[FloorScope]) -> Result<Over<()>, StoreError> {
        self.enter("raise").await?;
        let known = self.shared(self.memory.range().await?).answer.known;
        let raised = self.memory.raise(scopes).await?;
        let floors = self.memory.range().await?.answer.floors;
        let still = scopes.iter().filter(|scope| known.contains(scope));
        let still = still.filter_map(|scope| Some((scope.clone(), *floors.get(scope)?)));
        self.known.lock().unwrap().extend(still);
        back(Ok(raised)).await
    }

    async fn note_watched(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.enter("note watched").await?;
        back(self.memory.note_watched(epoch).await).await
    }

    async fn note_known(&self, namings: &[(FloorScope, u64)]) -> Result<(), StoreError> {
        self.enter("note known").await?;
        self.known.lock().unwrap().extend(namings.iter().cloned());
        // Every change of the range has a version of its own.
        self.memory.raise(&[]).await?;
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
