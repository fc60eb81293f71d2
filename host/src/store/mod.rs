//! The store: the shared cache that all hosts see.
//!
//! Six operations, each atomic on one slot; those that tags, intents and ranges need; and two questions
//! by which a host tells whether the node may be believed. None can write without a lifetime: the
//! interface has no way to say it.
//!
//! The store knows nothing of policies or origins, and it judges nothing: every answer says over which
//! [link](LinkId) it came, and the cache decides what that is worth. It keeps its own clock: all times in
//! an [`Envelope`] are the store's, and a host asks [`Store::now_ms`] for its estimate of it.

mod envelope;
mod intent;
mod listeners;
mod memory;
mod range;
mod redis;
mod waiters;

use std::fmt;
use std::sync::Weak;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

#[cfg(feature = "http")]
pub(crate) use self::redis::understands;
pub use self::redis::{Audit, RedisStore, audit};
pub use crate::name::{
    Digest, FORMAT, Fingerprint, InvalidName, Key, NAME_LIMIT, Name, PolicyId, Prefix, Tag,
};
pub use envelope::{Envelope, Stamp, Unreadable};
pub use intent::{Intent, Target, UnreadableIntent};
pub use memory::MemoryStore;
pub use range::{HostCard, Listing, Naming, Range, Scope};

/// The proof of a lease: 128 random bits, unique to one claim.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u128);

impl Token {
    /// A token of these random bits.
    #[must_use]
    pub fn new(random: u128) -> Self {
        Self(random)
    }
}

/// 32 hexadecimal digits, as it stands in the store.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Tokens are a right to write: they stay out of logs.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The identity of a store's node in one life of it: every host derives the same number, and it changes
/// when the node restarts, is promoted or demoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// The connections to a node, from when they were opened until they are replaced, all together. A number
/// that this process never uses twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkId(pub u64);

/// An answer, and the link over which it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over<T> {
    /// The link.
    pub link: LinkId,
    /// What was answered.
    pub answer: T,
}

impl<T> Over<T> {
    /// The same link with another answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Over<U> {
        Over { link: self.link, answer: change(self.answer) }
    }
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// Its identity; `None` if the server hides it.
    pub epoch: Option<Epoch>,
    /// Its clock, in ms since the Unix epoch.
    pub now_ms: u64,
    /// It takes writes and follows nobody.
    pub is_primary: bool,
    /// Its replicas, or traces of an earlier role.
    pub replicas: Replicas,
    /// What [`Range::version`] is at present; 0: the range is empty.
    pub range_version: u64,
}

/// What a node shows of others that may take its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replicas {
    /// It has no replica and never was one.
    None,
    /// It has replicas or was one, and those that it has answered a short while ago.
    Answering,
    /// A replica that acknowledged something before is silent.
    Silent,
}

/// The longest lease that anybody may ask for. One that has longer to live is held by nobody: the node's
/// clock was set back since it was granted (race N).
pub const LONGEST_LEASE: Duration = Duration::from_secs(60);

/// What a host asks with `claim`.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The name to fill.
    pub name: &'a Name,
    /// The token that shall prove the lease.
    pub token: Token,
    /// How long the lease lives unless renewed.
    pub lease: Duration,
    /// The newest `loaded_at_ms` that the caller knows; 0: none. A newer value is handed back
    /// instead of a lease.
    pub seen_ms: u64,
    /// Whether a held lease is respected.
    pub mode: Mode,
}

/// Whether a claim respects a lease that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A reader: only when nobody holds it.
    IfFree,
    /// A writer: whoever holds it loses it, and no value is handed back.
    TakeOver,
}

/// The answer to a [`Claim`].
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// The lease is ours. `now_ms` is the store's clock at the grant: a load that begins now was
    /// loaded no earlier than that.
    Granted {
        /// The store's clock.
        now_ms: u64,
    },
    /// Somebody holds it for so long, unless renewed.
    Held {
        /// What is left of it.
        remaining: Duration,
    },
    /// A value newer than `seen_ms`.
    Found(Envelope),
}

