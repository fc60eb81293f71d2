//! Invalidations as the checks make them: on one store that has every name.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use corral_host::store::{
    LinkId, Marking, Name, Over, Removed, Remover, Store, StoreError, StoreTag,
};

/// Something that an invalidation removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doomed {
    /// The value and the lease of one name.
    Name(Name),
    /// The values and the leases of every name that carries the tag.
    Tag(StoreTag),
}

/// Removes what a walk finds from the store of the walk.
struct SameStore<'a> {
    store: &'a dyn Store,
    done: Mutex<Result<Over<Removed>, StoreError>>,
}

impl SameStore<'_> {
    async fn remove(&self, names: &[Name]) -> bool {
        let removed = self.store.remove(names).await;
        let is_removed = removed.is_ok();
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Ok(before), Ok(now)) = (&mut *done, &removed) {
            before.answer.names += now.answer.names;
        } else if done.is_ok() {
            *done = removed;
        }
        is_removed
    }
}

#[async_trait]
impl Remover for SameStore<'_> {
    async fn remove_members(&self, names: &[Name]) -> Vec<bool> {
        vec![self.remove(names).await; names.len()]
    }
}

/// Removes what is doomed.
///
/// # Errors
/// The store's, of whatever could not be removed.
pub async fn invalidate(
    store: &dyn Store,
    doomed: &[Doomed],
    marking: Marking,
) -> Result<Over<Removed>, StoreError> {
    let (mut names, mut tags) = (Vec::new(), Vec::new());
    for doomed in doomed {
        match doomed {
            Doomed::Name(name) => names.push(name.clone()),
            Doomed::Tag(tag) => tags.push(tag.clone()),
        }
    }
    let none = Over { link: LinkId(0), answer: Removed::default() };
    let remover = SameStore { store, done: Mutex::new(Ok(none)) };
    if !names.is_empty() {
        remover.remove(&names).await;
    }
    let walked = store.walk(&tags, marking, &remover).await?;
    let removed = remover.done.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    Ok(Over { link: walked.link, ..removed })
}
