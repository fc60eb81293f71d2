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
    Beat, Claim, Claimed, Doomed, Envelope, Epoch, Filled, HostCard, Indexed, Intent, LinkId,
    Listener, Listing, Marking, Name, Naming, Over, Range, Removed, Scope, Store, StoreError, Tag,
    Token, Tracked,
};

pub(super) struct Switch {
    store: Arc<dyn Store>,
    budget: Duration,
    cut: AtomicBool,
}

type Answered<T> = Result<T, StoreError>;

impl Switch {
    pub(super) fn new(store: Arc<dyn Store>, budget: Duration) -> Self {
        Self { store, budget, cut: AtomicBool::new(false) }
    }

    pub(super) fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Release);
    }

    async fn reach(&self) -> Answered<&dyn Store> {
        if self.cut.load(Ordering::Acquire) {
            sleep(self.budget).await;
            return Err(StoreError::Timeout(self.budget));
        }
        Ok(&*self.store)
    }
}

#[async_trait]
impl Store for Switch {
    async fn get(&self, name: &Name) -> Answered<Over<Option<Envelope>>> {
        self.reach().await?.get(name).await
    }

    async fn get_tracked(&self, name: &Name) -> Answered<Over<Tracked>> {
        self.reach().await?.get_tracked(name).await
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.store.listen(listener);
    }

    async fn claim(&self, claim: Claim<'_>) -> Answered<Over<Claimed>> {
        self.reach().await?.claim(claim).await
    }

    async fn fill(&self, name: &Name, token: Token, envelope: &Envelope) -> Answered<Over<Filled>> {
        self.reach().await?.fill(name, token, envelope).await
    }

    async fn renew(&self, name: &Name, token: Token, lease: Duration) -> Answered<bool> {
        self.reach().await?.renew(name, token, lease).await
    }

    async fn release(&self, name: &Name, token: Token) -> Answered<bool> {
        self.reach().await?.release(name, token).await
    }

    async fn lease_left(&self, name: &Name) -> Answered<Option<Duration>> {
        self.reach().await?.lease_left(name).await
    }

    async fn index(&self, name: &Name, tags: &[Tag], until_ms: u64) -> Answered<Over<Indexed>> {
        self.reach().await?.index(name, tags, until_ms).await
    }

    async fn invalidate(&self, doomed: &[Doomed], marking: Marking) -> Answered<Over<Removed>> {
        self.reach().await?.invalidate(doomed, marking).await
    }

    async fn announce(&self, intent: &Intent, hold: Duration) -> Answered<Over<()>> {
        self.reach().await?.announce(intent, hold).await
    }

    async fn withdraw(&self, intent: &Intent) -> Answered<()> {
        self.reach().await?.withdraw(intent).await
    }

    async fn due(&self, hold: Duration) -> Answered<Vec<Intent>> {
        self.reach().await?.due(hold).await
    }

    async fn settled(&self, name: &Name, at_most: Duration) {
        self.store.settled(name, at_most).await;
    }

    async fn beat(&self) -> Answered<Over<Beat>> {
        self.reach().await?.beat().await
    }

    async fn confirm(&self) -> Answered<Option<Epoch>> {
        self.reach().await?.confirm().await
    }

    async fn relinked(&self, since: LinkId) {
        self.store.relinked(since).await;
    }

    fn relink(&self, why: &str) {
        self.store.relink(why);
    }

    async fn range(&self) -> Answered<Over<Range>> {
        self.reach().await?.range().await
    }

    async fn publish(&self, namings: &[Naming]) -> Answered<Over<Range>> {
        self.reach().await?.publish(namings).await
    }

    async fn raise(&self, scopes: &[Scope]) -> Answered<Over<()>> {
        self.reach().await?.raise(scopes).await
    }

    async fn note_watched(&self, epoch: Epoch) -> Answered<()> {
        self.reach().await?.note_watched(epoch).await
    }

    async fn note_known(&self, namings: &[(Scope, u64)]) -> Answered<()> {
        self.reach().await?.note_known(namings).await
    }

    async fn enlist(&self, card: &HostCard) -> Answered<Listing> {
        self.reach().await?.enlist(card).await
    }

    async fn delist(&self, id: &str) -> Answered<()> {
        self.reach().await?.delist(id).await
    }

    async fn note(&self, of: &str) -> Answered<Option<Bytes>> {
        self.reach().await?.note(of).await
    }

    async fn write_note(&self, of: &str, note: &[u8], lasts: Duration) -> Answered<()> {
        self.reach().await?.write_note(of, note, lasts).await
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