/// The answer to a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Stored; the lease is spent.
    Stored,
    /// The lease is no longer this token's; nothing was stored.
    Rejected,
}

/// A tag was invalidated a short while ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The node's clock at that moment, in ms since the Unix epoch.
    pub at_ms: u64,
    /// The node's epoch, as the host knew it that wrote the mark.
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

/// Something that an invalidation removes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Doomed {
    /// The value and the lease of one name.
    Name(Name),
    /// Those of every name that carries the tag.
    Tag(Tag),
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

/// The answer to a [`Store::get_tracked`].
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked {
    /// As [`Store::get`] answers.
    pub envelope: Option<Envelope>,
    /// Whether the next change under the name will be heard of.
    pub heard: bool,
}

/// Who wants to hear of changes in a store. It is called from where word arrives: it must not block.
pub trait Listener: Send + Sync {
    /// What stands under this name was replaced or removed.
    fn changed(&self, name: &str);

    /// Every value may have changed: the store was emptied, or word of changes may have been lost.
    fn all_changed(&self);
}

/// A store operation that did not happen, or of which it is unknown whether it did.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No connection.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// No answer within the budget; it may or may not have happened.
    #[error("no answer from the store within {0:?}")]
    Timeout(Duration),
    /// It is not asked, or its answer does not count: the node is not trusted at this moment.
    #[error("the store is not trusted at present")]
    Distrusted,
    /// The server answered with an error (`OOM`, `READONLY`, `WRONGTYPE`, …).
    #[error("the store refused: {0}")]
    Refused(String),
}

/// The shared cache. An exchange ends when the store has been silent for its time budget; every call is
/// one exchange, except that an invalidation of tags takes one or more for each chunk of names.
#[async_trait]
pub trait Store: Send + Sync {
    /// The envelope under `name`. One that can't be read is nothing, and counted.
    async fn get(&self, name: &Name) -> Result<Over<Option<Envelope>>, StoreError>;

    /// [`Store::get`], and asks for word of the next change under the name. That comes once, to every
    /// listener; it may come before the answer to this.
    async fn get_tracked(&self, name: &Name) -> Result<Over<Tracked>, StoreError> {
        let got = self.get(name).await?;
        Ok(got.map(|envelope| Tracked { envelope, heard: false }))
    }

    /// From now on `listener` hears of what changes: by a call to this store, before that call has
    /// succeeded; by anybody else, where [`Store::get_tracked`] asked for it, as soon as word of it
    /// arrives. When word may have been lost it hears that everything changed, before anything that
    /// was asked for later is answered.
    fn listen(&self, listener: Weak<dyn Listener>) {
        drop(listener);
    }

