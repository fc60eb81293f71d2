//! The settings, and what they alone decide: plans and the tags of rows. The host has validated
//! them for the default policy; here what can't be read is left out.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use crate::{Argument, Memo, Plan, Problem, Refusal, Request, Row, Subject, naming};

/// What the policy was told.
#[derive(Default)]
pub struct Settings {
    pub(crate) namespace: String,
    /// For ad-hoc queries.
    pub(crate) query_ttl_ms: u32,
    pub(crate) entities: Vec<Entity>,
}

pub(crate) struct Entity {
    pub(crate) name: String,
    pub(crate) params: Vec<String>,
    pub(crate) ttl_ms: u32,
    pub(crate) negative_ttl_ms: u32,
    pub(crate) stale_if_error_ms: u32,
    pub(crate) tags: Vec<String>,
    pub(crate) writes: Vec<Write>,
}

pub(crate) struct Write {
    pub(crate) name: String,
    pub(crate) through: bool,
    pub(crate) touches: Vec<String>,
}

impl Settings {
    pub(crate) fn try_new(text: &str) -> Result<Self, Problem> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| Problem { path: String::new(), message: error.to_string() })?;
        let namespace = value.get("namespace").and_then(Value::as_str).unwrap_or("v1").to_string();
        let query_ttl_ms = number(value.get("query").unwrap_or(&Value::Null), "ttl_ms");
        let entities = members(&value, "entities").map(|(name, entity)| Entity::of(name, entity));
        Ok(Self { namespace, query_ttl_ms, entities: entities.collect() })
    }

    pub(crate) fn entity(&self, name: &str) -> Option<(usize, &Entity)> {
        self.entities.iter().enumerate().find(|(_, entity)| entity.name == name)
    }

    /// The plain plan.
    ///
    /// # Errors
    /// What the request has wrong.
    pub fn plan(&self, request: &Request) -> Result<Plan, Refusal> {
        match &request.subject {
            Subject::Entity(name) => self.plan_entity(name, &request.arguments),
            Subject::Query(query) => {
                let arguments = request.arguments.iter();
                let mut sorted: Vec<_> =
                    arguments.map(|a| (a.name.as_str(), a.value.as_deref())).collect();
                sorted.sort_unstable();
                let memo = memo(self.entities.len());
                let tags = distinct(query.tags.iter().cloned());
                let key = naming::query_key(&self.namespace, query, &tags, &sorted);
                Ok(Plan { key, tags, row_columns: Vec::new(), memo })
            }
        }
    }

    fn plan_entity(&self, name: &str, arguments: &[Argument]) -> Result<Plan, Refusal> {
        let (index, entity) = self.entity(name).ok_or(Refusal::UnknownEntity)?;
        let values = entity.bind(arguments)?;
        let (row_tags, tags): (Vec<&String>, Vec<&String>) =
            entity.tags.iter().partition(|template| template.contains("{row."));
        let of_request = |source: &str| entity.value(&values, source);
        Ok(Plan {
            key: naming::key(&self.namespace, name, &values),
            tags: distinct(tags.into_iter().filter_map(|template| render(template, &of_request))),
            row_columns: columns(&row_tags),
            memo: memo(index),
        })
    }

    /// The plain tags of rows.
    ///
    /// # Errors
    /// As [`Settings::plan`].
    pub fn row_tags(&self, request: &Request, rows: &[Row]) -> Result<Vec<String>, Refusal> {
        let Subject::Entity(name) = &request.subject else { return Ok(Vec::new()) };
        let (_, entity) = self.entity(name).ok_or(Refusal::UnknownEntity)?;
        let values = entity.bind(&request.arguments)?;
        let templates: Vec<&String> =
            entity.tags.iter().filter(|template| template.contains("{row.")).collect();
        let columns = columns(&templates);
        let tags = rows.iter().flat_map(|row| {
            let lookup = |source: &str| match source.strip_prefix("row.") {
                Some(column) => {
                    let at = columns.iter().position(|known| known == column)?;
                    Some(row.get(at).and_then(Option::as_deref))
                }
                None => entity.value(&values, source),
            };
            templates.iter().filter_map(|template| render(template, &lookup)).collect::<Vec<_>>()
        });
        Ok(distinct(tags))
    }
}

impl Entity {
    fn of(name: &str, value: &Value) -> Self {
        let write = |(name, write): (&str, &Value)| Write {
            name: name.to_string(),
            through: write.get("then").and_then(Value::as_str) == Some("write-through"),
            touches: texts(write, "touches"),
        };
        Self {
            name: name.to_string(),
            params: texts(value, "params"),
            ttl_ms: number(value, "ttl_ms"),
            negative_ttl_ms: number(value, "negative_ttl_ms"),
            stale_if_error_ms: number(value, "stale_if_error_ms"),
            tags: texts(value, "tags"),
            writes: members(value, "writes").map(write).collect(),
        }
    }

    fn bind<'r>(&self, arguments: &'r [Argument]) -> Result<Vec<Option<&'r str>>, Refusal> {
        let known = |argument: &&Argument| !self.params.contains(&argument.name);
        if let Some(surplus) = arguments.iter().find(known) {
            return Err(Refusal::SurplusArgument(surplus.name.clone()));
        }
        let value = |param: &String| {
            let argument = arguments.iter().find(|argument| argument.name == *param);
            let argument = argument.ok_or_else(|| Refusal::MissingArgument(param.clone()))?;
            Ok(argument.value.as_deref())
        };
        self.params.iter().map(value).collect()
    }

    fn value<'v>(&self, values: &[Option<&'v str>], source: &str) -> Option<Option<&'v str>> {
        let at = self.params.iter().position(|param| param == source)?;
        values.get(at).copied()
    }
}

/// Puts values in the place of `{…}`; none: one of them is not known.
pub(crate) fn render<'v>(
    template: &str,
    lookup: &impl Fn(&str) -> Option<Option<&'v str>>,
) -> Option<String> {
    let (mut out, mut rest) = (String::new(), template);
    while let Some((text, after)) = rest.split_once('{') {
        let (source, after) = after.split_once('}')?;
        out.push_str(text);
        naming::segment(&mut out, lookup(source)?);
        rest = after;
    }
    out.push_str(rest);
    Some(naming::tag(out))
}

/// The columns that templates name, none twice.
fn columns(templates: &[&String]) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for template in templates {
        for piece in template.split("{row.").skip(1) {
            let column = piece.split('}').next().unwrap_or_default();
            if !columns.iter().any(|known| known == column) {
                columns.push(column.to_string());
            }
        }
    }
    columns
}

fn memo(entity: usize) -> Memo {
    let spare = u32::try_from(entity).unwrap_or(u32::MAX);
    Memo { phase: 0, attempts: 0, since_ms: 0, spare }
}

fn distinct(tags: impl Iterator<Item = String>) -> Vec<String> {
    let mut tags: Vec<String> = tags.collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

fn number(value: &Value, name: &str) -> u32 {
    let number = value.get(name).and_then(Value::as_u64).unwrap_or(0);
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn texts(value: &Value, name: &str) -> Vec<String> {
    let texts = value.get(name).and_then(Value::as_array).into_iter().flatten();
    texts.filter_map(Value::as_str).map(ToString::to_string).collect()
}

fn members<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = (&'v str, &'v Value)> {
    let members = value.get(name).and_then(Value::as_object).into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value))
}
