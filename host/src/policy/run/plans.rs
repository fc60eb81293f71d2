//! The plans that a generation remembers: naming a read is work on strings, and hot reads repeat.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Weighter};

use crate::read_name::ReadName;

use crate::policy::prove::gate::HotRead;
use crate::policy::{Argument, Named, Request, Subject};

/// Room for the plans of one generation, in bytes: some fifty thousand of the usual size. Two
/// generations are kept, and more while flights of older ones last.
const PLANS_BYTES: u64 = 16 << 20;

/// Bytes of a typical plan, by which the cache's table is sized at the start.
const TYPICAL_BYTES: u64 = 320;

/// The remembered plans, bounded by their weight.
pub(in crate::policy) struct Plans {
    cache: Cache<ReadName, Arc<Named>, PlanWeight, DefaultHashBuilder>,
    /// The names of each entity's parameters: one list for all of its reads.
    params: RwLock<HashMap<Box<str>, Box<[String]>>>,
}

impl Plans {
    pub(in crate::policy) fn new() -> Self {
        let items = usize::try_from(PLANS_BYTES / TYPICAL_BYTES).unwrap_or(usize::MAX);
        let hasher = DefaultHashBuilder::default();
        let cache = Cache::with(items, PLANS_BYTES, PlanWeight, hasher, Default::default());
        Self { cache, params: RwLock::default() }
    }

    pub(in crate::policy) fn get(&self, read: &ReadName) -> Option<Arc<Named>> {
        self.cache.get(read)
    }

    /// Remembers the plan of `request`, which is the read of this name.
    pub(in crate::policy) fn insert(&self, read: ReadName, request: &Request, named: Arc<Named>) {
        let Subject::Entity(entity) = &request.subject else { return };
        let known = |params: &HashMap<_, _>| params.contains_key(entity.as_str());
        if !known(&self.params.read().unwrap_or_else(PoisonError::into_inner)) {
            let names = request.arguments.iter().map(|argument| argument.name.clone()).collect();
            let mut params = self.params.write().unwrap_or_else(PoisonError::into_inner);
            params.insert(entity.as_str().into(), names);
        }
        self.cache.insert(read, named);
    }

    /// [`Plans::insert`] for a read whose name is not known yet.
    pub(in crate::policy) fn insert_request(&self, request: &Request, named: Arc<Named>) {
        if let Subject::Entity(entity) = &request.subject {
            let values = request.arguments.iter().map(|argument| argument.value.as_deref());
            self.insert(ReadName::new(entity, values), request, named);
        }
    }

    /// Reads whose plans are remembered, at most `limit`: reads that were made and that others have
    /// not displaced.
    pub(in crate::policy) fn hot(&self, limit: usize) -> Vec<HotRead> {
        let params = self.params.read().unwrap_or_else(PoisonError::into_inner);
        let read = |(read, named): (ReadName, Arc<Named>)| {
            let (entity, values) = read.parts()?;
            let arguments = params.get(entity)?.iter().zip(values).map(|(name, value)| Argument {
                name: name.clone(),
                value: value.map(str::to_owned),
            });
            let arguments = arguments.collect();
            let request = Request { subject: Subject::Entity(entity.to_owned()), arguments };
            Some(HotRead { request, key: named.key.clone() })
        };
        self.cache.iter().filter_map(read).take(limit).collect()
    }

    pub(in crate::policy) fn len(&self) -> usize {
        self.cache.len()
    }
}

/// Bytes on the heap, roughly.
#[derive(Clone)]
struct PlanWeight;

impl Weighter<ReadName, Arc<Named>> for PlanWeight {
    fn weight(&self, read: &ReadName, named: &Arc<Named>) -> u64 {
        // Entry, hash table slot, and the headers of the allocations.
        const FIXED: usize = 160;
        const EACH: usize = 32;
        let tags: usize = named.tags.iter().map(|tag| EACH + tag.as_str().len()).sum();
        let columns: usize = named.row_columns.iter().map(|column| EACH + column.len()).sum();
        let names = read.bytes() + named.key.as_str().len();
        (FIXED + tags + columns + names) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Memo, Plan};

    #[test]
    fn what_is_remembered_is_hot_with_its_arguments_and_its_key() {
        let plans = Plans::new();
        let request = request(&[Some("42"), None]);
        plans.insert_request(&request, named("k"));
        assert_eq!(plans.hot(10), [HotRead { request, key: named("k").key.clone() }]);
        assert_eq!(plans.hot(0), []);
    }

    #[test]
    fn a_remembered_plan_is_found_by_the_name_of_its_read() {
        let plans = Plans::new();
        plans.insert_request(&request(&[Some("42"), None]), named("k"));
        let name = |values: [Option<&'static str>; 2]| ReadName::new("user", values.into_iter());
        assert_eq!(plans.get(&name([Some("42"), None])), Some(named("k")));
        assert_eq!(plans.get(&name([Some("42"), Some("")])), None);
    }

    #[test]
    fn the_memory_of_plans_is_bounded() {
        let plans = Plans::new();
        let long = "x".repeat(10_000);
        for at in 0..4_000 {
            plans.insert_request(&request(&[Some(&long), Some(&at.to_string())]), named("k"));
        }
        assert!(plans.cache.weight() <= PLANS_BYTES);
        assert!(plans.len() > 0);
    }

    fn request(values: &[Option<&str>]) -> Request {
        let argument = |(at, value): (usize, &Option<&str>)| Argument {
            name: format!("p{at}"),
            value: value.map(str::to_owned),
        };
        let arguments = values.iter().enumerate().map(argument).collect();
        Request { subject: Subject::Entity("user".into()), arguments }
    }

    fn named(key: &str) -> Arc<Named> {
        let memo = Memo { phase: 0, since_ms: 0, terms: 0, note: 0 };
        Named::try_new(Plan { key: key.into(), tags: vec![], row_columns: vec![], memo }).unwrap()
    }
}
