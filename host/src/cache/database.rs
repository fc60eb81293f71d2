//! Which database the values are from.
//!
//! A name may lead to another database than before: a copy, a restore, a promoted standby. What was stored
//! of the former one answers nothing any more: its number is part of every fingerprint, and a change of the
//! database or of its history raises the floor of everything. The identity is kept in the store as well, so
//! that a host that starts while the database is down can still answer.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::name::hashed;
use crate::origin::{Origin, OriginIdentity};
use crate::store::{Scope, StoreError};

use super::Cache;

/// How often the origin's newest connection is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long a host asks that has no connection yet.
const ASK: Duration = Duration::from_secs(1);

/// How long the store remembers the database: every look prolongs it.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// An origin whose identity is watched.
#[derive(Clone)]
pub struct Watched {
    /// The origin.
    pub origin: Arc<dyn Origin>,
    /// What its identity is called in the store: hosts of one origin URL share it.
    pub note: String,
}

impl Watched {
    /// The origin at `url`. Of the URL nothing but a digest is used: it may hold a password.
    #[must_use]
    pub fn new(origin: Arc<dyn Origin>, url: &str) -> Self {
        let address = url.rsplit_once('@').map_or(url, |(_, address)| address);
        Self { origin, note: format!("origin:{}", crate::name::Digest::of([address])) }
    }
}

/// The database, as it was seen last.
pub(super) struct Database {
    watched: Option<Watched>,
    number: AtomicU32,
    /// The identity with which number and store agree.
    noted: Mutex<Option<OriginIdentity>>,
}

impl Database {
    pub(super) fn new(watched: Option<Watched>) -> Self {
        Self { watched, number: AtomicU32::new(0), noted: Mutex::default() }
    }

    pub(super) fn origin(&self) -> Option<&Arc<dyn Origin>> {
        self.watched.as_ref().map(|watched| &watched.origin)
    }

    /// What stands for it in fingerprints; 0 while it is not said.
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
    /// Whether the origin's newest connection has another database, or another history of it, than values
    /// are stamped for: what is loaded now is answered and not stored.
    pub(super) fn is_of_another_database(&self) -> bool {
        let said = self.database.origin().and_then(|origin| origin.last_identity());
        said != self.database.noted()
    }

    /// Watches which database the origin has; runs for as long as the host does.
    pub async fn keep_database(&self) {
        let Some(watched) = &self.database.watched else { return };
        self.trust.judged().await;
        self.recall_database(watched).await;
        if watched.origin.last_identity().is_none() {
            // It may be down: then its newest connection will say it.
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

    /// What other hosts have noted.
    async fn recall_database(&self, watched: &Watched) {
        let noted = self.trust.watch(|store| store.note(&watched.note)).await;
        let text = noted.ok().flatten().and_then(|note| String::from_utf8(note.to_vec()).ok());
        if let Some(text) = text {
            self.database.set(&text, None);
        }
    }

    async fn learn_database(
        &self,
        watched: &Watched,
        said: OriginIdentity,
    ) -> Result<(), StoreError> {
        let text = said.to_string();
        let noted = self.trust.watch(|store| store.note(&watched.note)).await?;
        let is_noted = noted.as_deref() == Some(text.as_bytes());
        if noted.is_some() && !is_noted {
            tracing::warn!(
                "the origin is another database than before: every stored value is untrue"
            );
            self.trust.ask(|store| store.raise(&[Scope::Everything])).await?;
        }
        self.trust.watch(|store| store.write_note(&watched.note, text.as_bytes(), KEPT)).await?;
        if self.database.noted() != Some(said) {
            self.database.set(&text, Some(said));
        }
        Ok(())
    }
}
