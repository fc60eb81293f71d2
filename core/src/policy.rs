//! The façade: what the other modules decide, as one policy.

use alloc::string::String;
use alloc::vec::Vec;

use crate::distinct::distinct;
use crate::lifetime::{DURATION_MAX_MS, Terms};
use crate::settings::{ENTITIES_MAX, Entity, Settings};
use crate::template::Source;
use crate::{
    Argument, Change, Event, Key, Manifest, Memo, Moment, Plan, Problem, Query, Refusal, Request,
    Row, Subject, Tag, Target, Turn, flight, invalidation,
};

/// Where, in [`Memo::spare`], an ad-hoc query's lifetime begins; below are the indexes of entities.
const SPARE_QUERY: u32 = ENTITIES_MAX as u32;

const _: () = assert!(DURATION_MAX_MS < u32::MAX - SPARE_QUERY);

/// A policy with its settings. See the [crate's front page](crate) for the order of calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    settings: Settings,
}

impl Policy {
    /// Makes a policy of its settings, a JSON object.
    ///
    /// # Errors
    /// Every problem with the settings, each with its path.
    pub fn try_new(settings: &str) -> Result<Self, Vec<Problem>> {
        Settings::try_new(settings).map(|settings| Self { settings })
    }

    /// What this policy is called. It needs no settings for that.
    #[must_use]
    pub fn describe() -> Manifest {
        Manifest { name: "default".into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    /// Names a read.
    ///
    /// # Errors
    /// [`Refusal`] says what the request has wrong.
    pub fn plan(&self, request: &Request) -> Result<Plan, Refusal> {
        match &request.subject {
            Subject::Entity(name) => self.plan_entity(name, &request.arguments),
            Subject::Query(query) => self.plan_query(query, &request.arguments),
        }
    }

    /// The tags that depend on the loaded rows, sorted, none twice.
    ///
    /// # Errors
    /// As [`Policy::plan`].
    pub fn row_tags(&self, request: &Request, rows: &[Row]) -> Result<Vec<Tag>, Refusal> {
        let name = match &request.subject {
            Subject::Entity(name) => name,
            Subject::Query(_) => return Ok(Vec::new()),
        };
        let (_, entity) = self.settings.entity(name).ok_or(Refusal::UnknownEntity)?;
        let values = bind(&entity.params, &request.arguments)?;
        let mut tags = Vec::new();
        for row in rows {
            let lookup = |source: &Source| lookup(entity, &values, row, source);
            tags.extend(entity.row_tags.iter().filter_map(|template| template.render(&lookup)));
        }
        Ok(distinct(tags))
    }

    /// One transition of a flight: no allocation, no error.
    #[must_use]
    pub fn step(&self, memo: Memo, moment: Moment, event: Event) -> Turn {
        match self.terms(memo.spare) {
            Some(terms) => flight::step(&terms, &self.settings.tuning, memo, moment, event),
            None => flight::astray(memo, event),
        }
    }

    /// What a change makes untrue, sorted, none twice; empty for a write that nobody declared.
    #[must_use]
    pub fn invalidate(&self, change: &Change) -> Vec<Target> {
        let entity = self.settings.entity(&change.entity);
        let write = entity
            .and_then(|(_, entity)| entity.writes.iter().find(|write| write.name == change.write));
        write.map_or_else(Vec::new, |write| invalidation::targets(write, change))
    }

    fn plan_entity(&self, name: &str, arguments: &[Argument]) -> Result<Plan, Refusal> {
        let (index, entity) = self.settings.entity(name).ok_or(Refusal::UnknownEntity)?;
        let values = bind(&entity.params, arguments)?;
        let lookup = |source: &Source| lookup(entity, &values, &[], source);
        let tags = entity.tags.iter().filter_map(|template| template.render(&lookup));
        let spare = u32::try_from(index).map_err(|_| Refusal::UnknownEntity)?;
        Ok(Plan {
            key: Key::entity(&self.settings.namespace, name, &values),
            tags: distinct(tags.collect()),
            row_columns: entity.row_columns.clone(),
            memo: flight::begin(spare),
        })
    }

    fn plan_query(&self, query: &Query, arguments: &[Argument]) -> Result<Plan, Refusal> {
        let sorted = sort(arguments)?;
        let tags = distinct(query.tags.iter().map(|tag| Tag::given(tag)).collect());
        let ttl_ms = match query.ttl_ms {
            0 => self.settings.query_ttl_ms,
            ttl_ms => ttl_ms.min(DURATION_MAX_MS),
        };
        let asked = (query.sql.as_str(), query.ttl_ms);
        Ok(Plan {
            key: Key::query(&self.settings.namespace, asked, &tags, &sorted),
            tags,
            row_columns: Vec::new(),
            memo: flight::begin(SPARE_QUERY + ttl_ms),
        })
    }

    /// The terms that [`Memo::spare`] stands for; none: this policy did not write it.
    fn terms(&self, spare: u32) -> Option<Terms> {
        match spare.checked_sub(SPARE_QUERY) {
            Some(ttl_ms) => {
                (1..=DURATION_MAX_MS).contains(&ttl_ms).then(|| Terms::of_query(ttl_ms))
            }
            None => {
                let index = usize::try_from(spare).ok()?;
                self.settings.entities.get(index).map(|entity| entity.terms)
            }
        }
    }
}

/// The values of the declared parameters, in their order.
fn bind<'r>(params: &[String], arguments: &'r [Argument]) -> Result<Vec<Option<&'r str>>, Refusal> {
    let mut slots = alloc::vec![None; params.len()];
    for Argument { name, value } in arguments {
        let index = params.iter().position(|param| param == name);
        match index.and_then(|index| slots.get_mut(index)) {
            Some(slot @ None) => *slot = Some(value.as_deref()),
            Some(Some(_)) | None => return Err(Refusal::SurplusArgument(name.clone())),
        }
    }
    let mut values = Vec::with_capacity(params.len());
    for (name, slot) in params.iter().zip(slots) {
        values.push(slot.ok_or_else(|| Refusal::MissingArgument(name.clone()))?);
    }
    Ok(values)
}

/// The arguments of an ad-hoc query by name, none of them twice.
fn sort(arguments: &[Argument]) -> Result<Vec<(&str, Option<&str>)>, Refusal> {
    let mut sorted: Vec<(&str, Option<&str>)> = Vec::with_capacity(arguments.len());
    for Argument { name, value } in arguments {
        let name = name.as_str();
        match sorted.binary_search_by_key(&name, |(name, _)| *name) {
            Ok(_) => return Err(Refusal::SurplusArgument(name.into())),
            Err(index) => sorted.insert(index, (name, value.as_deref())),
        }
    }
    Ok(sorted)
}

/// What a template's placeholder stands for. A row shorter than its columns has nulls at its end.
fn lookup<'v>(
    entity: &Entity,
    values: &[Option<&'v str>],
    row: &'v [Option<String>],
    source: &Source,
) -> Option<Option<&'v str>> {
    match source {
        Source::Parameter(index) => values.get(*index).copied(),
        // The settings have none in a read's tags.
        Source::Old(_) => None,
        Source::Column(name) => {
            let index = entity.row_columns.iter().position(|column| column == name)?;
            Some(row.get(index).and_then(Option::as_deref))
        }
    }
}

#[cfg(test)]
mod tests;
