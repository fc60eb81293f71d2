//! A store with one of its protections switched off.

use std::collections::HashMap;
use std::sync::{Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use corral_host::store::{
    Beat, Claim, Claimed, Confirmation, Envelope, Epoch, Filled, FloorScope, HostCard, Indexed,
    Intent, LeaseToken, LinkId, Listener, Listing, Marking, MemoryStore, Mode, Name, Naming, Over,
    Range, RangeId, Removed, Remover, Store, StoreError, StoreTag, Tracked,
};

/// A protection to switch off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    FillWithoutLease,
    InvalidationLeavesLeases,
    ClaimDoesNotLook,
    EveryClaimTakesOver,
    AnyoneReleases,
    NoMark,
    IndexForgets,
    OnlyTheFirstTag,
    FloorsStand,
    TellsNobody,
}

/// A store with one fault, which the suite and the model must notice.
pub(super) struct Faulty {
    inner: MemoryStore,
    fault: Fault,
    granted: Mutex<HashMap<Name, LeaseToken>>,
}

impl Faulty {
    pub(super) fn new(fault: Fault) -> Self {
        Self { inner: MemoryStore::default(), fault, granted: Mutex::default() }
    }

    async fn seize(&self, name: &Name, token: LeaseToken) {
        let lease = Duration::from_secs(60);
        let claim = Claim { name, token, lease, seen_ms: 0, mode: Mode::TakeOver };
        self.inner.claim(claim).await.unwrap();
    }

    async fn leases(&self) -> Vec<(Name, LeaseToken)> {
        let granted = self.granted.lock().unwrap().clone();
        let mut held = Vec::new();
        for (name, token) in granted {
            if self.inner.renew(&name, token, Duration::from_secs(60)).await.unwrap() {
                held.push((name, token));
            }
        }
        held
    }
}

#[async_trait]
impl Store for Faulty {
    async fn get(&self, name: &Name) -> Result<Over<Option<Envelope>>, StoreError> {
        self.inner.get(name).await
    }

