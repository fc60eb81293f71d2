//! A store that can be cut off: the demo can't kill a Redis that is not its own, so it cuts the
//! calls to it. While they are cut, every call uses up its time budget, as with a store that no
//! longer answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::sleep;

use crate::store::{
    Beat, Claim, Claimed, Doomed, Envelope, Epoch, Filled, FloorScope, HostCard, Indexed, Intent,
    LeaseToken, LinkId, Listener, Listing, Marking, Name, Naming, Over, Range, Removed, Store,
    StoreError, StoreTag, Tracked,
};

pub(super) struct Switch {
    store: Arc<dyn Store>,
    budget: Duration,
    cut: AtomicBool,
}

type StoreResult<T> = Result<T, StoreError>;

impl Switch {
    pub(super) fn new(store: Arc<dyn Store>, budget: Duration) -> Self {
        Self { store, budget, cut: AtomicBool::new(false) }
    }

    pub(super) fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Release);
    }

    async fn reach(&self) -> StoreResult<&dyn Store> {
        if self.cut.load(Ordering::Acquire) {
            sleep(self.budget).await;
            return Err(StoreError::Timeout(self.budget));
        }
        Ok(&*self.store)
    }
}

#[async_trait]
impl Store for Switch {
    async fn get(&self, name: &Name) -> StoreResult<Over<Option<Envelope>>> {
        self.reach().await?.get(name).await
    }

    async fn get_tracked(&self, name: &Name) -> StoreResult<Over<Tracked>> {
        self.reach().await?.get_tracked(name).await
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.store.listen(listener);
    }

    async fn claim(&self, claim: Claim<'_>) -> StoreResult<Over<Claimed>> {
        self.reach().await?.claim(claim).await
    }

    async fn fill(
        &self,
        name: &Name,
        token: LeaseToken,
        envelope: &Envelope,
    ) -> StoreResult<Over<Filled>> {
        self.reach().await?.fill(name, token, envelope).await
    }

    async fn renew(&self, name: &Name, token: LeaseToken, lease: Duration) -> StoreResult<bool> {
        self.reach().await?.renew(name, token, lease).await
    }

    async fn release(&self, name: &Name, token: LeaseToken) -> StoreResult<bool> {
        self.reach().await?.release(name, token).await
    }

    async fn lease_left(&self, name: &Name) -> StoreResult<Option<Duration>> {
        self.reach().await?.lease_left(name).await
    }

    async fn index(
        &self,
        name: &Name,
        tags: &[StoreTag],
        until_ms: u64,
    ) -> StoreResult<Over<Indexed>> {
        self.reach().await?.index(name, tags, until_ms).await
    }

    async fn invalidate(&self, doomed: &[Doomed], marking: Marking) -> StoreResult<Over<Removed>> {
        self.reach().await?.invalidate(doomed, marking).await
    }

    async fn announce(&self, intent: &Intent, hold: Duration) -> StoreResult<Over<()>> {
        self.reach().await?.announce(intent, hold).await
    }

    async fn withdraw(&self, intent: &Intent) -> StoreResult<()> {
        self.reach().await?.withdraw(intent).await
    }

    async fn due(&self, hold: Duration) -> StoreResult<Vec<Intent>> {
        self.reach().await?.due(hold).await
    }

    async fn settled(&self, name: &Name, at_most: Duration) {
        self.store.settled(name, at_most).await;
    }

    async fn beat(&self) -> StoreResult<Over<Beat>> {
        self.reach().await?.beat().await
    }

    async fn confirm(&self) -> StoreResult<Option<Epoch>> {
        self.reach().await?.confirm().await
    }

    async fn relinked(&self, since: LinkId) {
        self.store.relinked(since).await;
    }

    fn relink(&self, why: &str) {
        self.store.relink(why);
    }

    async fn range(&self) -> StoreResult<Over<Range>> {
        self.reach().await?.range().await
    }

    async fn publish(&self, namings: &[Naming]) -> StoreResult<Over<Range>> {
        self.reach().await?.publish(namings).await
    }

    async fn raise(&self, scopes: &[FloorScope]) -> StoreResult<Over<()>> {
        self.reach().await?.raise(scopes).await
    }

    async fn note_watched(&self, epoch: Epoch) -> StoreResult<()> {
        self.reach().await?.note_watched(epoch).await
    }

    async fn note_known(&self, namings: &[(FloorScope, u64)]) -> StoreResult<()> {
        self.reach().await?.note_known(namings).await
    }

    async fn enlist(&self, card: &HostCard) -> StoreResult<Listing> {
        self.reach().await?.enlist(card).await
    }

    async fn delist(&self, id: &str) -> StoreResult<()> {
        self.reach().await?.delist(id).await
    }

    async fn note(&self, of: &str) -> StoreResult<Option<Bytes>> {
        self.reach().await?.note(of).await
    }

    async fn write_note(&self, of: &str, note: &[u8], lasts: Duration) -> StoreResult<()> {
        self.reach().await?.write_note(of, note, lasts).await
    }

    async fn replace_note(
        &self,
        of: &str,
        read: Option<&[u8]>,
        note: &[u8],
        lasts: Duration,
    ) -> StoreResult<bool> {
        self.reach().await?.replace_note(of, read, note, lasts).await
    }

    fn now_ms(&self) -> u64 {
        self.store.now_ms()
    }

    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    fn unreadable(&self) -> u64 {
        self.store.unreadable()
    }
}
