//! The store: the shared cache that all hosts see.
//!
//! Six operations, each atomic on one slot, the two that tags need and the three of intents. None
//! can write without a lifetime: the interface has no way to say it.
//!
//! The store knows nothing of policies or origins. It keeps its own clock: all times in an
//! [`Envelope`] are the store's, and a host asks [`Store::now_ms`] for its estimate of it.

mod envelope;
mod intent;
mod listeners;
mod memory;
mod redis;
mod waiters;

use std::fmt;
use std::sync::Weak;
use std::time::Duration;

use async_trait::async_trait;

pub use self::redis::{Audit, RedisStore, audit};
pub use crate::name::{InvalidName, Key, NAME_LIMIT, Tag};
pub use envelope::{Envelope, Unreadable};
pub use intent::{Doomed, Intent, UnreadableIntent};
pub use memory::MemoryStore;

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

/// What a host asks with `claim`.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The key to fill.
    pub key: &'a Key,
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

/// The answer to an index write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indexed {
    /// The key stands in the tag's index.
    Clear,
    /// It does, and the tag was invalidated a short while ago (its mark lives): what was loaded
    /// before this answer must be loaded again.
    Marked,
}

/// How many values and leases an invalidation removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Keys that had a value or a lease.
    pub keys: u64,
}

/// The answer to a [`Store::get_tracked`].
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked {
    /// As [`Store::get`] answers.
    pub envelope: Option<Envelope>,
    /// Whether the next change under the key will be heard of.
    pub heard: bool,
}

/// Who wants to hear of changes in a store. It is called from where word arrives: it must not block.
pub trait Listener: Send + Sync {
    /// What stands under the key of this name was replaced or removed.
    fn changed(&self, key: &str);

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
    /// It is not asked: it has missed an invalidation, or did not answer a short while ago.
    #[error("the store is not trusted at present")]
    Distrusted,
    /// The server answered with an error (`OOM`, `READONLY`, `WRONGTYPE`, …).
    #[error("the store refused: {0}")]
    Refused(String),
}

/// The shared cache. Every exchange with the store ends within the store's own time budget;
/// every call is one exchange, except that an invalidation takes one or more for each chunk.
#[async_trait]
pub trait Store: Send + Sync {
    /// The envelope under `key`. One that can't be read is nothing, and counted.
    async fn get(&self, key: &Key) -> Result<Option<Envelope>, StoreError>;

    /// [`Store::get`], and asks for word of the next change under the key. That comes once, to every
    /// listener; it may come before the answer to this.
    async fn get_tracked(&self, key: &Key) -> Result<Tracked, StoreError> {
        Ok(Tracked { envelope: self.get(key).await?, heard: false })
    }

    /// From now on `listener` hears of what changes: by a call to this store, before that call has
    /// succeeded; by anybody else, where [`Store::get_tracked`] asked for it, as soon as word of it
    /// arrives. When word may have been lost it hears that everything changed, before anything that
    /// was asked for later is answered.
    fn listen(&self, listener: Weak<dyn Listener>) {
        drop(listener);
    }

    /// Asks for the right to fill; looks again first.
    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, StoreError>;

    /// Stores `envelope` only while the lease still holds `token`, and spends the lease. The key
    /// lives until `envelope.stale_until_ms`; if that is over, the fill is accepted all the same
    /// and leaves the key without a value.
    async fn fill(
        &self,
        key: &Key,
        token: Token,
        envelope: &Envelope,
    ) -> Result<Filled, StoreError>;

    /// Extends a lease that is still `token`'s; false when it is not.
    async fn renew(&self, key: &Key, token: Token, lease: Duration) -> Result<bool, StoreError>;

    /// Gives a lease back if it is still `token`'s; false when it was not.
    async fn release(&self, key: &Key, token: Token) -> Result<bool, StoreError>;

    /// What is left of the lease on `key`, if anybody holds one. Changes nothing.
    async fn lease_left(&self, key: &Key) -> Result<Option<Duration>, StoreError>;

    /// Removes the keys' values *and leases*, so that fills in progress are rejected.
    async fn invalidate_keys(&self, keys: &[Key]) -> Result<Removed, StoreError>;

    /// Sets the tag's mark for `mark`, then removes every key of its index as
    /// [`Store::invalidate_keys`] does, in bounded chunks; members leave the index only after
    /// their keys are gone, so that a repeat finishes what a crash left.
    async fn invalidate_tag(&self, tag: &Tag, mark: Duration) -> Result<Removed, StoreError>;

    /// Writes `key` into the tag's index until `expires_at_ms`, trims expired members, never
    /// shortens the index's lifetime.
    async fn index(&self, tag: &Tag, key: &Key, expires_at_ms: u64) -> Result<Indexed, StoreError>;

    /// Writes `intent`, to fall due after `hold`; one that is there already falls due later, never
    /// earlier. It is kept for longer than any value lives.
    async fn announce(&self, intent: &Intent, hold: Duration) -> Result<(), StoreError>;

    /// Removes `intent`.
    async fn withdraw(&self, intent: &Intent) -> Result<(), StoreError>;

    /// Some of the intents whose time has come. They fall due again after `hold`: who asks carries
    /// them out and withdraws them, and should it be lost, another one does. What can't be read is
    /// removed and counted.
    async fn due(&self, hold: Duration) -> Result<Vec<Intent>, StoreError>;

    /// Returns when the lease on `key` may have ended, at the latest after `at_most`. A hint: the
    /// caller claims again and looks.
    async fn settled(&self, key: &Key, at_most: Duration);

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// This host's estimate of the store's clock, milliseconds since the Unix epoch. Before the
    /// store answered for the first time it is this machine's clock, for want of a better one;
    /// from then on it never goes back within one process.
    fn now_ms(&self) -> u64;

    /// `memory` or `redis`, for people.
    fn kind(&self) -> &'static str;

    /// Envelopes and intents met that could not be read, since the start.
    fn unreadable(&self) -> u64;
}
