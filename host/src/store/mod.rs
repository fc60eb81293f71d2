//! The store: the shared cache that all hosts see.
//!
//! The interface has six operations, each atomic on one slot; the operations that tags, intents and ranges
//! need; and two questions by which a host learns whether the node may be believed. No operation can write
//! without a lifetime: the interface has no way to say it.
//!
//! The store knows nothing of policies or origins, and it judges nothing: every answer says over which
//! [link](LinkId) it came, and the cache decides what the answer is worth. The store keeps its own clock: all
//! times in an [`Envelope`] are the store's, and [`Store::now_ms`] is a host's estimate of that clock.

mod beat;
mod card;
mod envelope;
mod error;
mod intent;
mod listeners;
mod memory;
mod range;
mod redis;
mod topology;
mod waiters;

use std::fmt;
use std::sync::Weak;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

#[cfg(feature = "http")]
pub(crate) use self::redis::understands;
pub use self::redis::{Audit, RedisCluster, RedisStore, Untold, audit, audit_member};
pub use crate::name::{
    Digest, FORMAT, Fingerprint, InvalidName, NAME_LIMIT, Name, PolicyId, Prefix, StoreKey,
    StoreTag,
};
pub use crate::slot::{HashSlot, Layout, RANGES, RangeId, SLOTS};
pub use beat::{Beat, Confirmation, Replicas};
pub use card::{FleetCard, PartProgress, ReadTally, RolloutPart};
pub use envelope::{Envelope, Stamp, Unreadable};
pub use error::StoreError;
pub use intent::{Intent, IntentTarget, UnreadableIntent};
pub use listeners::{Listener, Tracked};
pub use memory::MemoryStore;
pub(crate) use memory::wall_clock_ms;
pub use range::{FloorScope, HostCard, Listing, Naming, Range};
pub use topology::{NodeEntry, SingleNode, SlotMap, Topology, connect};

/// The proof of a lease: 128 random bits, unique to one claim.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(u128);

impl LeaseToken {
    /// A token of these random bits.
    #[must_use]
    pub fn new(random: u128) -> Self {
        Self(random)
    }
}

/// 32 hexadecimal digits, as the token stands in the store.
impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Tokens are a right to write: they stay out of logs.
impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseToken(…)")
    }
}

/// The identity of a store's node in one life of it: every host derives the same number, and it changes
/// when the node restarts, is promoted or demoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// The number of a link: all connections to a node together, from when they were opened until they are
/// replaced. This process never uses a number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkId(pub u64);

/// An answer, and the link over which it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over<T> {
    /// The link over which the answer came.
    pub link: LinkId,
    /// The answer.
    pub answer: T,
}

impl<T> Over<T> {
    /// Changes the answer and keeps the link.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Over<U> {
        Over { link: self.link, answer: change(self.answer) }
    }
}

/// The longest lease that a claim may ask for. A lease that has longer to live counts as free: the node's
/// clock was set back since it was granted (race N).
pub const LONGEST_LEASE: Duration = Duration::from_secs(60);

/// The arguments of [`Store::claim`].
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The name to fill.
    pub name: &'a Name,
    /// The token that will prove the lease.
    pub token: LeaseToken,
    /// How long the lease lives unless renewed.
    pub lease: Duration,
    /// The newest `loaded_at_ms` that the caller knows; 0 if it knows none. A newer value is handed back
    /// instead of a lease.
    pub seen_ms: u64,
    /// Whether a held lease is respected.
    pub mode: Mode,
}

/// Whether a claim respects a lease that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// For a reader: the lease is granted only if it is free.
    IfFree,
    /// For a writer: the lease is granted even if it is held, its holder loses it, and no value is handed
    /// back.
    TakeOver,
}

/// The answer to a [`Claim`].
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// The caller has the lease. `now_ms` is the store's clock at the grant: what the caller loads from now
    /// on was loaded no earlier than that.
    Granted {
        /// The store's clock.
        now_ms: u64,
    },
    /// Another holder has the lease.
    Held {
        /// How long the lease lasts unless it is renewed.
        remaining: Duration,
    },
    /// A value newer than `seen_ms`.
    Found(Envelope),
}

/// The answer to a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// The envelope is stored and the lease is spent.
    Stored,
    /// The lease no longer holds this token; nothing was stored.
    Rejected,
}

