//! Which database the values are from.
//!
//! The origin's URL may lead to another database than before: a copy, a restore, a promoted standby. What was
//! stored from the former database answers nothing any more: the database's number is part of every
//! fingerprint, and a change of the database or of its history raises the floor of everything (race T). The
//! identity is kept in the store as well, so that a host that starts while the database is down can still
//! answer.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use crate::name::hashed;
use crate::origin::{Origin, OriginIdentity};
use crate::store::{HashSlot, Store, StoreError};

use super::{Cache, Invalidated};

/// How often the origin's newest connection is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long a host without a connection waits for the origin to tell its identity.
const ASK: Duration = Duration::from_secs(1);

/// How long the store remembers the database; every look prolongs the time.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// An origin that is watched for a change of its identity.
#[derive(Clone)]
pub struct WatchedOrigin {
    /// The origin.
    pub origin: Arc<dyn Origin>,
    /// The name of the origin's identity in the store; hosts with one origin URL share it.
    pub note: String,
}

impl WatchedOrigin {
    /// The origin at `url`. Only a digest of the address behind the `@` is used: a URL may hold a password.
    #[must_use]
    pub fn new(origin: Arc<dyn Origin>, url: &str) -> Self {
        let address = url.rsplit_once('@').map_or(url, |(_, address)| address);
        Self { origin, note: format!("origin:{}", crate::name::Digest::of([address])) }
    }
}

/// The database, as it was seen last.
pub(super) struct Database {
    watched: Option<WatchedOrigin>,
    number: AtomicU32,
    /// The identity to which `number` and the store's note belong.
    noted: Mutex<Option<OriginIdentity>>,
}

impl Database {
    pub(super) fn new(watched: Option<WatchedOrigin>) -> Self {
        Self { watched, number: AtomicU32::new(0), noted: Mutex::default() }
    }

    pub(super) fn origin(&self) -> Option<&Arc<dyn Origin>> {
        self.watched.as_ref().map(|watched| &watched.origin)
    }

    /// The database's number in fingerprints; 0 while the database is unknown.
    pub(super) fn number(&self) -> u32 {
        self.number.load(Ordering::Acquire)
    }

    fn noted(&self) -> Option<OriginIdentity> {
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, text: &str, identity: Option<OriginIdentity>) {
        let database = text.split_once('/').map_or(text, |(database, _)| database);
        let number = hashed([database]).iter().take(4).fold(0, |n, byte| n << 8 | u32::from(*byte));
        self.number.store(number.max(1), Ordering::Release);
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    }
}

impl Cache {
    /// Whether the origin's newest connection reached another database, or another history of it, than the
    /// one that values are stored for: what is loaded now is answered and not stored.
    pub(super) fn is_of_another_database(&self) -> bool {
        let said = self.database.origin().and_then(|origin| origin.last_identity());
        said != self.database.noted()
    }

    /// Watches which database the origin has; runs for as long as the host does.
    pub async fn keep_database(&self) {
        let Some(watched) = &self.database.watched else { return };
        self.nodes.judged().await;
        self.recall_database(watched).await;
        if watched.origin.last_identity().is_none() {
            // A database that is down is asked later: its next connection tells the identity.
            let _ = timeout(ASK, watched.origin.identity()).await;
        }
        loop {
            if let Some(said) = watched.origin.last_identity()
                && let Err(error) = self.learn_database(watched, said).await
            {
                tracing::debug!(%error, "the origin's identity can't be noted in the store yet");
            }
            sleep(LOOK).await;
        }
    }

    /// Takes the database's number from the identity that other hosts have noted in the store.
    async fn recall_database(&self, watched: &WatchedOrigin) {
        let noted = self.note_of(watched).await;
        let text = noted.ok().flatten().and_then(|note| String::from_utf8(note.to_vec()).ok());
        if let Some(text) = text {
            self.database.set(&text, None);
        }
    }

    fn note_slot(&self, watched: &WatchedOrigin) -> HashSlot {
        self.slot_of_note(&watched.note)
    }

    /// The slot of a note.
    pub(super) fn slot_of_note(&self, of: &str) -> HashSlot {
        HashSlot::of(&format!("{}{of}", self.prefix.as_str()))
    }

    async fn note_of(&self, watched: &WatchedOrigin) -> Result<Option<Bytes>, StoreError> {
        let read = |store: Arc<dyn Store>| async move { store.note(&watched.note).await };
        self.nodes.watch(self.note_slot(watched), read).await
    }

    async fn learn_database(
        &self,
        watched: &WatchedOrigin,
        said: OriginIdentity,
    ) -> Result<(), StoreError> {
        let text = said.to_string();
        let noted = self.note_of(watched).await?;
        let is_noted = noted.as_deref() == Some(text.as_bytes());
        if noted.is_some() && !is_noted {
            tracing::warn!(
                "the origin is another database than before: every stored value is untrue"
            );
            if self.raise_everything().await == Invalidated::Pending {
                // The note stays as it is, so that another host raises the floor if this one is lost.
                return Err(StoreError::Distrusted);
            }
        }
        let note = text.as_bytes();
        let write = |store: Arc<dyn Store>| async move {
            store.write_note(&watched.note, note, KEPT).await
        };
        self.nodes.watch(self.note_slot(watched), write).await?;
        if self.database.noted() != Some(said) {
            self.database.set(&text, Some(said));
        }
        Ok(())
    }
}
