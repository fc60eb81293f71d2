//! Checks of the changes that a store reports, through two handles of it: one listens (`here`), the
//! other changes (`there`). Race K.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use corral_host::store::{Listener, Tracked};

use super::*;

/// The changes that one listener was told.
#[derive(Default)]
pub struct Heard {
    names: Mutex<HashMap<String, usize>>,
    all: std::sync::atomic::AtomicUsize,
}

impl Listener for Heard {
    fn changed(&self, name: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        *names.entry(name.to_owned()).or_default() += 1;
    }

    fn all_changed(&self) {
        self.all.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Heard {
    /// Listens to a store for as long as the store lives.
    #[must_use]
    pub fn of(store: &dyn Store) -> Arc<Self> {
        let heard = Arc::new(Self::default());
        store.listen(Arc::downgrade(&heard) as Weak<dyn Listener>);
        heard
    }

    /// How often a change of this name was reported.
    #[must_use]
    pub fn times(&self, name: &Name) -> usize {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(name.as_str()).copied().unwrap_or_default()
    }

    /// The names whose changes were reported.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// How often a change of everything was reported.
    #[must_use]
    pub fn all(&self) -> usize {
        self.all.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// Runs the checks of tracking under `prefix`.
///
/// # Errors
/// The first check that fails, by name, and why.
pub async fn run_tracking(here: &dyn Store, there: &dyn Store, prefix: &str) -> Result<()> {
    let checks = async {
        let subject = |name| format!("{prefix}:{name}");
        let name = subject("own");
        own_changes_are_heard_before_their_call_returns(Subject { store: here, prefix: &name })
            .await?;
        let name = subject("fill");
        a_fill_elsewhere_is_heard(here, Subject { store: there, prefix: &name }).await?;
        let name = subject("removal");
        a_removal_elsewhere_is_heard(here, Subject { store: there, prefix: &name }).await?;
        let name = subject("again");
        every_get_asks_anew(here, Subject { store: there, prefix: &name }).await
    };
    tokio::time::timeout(LONG / 2, checks).await.unwrap_or_else(|over| Err(over.into()))
}

async fn own_changes_are_heard_before_their_call_returns(subject: Subject<'_>) -> Result<()> {
    let (heard, name) = (Heard::of(subject.store), subject.name("k")?);
    let told = |at_least| ensure_told(&heard, &name, at_least, "an own change");
    subject.put(&name, &subject.envelope(1)).await?;
    told(1)?;
    subject.remove_names(std::slice::from_ref(&name)).await?;
    told(2)?;
    let tag = subject.tag("t")?;
    subject.put_tagged(&tag, &name).await?;
    let before = heard.times(&name);
    subject.remove_tag(&tag, LONG).await?;
    told(before + 1)
}

async fn a_fill_elsewhere_is_heard(here: &dyn Store, there: Subject<'_>) -> Result<()> {
    let (heard, name) = (Heard::of(here), there.name("k")?);
    there.put(&name, &there.envelope(1)).await?;
    tracked(here, &name).await?;
    let before = heard.times(&name);
    there.put(&name, &there.envelope(2)).await?;
    eventually("word of a fill", async || Ok(heard.times(&name) > before)).await
}

async fn a_removal_elsewhere_is_heard(here: &dyn Store, there: Subject<'_>) -> Result<()> {
    let (heard, tag) = (Heard::of(here), there.tag("t")?);
    let (keyed, tagged) = (there.name("keyed")?, there.name("tagged")?);
    there.put(&keyed, &there.envelope(1)).await?;
    there.put_tagged(&tag, &tagged).await?;
    for name in [&keyed, &tagged] {
        ensure!(tracked(here, name).await?.is_some(), "{name} has no value");
    }
    let before = (heard.times(&keyed), heard.times(&tagged));
    there.remove_names(std::slice::from_ref(&keyed)).await?;
    there.remove_tag(&tag, LONG).await?;
    eventually("word of both", async || {
        Ok(heard.times(&keyed) > before.0 && heard.times(&tagged) > before.1)
    })
    .await
}

async fn every_get_asks_anew(here: &dyn Store, there: Subject<'_>) -> Result<()> {
    let (heard, name) = (Heard::of(here), there.name("k")?);
    for version in 1..=3 {
        there.put(&name, &there.envelope(version)).await?;
        tracked(here, &name).await?;
        let before = heard.times(&name);
        there.remove_names(std::slice::from_ref(&name)).await?;
        eventually("word", async || Ok(heard.times(&name) > before)).await?;
    }
    Ok(())
}

async fn tracked(store: &dyn Store, name: &Name) -> Result<Option<Envelope>> {
    let Tracked { envelope, heard } = store.get_tracked(name).await?.answer;
    ensure!(heard, "the store does not tell of changes");
    Ok(envelope)
}

fn ensure_told(heard: &Heard, name: &Name, at_least: usize, of: &str) -> Result<()> {
    let times = heard.times(name);
    ensure!(times >= at_least, "{of} was heard of {times} times when its call returned");
    Ok(())
}