/// A note that a tag was invalidated a short while ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The node's clock at that moment, in ms since the Unix epoch.
    pub at_ms: u64,
    /// The node's epoch, as the host that wrote the mark knew it.
    pub epoch: Epoch,
}

/// The answer to an index write: the name stands in the index of every tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// The node's clock, in ms since the Unix epoch.
    pub now_ms: u64,
    /// The marks of those tags that have one.
    pub marks: Vec<Mark>,
}

/// Removes the names that a walk finds in indexes: they may lie on other nodes than the index.
#[async_trait]
pub trait Remover: Send + Sync {
    /// Removes the values and leases of these names, each on its node; says of each name whether it is gone.
    async fn remove_members(&self, names: &[Name]) -> Vec<bool>;
}

/// How an invalidation marks tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marking {
    /// How long a mark lives: longer than any load.
    pub lasts: Duration,
    /// The node's epoch, for [`Mark::epoch`].
    pub epoch: Epoch,
}

/// How many values and leases an invalidation removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names that had a value or a lease.
    pub names: u64,
}

/// The shared cache. An exchange ends once the store has been silent for its time budget. Every call is one
/// exchange, except that a removal takes one for each chunk of names, and a walk several for each chunk.
#[async_trait]
pub trait Store: Send + Sync {
    /// The envelope under `name`; `None` if there is none or if it can't be read, which is counted.
    async fn get(&self, name: &Name) -> Result<Over<Option<Envelope>>, StoreError>;

    /// Like [`Store::get`], and asks for a notification of the next change under the name. The notification
    /// comes once, to every listener, and it may come before the answer to this call.
    async fn get_tracked(&self, name: &Name) -> Result<Over<Tracked>, StoreError> {
        let got = self.get(name).await?;
        Ok(got.map(|envelope| Tracked { envelope, heard: false }))
    }

    /// From now on `listener` hears of changes: of a change by a call to this store, before that call has
    /// succeeded; of a change by another process, as soon as its notification arrives, where
    /// [`Store::get_tracked`] asked for one. If notifications may have been lost, it hears that everything
    /// changed, before a later question is answered.
    fn listen(&self, listener: Weak<dyn Listener>) {
        drop(listener);
    }

