//! The façade: what the other modules decide, under the rules of one policy.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::distinct::distinct;
use crate::lifetime::DURATION_MAX_MS;
use crate::naming::{self, TaggedEntity};
use crate::rules::{BuiltIn, Kept, Read, Rules};
use crate::settings::Settings;
use crate::{
    Change, Entity, Event, Key, Logged, Manifest, Memo, Moment, Objection, Plan, Refusal, Request,
    Row, Subject, Tag, Target, Terms, Turn, Written, flight, invalidation,
};

/// Most entities: in [`Memo::terms`], numbers below it are indexes of entities, and numbers above
/// it are lifetimes of ad-hoc queries.
const ENTITIES_MAX: usize = 65_536;

/// What [`Memo::terms`] adds to an ad-hoc query's lifetime; the numbers below are indexes of
/// entities.
const QUERIES: u32 = ENTITIES_MAX as u32;

const _: () = assert!(DURATION_MAX_MS < u32::MAX - QUERIES);

/// What a policy decides: the functions of the contract.
pub trait Decisions: Sized {
    /// What the policy is called, which needs no configuration.
    fn describe() -> Manifest;

    /// Makes a policy of what the configuration declares and of the policy's own settings, a JSON
    /// object. `entities` are sorted by name.
    ///
    /// # Errors
    /// Everything that can't be accepted.
    fn configure(entities: Vec<Entity>, settings: &str) -> Result<Self, Vec<Objection>>;

    /// Names a read.
    ///
    /// # Errors
    /// A [`Refusal`] that names what is wrong with the request.
    fn plan(&self, request: &Request) -> Result<Plan, Refusal>;

    /// The tags that depend on the loaded rows, sorted, none twice.
    ///
    /// # Errors
    /// As [`Decisions::plan`].
    fn row_tags(&self, request: &Request, rows: &[Row]) -> Result<Vec<Tag>, Refusal>;

    /// One transition of a flight: no allocation, no error.
    #[must_use]
    fn step(&self, memo: Memo, moment: Moment, event: Event) -> Turn;

    /// What a change makes untrue, sorted, none twice. Empty if the configuration does not declare
    /// the write.
    #[must_use]
    fn invalidate(&self, change: &Change) -> Vec<Target>;
}

/// The built-in policy with the decisions that its rules `R` override. See the [crate's front
/// page](crate) for the order of calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy<R = BuiltIn> {
    settings: Settings,
    /// Sorted by name.
    entities: Vec<TaggedEntity>,
    rules: R,
}

impl<R: Rules> Decisions for Policy<R> {
    fn describe() -> Manifest {
        R::manifest()
    }

    fn configure(entities: Vec<Entity>, settings: &str) -> Result<Self, Vec<Objection>> {
        check_order(&entities)?;
        let own = Settings::try_new(settings, R::SETTINGS);
        let rules = R::configure(&entities, settings);
        match (own, rules) {
            (Ok(settings), Ok(rules)) => {
                let mut declared = Vec::with_capacity(entities.len());
                declared.extend(entities.into_iter().map(TaggedEntity::new));
                Ok(Self { settings, entities: declared, rules })
            }
            (own, rules) => Err(own.err().into_iter().chain(rules.err()).flatten().collect()),
        }
    }

    fn plan(&self, request: &Request) -> Result<Plan, Refusal> {
        let namespace = &self.settings.namespace;
        let (names, terms, declared) = match &request.subject {
            Subject::Entity(name) => {
                let (index, declared) = self.entity(name)?;
                (declared.name(namespace, &request.arguments)?, index, Some(declared))
            }
            Subject::Query(query) => {
                let ttl_ms = query.ttl_ms.clamp(1, DURATION_MAX_MS);
                (naming::query(namespace, query, &request.arguments)?, QUERIES + ttl_ms, None)
            }
        };
        Ok(self.planned(request, names, terms, declared))
    }

