//! What the database says about the configuration's statements: that it does not accept one, or that readers
//! can't share the answer of one (a random number, say).
//!
//! Such a statement makes a reload fail, since the configuration in force goes on. It does not make a start
//! fail, since one statement would keep a host from serving all others. A statement that the database rejects
//! shows when it runs; a statement that would be answered all the same is reported here, in the log and in
//! `/readyz`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::config::{Config, EntityConfig};
use crate::origin::{Origin, OriginError, Prepared};

use super::reload::ReloadError;
use super::{Corral, CorralInner, Edition};

/// How long the database may take to look at the statements of an entity: a few round trips.
const PREPARED_WITHIN: Duration = Duration::from_secs(5);

/// After what time a database that did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// After what time statements with something wrong are looked at again: a migration or a grant may have
/// mended it.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The entities that are served although something is wrong with their statements.
#[derive(Debug, Default)]
pub(super) struct Misfits(Mutex<BTreeMap<String, Misfit>>);

#[derive(Debug, PartialEq, Eq)]
struct Misfit {
    /// What is wrong, as sentences.
    what: String,
    /// Whether readers can't share the answer of the entity's read.
    varies: bool,
}

impl Misfit {
    fn is_served(&self) -> &'static str {
        if self.varies { "is served past the cache" } else { "is served as it is" }
    }
}

impl Misfits {
    /// What `/readyz` says; only the log says what is wrong.
    pub(super) fn sentences(&self) -> Vec<String> {
        let sentence = |(name, misfit): (&String, &Misfit)| {
            let is_served = misfit.is_served();
            format!("{name:?} {is_served}, and `corral check` refuses it: the log says why")
        };
        self.lock().iter().map(sentence).collect()
    }

    /// Forgets all entities but these.
    pub(super) fn keep(&self, is_kept: impl Fn(&str) -> bool) {
        self.lock().retain(|name, _| is_kept(name));
    }

    /// Marks the definitions of an edition by whether their reads vary; readers of one that varies share
    /// nothing.
    pub(super) fn mark(&self, edition: &Edition) {
        let misfits = self.lock();
        for (name, bound) in &edition.entities {
            bound.definition.set_varies(misfits.get(name).is_some_and(|misfit| misfit.varies));
        }
    }

    fn note(&self, name: &str, seen: &StatementProblems) {
        if seen.complaints.is_empty() {
            self.lock().remove(name);
            return;
        }
        let misfit = Misfit { what: seen.complaints.join("; "), varies: seen.varies };
        let mut misfits = self.lock();
        if misfits.get(name) != Some(&misfit) {
            let (is_served, what) = (misfit.is_served(), &misfit.what);
            tracing::warn!(
                "the entity {name:?} {is_served}, and `corral check` refuses it: {what}"
            );
            misfits.insert(name.to_owned(), misfit);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Misfit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the statements that a host began with, until nothing is wrong with any.
pub(super) async fn keep_looking(inner: Weak<CorralInner>) {
    while let Some(inner) = inner.upgrade() {
        let looked = (Corral { inner }).look_at_all().await;
        match looked {
            Ok(true) => return,
            Ok(false) => sleep(LOOK_AGAIN).await,
            Err(error) => {
                tracing::debug!(%error, "the database can't be asked about statements yet");
                sleep(ASK_AGAIN).await;
            }
        }
    }
}

impl Corral {
    /// Looks at the statements of all entities; whether nothing is wrong with any.
    async fn look_at_all(&self) -> Result<bool, OriginError> {
        let Some(origin) = &self.inner.origin else { return Ok(true) };
        let config = self.config();
        for entity in config.entities.values() {
            let seen = look(origin.as_ref(), entity).await?;
            // Another configuration may be in force by now.
            if self.config().entities.get(&entity.name) == Some(entity) {
                self.inner.misfits.note(&entity.name, &seen);
                self.inner.misfits.mark(&self.edition());
            }
        }
        Ok(self.inner.misfits.lock().is_empty())
    }

    /// Refuses a configuration with new statements that the database does not accept. If the database does
    /// not answer, none is refused.
    pub(super) async fn look_at_statements(
        &self,
        before: &Config,
        config: &Config,
    ) -> Result<(), ReloadError> {
        let Some(origin) = &self.inner.origin else { return Ok(()) };
        let is_new = |entity: &&EntityConfig| before.entities.get(&entity.name) != Some(entity);
        for entity in config.entities.values().filter(is_new) {
            let Ok(StatementProblems { rejected, complaints, varies: _ }) =
                look(origin.as_ref(), entity).await
            else {
                return Ok(());
            };
            let what = [rejected, complaints].concat();
            if !what.is_empty() {
                let (name, what) = (&entity.name, what.join("; "));
                return Err(ReloadError::Statement(format!("entity {name:?}: {what}")));
            }
        }
        Ok(())
    }
}

/// What is wrong with the statements of an entity.
#[derive(Default)]
struct StatementProblems {
    /// What is wrong with statements that the database does not accept.
    rejected: Vec<String>,
    /// What is wrong with statements that it accepts.
    complaints: Vec<String>,
    /// Whether readers can't share the read's answer.
    varies: bool,
}

/// Looks at the statements of an entity. Fails if the database does not answer.
async fn look(
    origin: &dyn Origin,
    entity: &EntityConfig,
) -> Result<StatementProblems, OriginError> {
    let looking = async {
        let mut seen = StatementProblems::default();
        if let Some(read) = &entity.read {
            seen.note("read", origin.prepare_read(read).await)?;
        }
        for (name, write) in &entity.writes {
            let prepared = origin.prepare_write(&write.statement).await;
            seen.note(&format!("write.{name}.sql"), prepared)?;
        }
        Ok(seen)
    };
    let late = |_elapsed| OriginError::Timeout(PREPARED_WITHIN);
    timeout(PREPARED_WITHIN, looking).await.map_err(late)?
}

impl StatementProblems {
    fn note(
        &mut self,
        what: &str,
        prepared: Result<Prepared, OriginError>,
    ) -> Result<(), OriginError> {
        match prepared {
            Ok(Prepared { complaints, varies, .. }) => {
                self.varies |= varies;
                let complaints = complaints.into_iter().map(|found| format!("{what}: {found}"));
                self.complaints.extend(complaints);
            }
            Err(error @ (OriginError::Rejected { .. } | OriginError::Undone { .. })) => {
                self.rejected.push(format!("{what}: {error}"));
            }
            Err(
                error @ (OriginError::Unavailable(_)
                | OriginError::Timeout(_)
                | OriginError::TooLarge),
            ) => return Err(error),
        }
        Ok(())
    }
}