    async fn get_tracked(&self, name: &Name) -> Result<Over<Tracked>, StoreError> {
        self.inner.get_tracked(name).await
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        if self.fault != Fault::TellsNobody {
            self.inner.listen(listener);
        }
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Over<Claimed>, StoreError> {
        let claim = match self.fault {
            Fault::ClaimDoesNotLook => Claim { seen_ms: u64::MAX, ..claim },
            Fault::EveryClaimTakesOver => Claim { mode: Mode::TakeOver, ..claim },
            Fault::FillWithoutLease
            | Fault::InvalidationLeavesLeases
            | Fault::AnyoneReleases
            | Fault::NoMark
            | Fault::IndexForgets
            | Fault::OnlyTheFirstTag
            | Fault::FloorsStand
            | Fault::TellsNobody => claim,
        };
        let claimed = self.inner.claim(claim).await?;
        if matches!(claimed.answer, Claimed::Granted { .. }) {
            self.granted.lock().unwrap().insert(claim.name.clone(), claim.token);
        }
        Ok(claimed)
    }

    async fn fill(
        &self,
        name: &Name,
        token: LeaseToken,
        envelope: &Envelope,
    ) -> Result<Over<Filled>, StoreError> {
        if self.fault == Fault::FillWithoutLease {
            self.seize(name, token).await;
        }
        self.inner.fill(name, token, envelope).await
    }

    async fn renew(
        &self,
        name: &Name,
        token: LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        self.inner.renew(name, token, lease).await
    }

    async fn release(&self, name: &Name, token: LeaseToken) -> Result<bool, StoreError> {
        if self.fault == Fault::AnyoneReleases {
            self.seize(name, token).await;
        }
        self.inner.release(name, token).await
    }

    async fn lease_left(&self, name: &Name) -> Result<Option<Duration>, StoreError> {
        self.inner.lease_left(name).await
    }

    async fn remove(&self, names: &[Name]) -> Result<Over<Removed>, StoreError> {
        if self.fault != Fault::InvalidationLeavesLeases {
            return self.inner.remove(names).await;
        }
        let leases = self.leases().await;
        let removed = self.inner.remove(names).await;
        for (name, token) in leases {
            self.seize(&name, token).await;
        }
        removed
    }

    async fn walk(
        &self,
        tags: &[StoreTag],
        marking: Marking,
        remover: &dyn Remover,
    ) -> Result<Over<()>, StoreError> {
        self.inner.walk(tags, marking, remover).await
    }

    async fn index(
        &self,
        name: &Name,
        tags: &[StoreTag],
        expires_at_ms: u64,
    ) -> Result<Over<Indexed>, StoreError> {
        let tags = match self.fault {
            Fault::IndexForgets => &[],
            Fault::OnlyTheFirstTag => &tags[..tags.len().min(1)],
            Fault::FillWithoutLease
            | Fault::InvalidationLeavesLeases
            | Fault::ClaimDoesNotLook
            | Fault::EveryClaimTakesOver
            | Fault::AnyoneReleases
            | Fault::NoMark
            | Fault::FloorsStand
            | Fault::TellsNobody => tags,
        };
        let mut indexed = self.inner.index(name, tags, expires_at_ms).await?;
        if self.fault == Fault::NoMark {
            indexed.answer.marks.clear();
        }
        Ok(indexed)
    }

    async fn announce(
        &self,
        range: RangeId,
        intent: &Intent,
        hold: Duration,
    ) -> Result<Over<()>, StoreError> {
        self.inner.announce(range, intent, hold).await
    }

    async fn withdraw(&self, range: RangeId, intent: &Intent) -> Result<(), StoreError> {
        self.inner.withdraw(range, intent).await
    }

    async fn due(
        &self,
        ranges: &[RangeId],
        hold: Duration,
    ) -> Result<Vec<(RangeId, Intent)>, StoreError> {
        self.inner.due(ranges, hold).await
    }

    async fn settled(&self, name: &Name, at_most: Duration) {
        self.inner.settled(name, at_most).await;
    }

    async fn beat(&self, ranges: &[RangeId]) -> Result<Over<Beat>, StoreError> {
        self.inner.beat(ranges).await
    }

    async fn confirm(&self) -> Result<Confirmation, StoreError> {
        self.inner.confirm().await
    }

    async fn relinked(&self, since: LinkId) {
        self.inner.relinked(since).await;
    }

    fn relink(&self, why: &str) {
        self.inner.relink(why);
    }

    async fn read_ranges(&self, ranges: &[RangeId]) -> Result<Over<Vec<Range>>, StoreError> {
        self.inner.read_ranges(ranges).await
    }

    async fn publish(
        &self,
        ranges: &[RangeId],
        namings: &[Naming],
    ) -> Result<Over<Vec<Range>>, StoreError> {
        self.inner.publish(ranges, namings).await
    }

    async fn raise(
        &self,
        ranges: &[RangeId],
        scopes: &[FloorScope],
    ) -> Result<Over<()>, StoreError> {
        let scopes = if self.fault == Fault::FloorsStand { &[] } else { scopes };
        self.inner.raise(ranges, scopes).await
    }

    async fn note_watched(&self, ranges: &[RangeId], epoch: Epoch) -> Result<(), StoreError> {
        self.inner.note_watched(ranges, epoch).await
    }

    async fn note_known(
        &self,
        range: RangeId,
        namings: &[(FloorScope, u64)],
    ) -> Result<(), StoreError> {
        self.inner.note_known(range, namings).await
    }

    async fn enlist(&self, card: &HostCard) -> Result<Listing, StoreError> {
        self.inner.enlist(card).await
    }

    async fn delist(&self, id: &str) -> Result<(), StoreError> {
        self.inner.delist(id).await
    }

    async fn note(&self, of: &str) -> Result<Option<Bytes>, StoreError> {
        self.inner.note(of).await
    }

    async fn write_note(&self, of: &str, note: &[u8], lasts: Duration) -> Result<(), StoreError> {
        self.inner.write_note(of, note, lasts).await
    }

    async fn replace_note(
        &self,
        of: &str,
        read: Option<&[u8]>,
        note: &[u8],
        lasts: Duration,
    ) -> Result<bool, StoreError> {
        self.inner.replace_note(of, read, note, lasts).await
    }

    fn now_ms(&self) -> u64 {
        self.inner.now_ms()
    }

    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn unreadable(&self) -> u64 {
        self.inner.unreadable()
    }
}