    fn row_tags(&self, request: &Request, rows: &[Row]) -> Result<Vec<Tag>, Refusal> {
        match &request.subject {
            Subject::Entity(name) => self.entity(name)?.1.row_tags(&request.arguments, rows),
            Subject::Query(_) => Ok(Vec::new()),
        }
    }

    fn step(&self, memo: Memo, moment: Moment, event: Event) -> Turn {
        let memo = Memo { note: self.rules.noted(memo.note, &event), ..memo };
        let Some(kept) = self.kept(memo) else { return flight::astray(memo, event) };
        let mut terms = self.rules.terms(&kept);
        if let Event::Loaded(report) = event
            && !report.negative
        {
            terms.ttl_ms = self.rules.ttl_ms(&Kept { terms, ..kept }, &report);
        }
        flight::step(&terms, &self.settings.tuning, memo, moment, event)
    }

    fn invalidate(&self, change: &Change) -> Vec<Target> {
        let mut targets = match change {
            Change::Written(written) => self.targets(written),
            Change::Logged(Logged { .. }) => Vec::new(),
        };
        self.rules.targets(change, &mut targets);
        distinct(targets)
    }
}

impl<R: Rules> Policy<R> {
    fn planned(
        &self,
        request: &Request,
        (key, mut tags): (Key, Vec<Tag>),
        terms: u32,
        declared: Option<&TaggedEntity>,
    ) -> Plan {
        let read = Read { entity: declared.map(|declared| &declared.entity), request };
        self.rules.tags(&read, &mut tags);
        Plan {
            key: self.rules.key(&read, key),
            tags: distinct(tags),
            row_columns: declared.map_or_else(Vec::new, |declared| declared.row_columns.clone()),
            memo: flight::begin(terms, self.rules.note(&read)),
        }
    }

    fn targets(&self, written: &Written) -> Vec<Target> {
        let find = |name: &str| self.entity(name).ok().map(|(_, declared)| &declared.entity);
        let write = find(&written.entity)
            .and_then(|entity| entity.writes.iter().find(|write| write.name == written.write));
        write.map_or_else(Vec::new, |write| invalidation::targets(write, written, find))
    }

    /// The entity of this name, and its index.
    fn entity(&self, name: &str) -> Result<(u32, &TaggedEntity), Refusal> {
        let by_name = |declared: &TaggedEntity| declared.entity.name.as_str().cmp(name);
        let index = self.entities.binary_search_by(by_name).map_err(|_| Refusal::UnknownEntity)?;
        let declared = self.entities.get(index).ok_or(Refusal::UnknownEntity)?;
        Ok((u32::try_from(index).map_err(|_| Refusal::UnknownEntity)?, declared))
    }

    /// What a memo's value is kept under; `None` if this policy did not write the memo.
    fn kept(&self, memo: Memo) -> Option<Kept<'_>> {
        let note = memo.note;
        match memo.terms.checked_sub(QUERIES) {
            Some(ttl_ms) => (1..=DURATION_MAX_MS).contains(&ttl_ms).then(|| Kept {
                entity: None,
                terms: Terms::of_query(ttl_ms),
                note,
            }),
            None => {
                let TaggedEntity { entity, .. } =
                    self.entities.get(usize::try_from(memo.terms).ok()?)?;
                Some(Kept { entity: Some(entity), terms: entity.terms, note })
            }
        }
    }
}

/// Entities are found by binary search and their indexes are kept in memos: so they are sorted by
/// name, none twice, and at most [`ENTITIES_MAX`].
fn check_order(entities: &[Entity]) -> Result<(), Vec<Objection>> {
    if entities.len() > ENTITIES_MAX {
        let message = format!("there are more than {ENTITIES_MAX} entities");
        return Err(vec![Objection::to_setting("", message)]);
    }
    if entities.is_sorted_by(|one, next| one.name < next.name) {
        return Ok(());
    }
    Err(vec![Objection::to_setting("", "the entities are not sorted by name, each once")])
}

#[cfg(test)]
mod tests;
