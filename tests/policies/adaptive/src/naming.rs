//! How reads are named. Two different reads never share a key; names are those of the built-in
//! policy, so exchanging one for the other leaves no key behind.

use crate::bindings::exports::corral::policy::types::{
    Argument, Plan, Query, Refusal, Request, Row, Subject,
};
use crate::canonical::{Digest, segment};
use crate::flight::begin;
use crate::settings::{Entity, Settings};
use crate::template::Source;

const KEY_BYTES_MAX: usize = 256;
const KEY_ARGUMENTS_MAX: usize = 8;

pub fn plan(settings: &Settings, request: &Request) -> Result<Plan, Refusal> {
    match &request.subject {
        Subject::Entity(name) => plan_entity(settings, name, &request.arguments),
        Subject::Query(query) => plan_query(settings, query, &request.arguments),
    }
}

fn plan_entity(settings: &Settings, name: &str, given: &[Argument]) -> Result<Plan, Refusal> {
    let (index, entity) = settings.entity(name).ok_or(Refusal::UnknownEntity)?;
    let values = bind(entity, given)?;
    let known = |source: &Source| source.find(&values, |_| None);
    Ok(Plan {
        key: entity_key(&settings.namespace, name, &values),
        tags: distinct(entity.tags.iter().filter_map(|tag| tag.render(known))),
        row_columns: entity.row_columns.clone(),
        memo: begin(index),
    })
}

fn plan_query(settings: &Settings, query: &Query, given: &[Argument]) -> Result<Plan, Refusal> {
    let mut given: Vec<&Argument> = given.iter().collect();
    given.sort_by(|one, other| one.name.cmp(&other.name));
    if let Some(twice) = given.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(Refusal::SurplusArgument(twice[0].name.clone()));
    }
    let tags = distinct(query.tags.iter().cloned());
    let digest = Digest::of("corral:key:query:2")
        .text(&query.sql)
        .text(&query.ttl_ms.to_string())
        .text(&tags.len().to_string());
    let digest = tags.iter().fold(digest, |digest, tag| digest.text(tag));
    let digest = given.iter().fold(digest, |digest, argument| {
        digest.text(&argument.name).value(argument.value.as_deref())
    });
    Ok(Plan {
        key: format!("{}:~query:~{}", settings.namespace, digest.hex()),
        tags,
        row_columns: Vec::new(),
        memo: begin(settings.spare_of_query(query.ttl_ms)),
    })
}

/// The tags that depend on rows, none twice.
pub fn row_tags(
    settings: &Settings,
    request: &Request,
    rows: &[Row],
) -> Result<Vec<String>, Refusal> {
    let Subject::Entity(name) = &request.subject else {
        return Ok(Vec::new());
    };
    let (_, entity) = settings.entity(name).ok_or(Refusal::UnknownEntity)?;
    let values = bind(entity, &request.arguments)?;
    let tags = rows.iter().flat_map(|row| {
        let column = |name: &str| {
            let at = entity
                .row_columns
                .iter()
                .position(|column| column == name)?;
            Some(row.get(at).and_then(Option::as_deref))
        };
        let known = |source: &Source| source.find(&values, column);
        entity
            .row_tags
            .iter()
            .filter_map(move |tag| tag.render(known))
            .collect::<Vec<_>>()
    });
    Ok(distinct(tags))
}

/// The values of the declared parameters, in their order.
fn bind<'a>(entity: &Entity, given: &'a [Argument]) -> Result<Vec<Option<&'a str>>, Refusal> {
    let mut values = vec![None; entity.params.len()];
    for argument in given {
        let at = entity
            .params
            .iter()
            .position(|param| *param == argument.name);
        match at.map(|at| &mut values[at]) {
            Some(free @ None) => *free = Some(argument.value.as_deref()),
            Some(Some(_)) | None => return Err(Refusal::SurplusArgument(argument.name.clone())),
        }
    }
    let bound = entity.params.iter().zip(values);
    bound
        .map(|(name, value)| value.ok_or(Refusal::MissingArgument(name.clone())))
        .collect()
}

/// Values spelt out, as long as a person would read them; else their digest.
fn entity_key(namespace: &str, entity: &str, values: &[Option<&str>]) -> String {
    let name = format!("{namespace}:{entity}");
    let short = |value: &Option<&str>| value.is_none_or(|text| text.len() < KEY_BYTES_MAX);
    if values.len() <= KEY_ARGUMENTS_MAX && values.iter().all(short) {
        let key = values
            .iter()
            .fold(name.clone(), |key, value| key + ":" + &segment(*value));
        if key.len() <= KEY_BYTES_MAX {
            return key;
        }
    }
    let digest = Digest::of("corral:key:entity:1").text(entity);
    let digest = values
        .iter()
        .fold(digest, |digest, value| digest.value(*value));
    format!("{name}:~{}", digest.hex())
}

fn distinct(tags: impl Iterator<Item = String>) -> Vec<String> {
    let mut tags: Vec<String> = tags.collect();
    tags.sort();
    tags.dedup();
    tags
}