    /// Asks for the right to fill, after looking again for a newer value (race G).
    async fn claim(&self, claim: Claim<'_>) -> Result<Over<Claimed>, StoreError>;

    /// Stores `envelope` only while the lease still holds `token`, and spends the lease (races A and C). The
    /// name lives until `envelope.stale_until_ms`. If that moment is past, the fill is still accepted and
    /// leaves the name without a value.
    async fn fill(
        &self,
        name: &Name,
        token: LeaseToken,
        envelope: &Envelope,
    ) -> Result<Over<Filled>, StoreError>;

    /// Extends a lease that still holds `token`; `false` if it does not.
    async fn renew(
        &self,
        name: &Name,
        token: LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError>;

    /// Gives back a lease that still holds `token`; `false` if it does not (race D).
    async fn release(&self, name: &Name, token: LeaseToken) -> Result<bool, StoreError>;

    /// What is left of the lease on `name`; `None` if it is free. Changes nothing.
    async fn lease_left(&self, name: &Name) -> Result<Option<Duration>, StoreError>;

    /// Writes `name` into each tag's index until `expires_at_ms`. Trims expired members, raises the score of
    /// a known member, and never shortens an index's lifetime.
    async fn index(
        &self,
        name: &Name,
        tags: &[StoreTag],
        expires_at_ms: u64,
    ) -> Result<Over<Indexed>, StoreError>;

    /// Removes the values *and the leases* of these names, so that fills in progress are rejected.
    async fn remove(&self, names: &[Name]) -> Result<Over<Removed>, StoreError>;

    /// Sets the marks of these tags, then hands every name of their indexes to `remover`, in bounded chunks.
    /// Members leave the index only after their names are gone, only while no newer mark stands, and only
    /// with the score that was read, so that a repeat finishes what a crash left and an overlapping
    /// invalidation forgets nothing (race Q).
    async fn walk(
        &self,
        tags: &[StoreTag],
        marking: Marking,
        remover: &dyn Remover,
    ) -> Result<Over<()>, StoreError>;

    /// Writes `intent` into a range, where it falls due after `hold`. An intent that is already there is moved
    /// later, never earlier. An intent is kept for longer than any value lives.
    async fn announce(
        &self,
        range: RangeId,
        intent: &Intent,
        hold: Duration,
    ) -> Result<Over<()>, StoreError>;

    /// Removes `intent` from a range.
    async fn withdraw(&self, range: RangeId, intent: &Intent) -> Result<(), StoreError>;

    /// Takes some of the intents of these ranges that are due, each with its range. The caller carries out
    /// each intent and withdraws it. An intent that is not withdrawn, because its caller was lost, falls due
    /// again after `hold`, for any host. An intent that can't be read is removed and counted.
    async fn due(
        &self,
        ranges: &[RangeId],
        hold: Duration,
    ) -> Result<Vec<(RangeId, Intent)>, StoreError>;

    /// Returns when the lease on `name` may have ended, after `at_most` at the latest. This is a hint: the
    /// caller has to look again.
    async fn settled(&self, name: &Name, at_most: Duration);

    /// Asks connections of the link for their node's identity and role, and one of them for the rest of a
    /// beat: the node's clock and the versions of these ranges. If they disagree, the link is closed, and the
    /// error says so.
    async fn beat(&self, ranges: &[RangeId]) -> Result<Over<Beat>, StoreError>;

    /// Finds out whether the node still has its place.
    async fn confirm(&self) -> Result<Confirmation, StoreError>;

    /// Returns when another link than `since` is in use, or may be.
    async fn relinked(&self, since: LinkId);

    /// Closes the link; the next one is opened at once.
    fn relink(&self, why: &str);

    /// Reads what must be known before values of these ranges are believed, in order.
    async fn read_ranges(&self, ranges: &[RangeId]) -> Result<Over<Vec<Range>>, StoreError>;

    /// Writes these namings into each of the ranges as used at this moment, and a floor for each of them and
    /// for everything where there is none; answers the ranges as they are then, in order. A naming that is no
    /// longer in use is removed with its floor, and then no naming counts as known any more: a host that uses
    /// the removed one may still be alive.
    async fn publish(
        &self,
        ranges: &[RangeId],
        namings: &[Naming],
    ) -> Result<Over<Vec<Range>>, StoreError>;

    /// Writes new floors into each of the ranges. A naming that is noted as known stays so.
    async fn raise(
        &self,
        ranges: &[RangeId],
        scopes: &[FloorScope],
    ) -> Result<Over<()>, StoreError>;

    /// Notes in the ranges that this epoch has been watched for as long as its fence lasts.
    async fn note_watched(&self, ranges: &[RangeId], epoch: Epoch) -> Result<(), StoreError>;

    /// Notes in a range that every host knows these namings, with the floors that they have: a host that
    /// finds the note fills under them without waiting.
    async fn note_known(
        &self,
        range: RangeId,
        namings: &[(FloorScope, u64)],
    ) -> Result<(), StoreError>;

    /// Lists this host as alive, and answers the hosts that are.
    async fn enlist(&self, card: &HostCard) -> Result<Listing, StoreError>;

    /// Takes this host off the list.
    async fn delist(&self, id: &str) -> Result<(), StoreError>;

    /// A small note of this deployment, such as the origin's identity; `None` if there is none.
    async fn note(&self, of: &str) -> Result<Option<Bytes>, StoreError>;

    /// Writes a note, for `lasts`.
    async fn write_note(&self, of: &str, note: &[u8], lasts: Duration) -> Result<(), StoreError>;

    /// Writes a note, for `lasts`, only in place of what the caller has read: a note, or none. Answers whether
    /// it was written. A store without this operation takes no rollouts.
    async fn replace_note(
        &self,
        _of: &str,
        _read: Option<&[u8]>,
        _note: &[u8],
        _lasts: Duration,
    ) -> Result<bool, StoreError> {
        Err(StoreError::Refused("this store does not exchange notes".to_owned()))
    }

    /// What the server's settings put outside the cache's promises, as a sentence about the server.
    async fn concern(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// This host's estimate of the store's clock, in milliseconds since the Unix epoch: this machine's clock
    /// until the store has answered for the first time. It follows a step of the store's clock in either
    /// direction (race N).
    fn now_ms(&self) -> u64;

    /// `memory` or `redis`, for logs and answers.
    fn kind(&self) -> &'static str;

    /// The number of envelopes and intents since the start that could not be read.
    fn unreadable(&self) -> u64;
}
