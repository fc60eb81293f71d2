//! Plans that a generation remembers: naming a read is string work, and hot reads repeat.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Equivalent, Weighter};

use super::gate::HotRead;
use super::{Argument, Named, Request, Subject};

/// Room for the plans of one generation, in bytes: some fifty thousand of the usual size. Two
/// generations are kept, and more while flights of older ones last.
const PLANS_BYTES: u64 = 16 << 20;

/// What a typical plan weighs, to size the cache's table at the start.
const TYPICAL_BYTES: u64 = 320;

/// The remembered plans, bounded by their weight.
pub(super) struct Plans {
    cache: Cache<Owned, Arc<Named>, Weight, DefaultHashBuilder>,
    /// The names of each entity's parameters: one list for all of its reads.
    params: RwLock<HashMap<Box<str>, Box<[String]>>>,
}

/// A read of an entity, borrowed for the lookup. The values stand in the entity's declared order.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'a> {
    pub(super) entity: &'a str,
    pub(super) values: &'a [Option<&'a str>],
}

#[derive(Clone, PartialEq, Eq)]
struct Owned {
    entity: Box<str>,
    values: Box<[Option<Box<str>>]>,
}

impl Plans {
    pub(super) fn new() -> Self {
        let items = usize::try_from(PLANS_BYTES / TYPICAL_BYTES).unwrap_or(usize::MAX);
        let hasher = DefaultHashBuilder::default();
        let cache = Cache::with(items, PLANS_BYTES, Weight, hasher, Default::default());
        Self { cache, params: RwLock::default() }
    }

    pub(super) fn get(&self, lookup: &Lookup<'_>) -> Option<Arc<Named>> {
        self.cache.get(lookup)
    }

    /// Remembers what `request`, which is the read of `lookup`, was answered.
    pub(super) fn insert(&self, lookup: &Lookup<'_>, request: &Request, named: Arc<Named>) {
        let known = |params: &HashMap<_, _>| params.contains_key(lookup.entity);
        if !known(&self.params.read().unwrap_or_else(PoisonError::into_inner)) {
            let names = request.arguments.iter().map(|argument| argument.name.clone()).collect();
            let mut params = self.params.write().unwrap_or_else(PoisonError::into_inner);
            params.insert(lookup.entity.into(), names);
        }
        self.cache.insert(Owned::from(lookup), named);
    }

    /// [`Plans::insert`] for a read of an entity that is not at hand in parts.
    pub(super) fn insert_request(&self, request: &Request, named: Arc<Named>) {
        if let Subject::Entity(entity) = &request.subject {
            let values: Vec<Option<&str>> =
                request.arguments.iter().map(|argument| argument.value.as_deref()).collect();
            self.insert(&Lookup { entity, values: &values }, request, named);
        }
    }

    /// Reads that are remembered, at most `limit`: those that were made and not displaced by others.
    pub(super) fn hot(&self, limit: usize) -> Vec<HotRead> {
        let params = self.params.read().unwrap_or_else(PoisonError::into_inner);
        let read = |(read, named): (Owned, Arc<Named>)| {
            let arguments =
                params.get(&read.entity)?.iter().zip(&read.values).map(|(name, value)| Argument {
                    name: name.clone(),
                    value: value.as_deref().map(str::to_owned),
                });
            let arguments = arguments.collect();
            let request = Request { subject: Subject::Entity(read.entity.into()), arguments };
            Some(HotRead { request, key: named.key.clone() })
        };
        self.cache.iter().filter_map(read).take(limit).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.cache.len()
    }
}

impl From<&Lookup<'_>> for Owned {
    fn from(lookup: &Lookup<'_>) -> Self {
        let values = lookup.values.iter().map(|value| value.map(Box::from)).collect();
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

impl Hash for Lookup<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(self.entity, self.values.iter().copied(), state);
    }
}

impl Hash for Owned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.entity, self.values.iter().map(Option::as_deref), state);
    }
}

impl Equivalent<Owned> for Lookup<'_> {
    fn equivalent(&self, owned: &Owned) -> bool {
        *self.entity == *owned.entity
            && self.values.len() == owned.values.len()
            && self.values.iter().zip(&owned.values).all(|(a, b)| *a == b.as_deref())
    }
}

/// Bytes on the heap, roughly.
#[derive(Clone)]
struct Weight;

impl Weighter<Owned, Arc<Named>> for Weight {
    fn weight(&self, read: &Owned, named: &Arc<Named>) -> u64 {
        // Entry, hash table slot, and the headers of the allocations.
        const FIXED: usize = 160;
        const EACH: usize = 32;
        let values: usize =
            read.values.iter().map(|value| EACH + value.as_deref().map_or(0, str::len)).sum();
        let tags: usize = named.tags.iter().map(|tag| EACH + tag.as_str().len()).sum();
        let columns: usize = named.row_columns.iter().map(|column| EACH + column.len()).sum();
        let names = read.entity.len() + named.key.as_str().len();
        (FIXED + values + tags + columns + names) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Memo, Plan};

    #[test]
    fn what_is_remembered_is_hot_with_its_arguments_and_its_key() {
        let plans = Plans::new();
        let read = Lookup { entity: "user", values: &[Some("42"), None] };
        plans.insert(&read, &request(&read), named("k"));
        assert_eq!(
            plans.hot(10),
            [HotRead { request: request(&read), key: named("k").key.clone() }]
        );
        assert_eq!(plans.hot(0), []);
    }

    #[test]
    fn a_remembered_plan_is_found_by_borrowed_parts() {
        let plans = Plans::new();
        let read = Lookup { entity: "user", values: &[Some("42"), None] };
        plans.insert(&read, &request(&read), named("k"));
        assert_eq!(plans.get(&read), Some(named("k")));
    }

    #[test]
    fn reads_that_look_alike_have_plans_of_their_own() {
        let plans = Plans::new();
        let reads: [(&str, &[Option<&str>]); 6] = [
            ("user", &[]),
            ("user", &[None]),
            ("user", &[Some("")]),
            ("user", &[Some("a"), Some("b")]),
            ("user", &[Some("ab"), Some("")]),
            ("usera", &[Some("b")]),
        ];
        for (at, (entity, values)) in reads.iter().enumerate() {
            let read = Lookup { entity, values };
            plans.insert(&read, &request(&read), named(&format!("k{at}")));
        }
        for (at, (entity, values)) in reads.iter().enumerate() {
            assert_eq!(plans.get(&Lookup { entity, values }), Some(named(&format!("k{at}"))));
        }
    }

    #[test]
    fn the_memory_of_plans_is_bounded() {
        let plans = Plans::new();
        let long = "x".repeat(10_000);
        for at in 0..4_000 {
            let number = at.to_string();
            let values = [Some(long.as_str()), Some(number.as_str())];
            let read = Lookup { entity: "user", values: &values };
            plans.insert(&read, &request(&read), named("k"));
        }
        assert!(plans.cache.weight() <= PLANS_BYTES);
        assert!(plans.len() > 0);
    }

    fn request(read: &Lookup<'_>) -> Request {
        let argument = |(at, value): (usize, &Option<&str>)| Argument {
            name: format!("p{at}"),
            value: value.map(str::to_owned),
        };
        let arguments = read.values.iter().enumerate().map(argument).collect();
        Request { subject: Subject::Entity(read.entity.into()), arguments }
    }

    fn named(key: &str) -> Arc<Named> {
        let memo = Memo { phase: 0, attempts: 0, since_ms: 0, spare: 0 };
        Named::try_new(Plan { key: key.into(), tags: vec![], row_columns: vec![], memo }).unwrap()
    }
}
