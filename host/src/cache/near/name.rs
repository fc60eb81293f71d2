//! What an entry is called: the read itself, so that finding it needs no policy.

use std::hash::{Hash, Hasher};

use quick_cache::Equivalent;

use crate::origin::Value;

/// A parameter's value in its canonical form; none: null.
pub trait Canonical {
    /// Its text.
    fn text(&self) -> Option<&str>;
}

impl Canonical for Value {
    fn text(&self) -> Option<&str> {
        self.canonical()
    }
}

impl Canonical for Option<String> {
    fn text(&self) -> Option<&str> {
        self.as_deref()
    }
}

/// A read of an entity, borrowed for the lookup. The values stand in the entity's declared order.
pub(super) struct Lookup<'a, V> {
    pub(super) entity: &'a str,
    pub(super) values: &'a [V],
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Owned {
    entity: Box<str>,
    values: Box<[Option<Box<str>>]>,
}

impl Owned {
    /// On the heap.
    pub(super) fn bytes(&self) -> usize {
        let value = |value: &Option<Box<str>>| {
            size_of::<Option<Box<str>>>() + value.as_deref().map_or(0, str::len)
        };
        self.entity.len() + self.values.iter().map(value).sum::<usize>()
    }
}

impl<V: Canonical> From<&Lookup<'_, V>> for Owned {
    fn from(lookup: &Lookup<'_, V>) -> Self {
        let values = lookup.values.iter().map(|value| value.text().map(Box::from)).collect();
        Self { entity: lookup.entity.into(), values }
    }
}

/// Both forms of a read hash through here: they must agree.
fn hash<'a, H: Hasher>(
    entity: &str,
    values: impl ExactSizeIterator<Item = Option<&'a str>>,
    state: &mut H,
) {
    entity.hash(state);
    values.len().hash(state);
    values.for_each(|value| value.hash(state));
}

impl<V: Canonical> Hash for Lookup<'_, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(self.entity, self.values.iter().map(Canonical::text), state);
    }
}

impl Hash for Owned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.entity, self.values.iter().map(Option::as_deref), state);
    }
}

impl<V: Canonical> Equivalent<Owned> for Lookup<'_, V> {
    fn equivalent(&self, owned: &Owned) -> bool {
        *self.entity == *owned.entity
            && self.values.len() == owned.values.len()
            && self.values.iter().zip(&owned.values).all(|(a, b)| a.text() == b.as_deref())
    }
}