    /// Asks for the right to fill; looks again first.
    async fn claim(&self, claim: Claim<'_>) -> Result<Over<Claimed>, StoreError>;

    /// Stores `envelope` only while the lease still holds `token`, and spends the lease. The name
    /// lives until `envelope.stale_until_ms`; if that is over, the fill is accepted all the same
    /// and leaves the name without a value.
    async fn fill(
        &self,
        name: &Name,
        token: Token,
        envelope: &Envelope,
    ) -> Result<Over<Filled>, StoreError>;

    /// Extends a lease that is still `token`'s; false when it is not.
    async fn renew(&self, name: &Name, token: Token, lease: Duration) -> Result<bool, StoreError>;

    /// Gives a lease back if it is still `token`'s; false when it was not.
    async fn release(&self, name: &Name, token: Token) -> Result<bool, StoreError>;

    /// What is left of the lease on `name`, if anybody holds one. Changes nothing.
    async fn lease_left(&self, name: &Name) -> Result<Option<Duration>, StoreError>;

    /// Writes `name` into each tag's index until `expires_at_ms`, trims expired members, raises the
    /// score of one that is there, never shortens an index's lifetime.
    async fn index(
        &self,
        name: &Name,
        tags: &[Tag],
        expires_at_ms: u64,
    ) -> Result<Over<Indexed>, StoreError>;

    /// Removes values *and leases*, so that fills in progress are rejected. Of a tag: sets its mark,
    /// then removes every name of its index in bounded chunks. Members leave the index only after their
    /// names are gone, only while no newer mark stands and only with the score that was read, so that a
    /// repeat finishes what a crash left and an overlapping invalidation forgets nothing (race Q).
    async fn invalidate(
        &self,
        doomed: &[Doomed],
        marking: Marking,
    ) -> Result<Over<Removed>, StoreError>;

    /// Writes `intent`, to fall due after `hold`; one that is there already falls due later, never
    /// earlier. It is kept for longer than any value lives.
    async fn announce(&self, intent: &Intent, hold: Duration) -> Result<Over<()>, StoreError>;

    /// Removes `intent`.
    async fn withdraw(&self, intent: &Intent) -> Result<(), StoreError>;

    /// Some of the intents whose time has come. They fall due again after `hold`: who asks carries
    /// them out and withdraws them, and should it be lost, another one does. What can't be read is
    /// removed and counted.
    async fn due(&self, hold: Duration) -> Result<Vec<Intent>, StoreError>;

    /// Returns when the lease on `name` may have ended, at the latest after `at_most`. A hint: the
    /// caller claims again and looks.
    async fn settled(&self, name: &Name, at_most: Duration);

    /// Asks every connection of the link for its node's identity and role, and one of them for the rest
    /// of a beat. Connections that disagree are closed, and the error says so.
    async fn beat(&self) -> Result<Over<Beat>, StoreError>;

    /// The epoch of the node that a connection reaches which is opened anew, through the address as it
    /// is resolved now; `None` if the server hides its identity.
    async fn confirm(&self) -> Result<Option<Epoch>, StoreError>;

    /// Returns when a link other than this one is in use, or may be.
    async fn relinked(&self, since: LinkId);

    /// Closes the link; the next one is opened at once.
    fn relink(&self, why: &str);

    /// What must be known before values of the node are believed.
    async fn range(&self) -> Result<Over<Range>, StoreError>;

    /// Writes these namings into the range as used at this moment, and a floor for each of them and for
    /// everything where there is none; answers the range as it is then. A naming that is not in use any
    /// more is removed with its floor, and what was noted as known is noted no more: its host may be alive.
    async fn publish(&self, namings: &[Naming]) -> Result<Over<Range>, StoreError>;

    /// Writes new floors. A naming that is known stays known.
    async fn raise(&self, scopes: &[Scope]) -> Result<Over<()>, StoreError>;

    /// Notes in the range that this epoch has been watched for as long as its fence lasts.
    async fn note_watched(&self, epoch: Epoch) -> Result<(), StoreError>;

    /// Notes in the range that every host knows these namings, with the floors that they have: whoever finds
    /// that need not wait before it fills under them.
    async fn note_known(&self, namings: &[(Scope, u64)]) -> Result<(), StoreError>;

    /// Lists this host as alive, and answers who else is.
    async fn enlist(&self, card: &HostCard) -> Result<Listing, StoreError>;

    /// Takes this host off the list.
    async fn delist(&self, id: &str) -> Result<(), StoreError>;

    /// A small note of this deployment, such as the origin's identity; `None` if there is none.
    async fn note(&self, of: &str) -> Result<Option<Bytes>, StoreError>;

    /// Writes a note, for `lasts`.
    async fn write_note(&self, of: &str, note: &[u8], lasts: Duration) -> Result<(), StoreError>;

    /// What follows from how the server is set up that no promise of the cache covers, as a sentence about it.
    async fn concern(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// This host's estimate of the store's clock, milliseconds since the Unix epoch. Before the
    /// store answered for the first time it is this machine's clock, for want of a better one. It
    /// follows a step of the store's clock in either direction.
    fn now_ms(&self) -> u64;

    /// `memory` or `redis`, for people.
    fn kind(&self) -> &'static str;

    /// Envelopes and intents met that could not be read, since the start.
    fn unreadable(&self) -> u64;
}
