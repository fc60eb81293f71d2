//! Requests by name: from what a client sent to what the cache works with.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::cache::{
    Answer, Definition, Invalidated, Invalidation, LoadError, QueryLoader, Read, ReadError,
    WriteCall, WriteError, Wrote,
};
use crate::config::{Config, Entity, Param};
use crate::name::{InvalidName, Key, Name, Tag};
use crate::origin::{OriginError, ParamType, ReadStatement, Rows, Value};
use crate::policy::{Argument, Query, Request, Subject};

use super::{Bound, Corral};

/// Parameters as a client sent them.
#[derive(Debug, Clone, Copy)]
pub enum Arguments<'a> {
    /// From a query string.
    Text(&'a [(Cow<'a, str>, Cow<'a, str>)]),
    /// From a JSON body.
    Json(&'a Map<String, Json>),
}

impl Arguments<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Text(pairs) => pairs.len(),
            Self::Json(object) => object.len(),
        }
    }
}

/// A read by name.
#[derive(Debug, Clone, Copy)]
pub struct ReadRequest<'a> {
    /// The entity.
    pub entity: &'a str,
    /// Its parameters.
    pub arguments: Arguments<'a>,
    /// The client wants a value loaded after its request began.
    pub no_cache: bool,
}

/// An ad-hoc query.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryRequest {
    /// One statement that reads.
    pub sql: String,
    /// `$1`, `$2`, …: booleans, integers, floats, texts, null.
    #[serde(default)]
    pub params: Vec<Json>,
    /// Tags by which the answer shall be invalidated.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How long the answer may be kept (`30s`); none: as configured.
    #[serde(default)]
    pub ttl: Option<String>,
}

/// A parameter that is missing, surplus or of another type.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct InvalidArgument {
    /// Which.
    pub parameter: String,
    /// What is wrong with it, as a sentence.
    pub problem: String,
}

/// Why a request was not served.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RequestError {
    /// No entity of this name.
    #[error("there is no entity {0:?}")]
    UnknownEntity(String),
    /// The entity has no such write.
    #[error("the entity has no write {0:?}")]
    UnknownWrite(String),
    /// Everything that is wrong with the parameters.
    #[error("{} parameters are wrong", .0.len())]
    Arguments(Vec<InvalidArgument>),
    /// The configuration does not allow it.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// The origin rejected the client's statement, with this code.
    #[error("the origin rejected the query ({0})")]
    Query(String),
    /// The read failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The write failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Corral {
    /// Answers a read of a configured entity.
    ///
    /// # Errors
    /// [`RequestError`]
    pub async fn read(&self, request: ReadRequest<'_>) -> Result<Answer, RequestError> {
        let bound = self.entity(request.entity)?;
        let values = typed(&bound.entity.params, request.arguments)?;
        if request.no_cache && !self.inner.config.access.no_cache {
            return Err(RequestError::NotAllowed(
                "this host does not obey Cache-Control: no-cache (access.no_cache)",
            ));
        }
        let read = sql_read(bound, values)?.bypassing(request.no_cache);
        Ok(self.inner.cache.read(read).await?)
    }

    /// Answers an ad-hoc query.
    ///
    /// # Errors
    /// [`RequestError`]
    pub async fn query(&self, request: QueryRequest) -> Result<Answer, RequestError> {
        let config = &self.inner.config.query;
        let Some(origin) = self.inner.origin.as_ref().filter(|_| config.enabled) else {
            return Err(RequestError::NotAllowed("ad-hoc queries are off (query.enabled)"));
        };
        if request.sql.contains('\0') {
            let problem = "it holds the character U+0000".to_owned();
            return Err(RequestError::Arguments(vec![wrong("sql", problem)]));
        }
        let ttl = match &request.ttl {
            None => config.ttl,
            Some(text) => query_ttl(text)?,
        };
        for tag in &request.tags {
            Tag::try_new(tag).map_err(|problem| invalid_name("tags", tag, &problem))?;
        }
        let values = request.params.iter().enumerate().map(query_value);
        let values = values.collect::<Result<Vec<Value>, _>>()?;
        let statement = ReadStatement {
            sql: request.sql.trim().trim_end_matches(';').to_owned(),
            params: values.iter().map(Value::ty).collect(),
            rows: Rows::Many,
        };
        let query = Query {
            sql: statement.sql.clone(),
            ttl_ms: u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX),
            tags: request.tags,
        };
        let entity = Arc::new(query_entity(&values, ttl, config.deadline));
        let loader = Arc::new(QueryLoader { origin: Arc::clone(origin), statement });
        let definition = Arc::clone(&self.inner.query);
        let read = Read::new(definition, values, loader).of_query(query, entity);
        self.inner.cache.read(read).await.map_err(|error| {
            if let ReadError::Load(LoadError::Origin(OriginError::Rejected { code, .. })) = error {
                return RequestError::Query(code);
            }
            error.into()
        })
    }

    /// Runs a configured write.
    ///
    /// # Errors
    /// [`RequestError`]
    pub async fn write(
        &self,
        entity: &str,
        write: &str,
        arguments: &Map<String, Json>,
    ) -> Result<Wrote, RequestError> {
        let bound = self.entity(entity)?;
        let unknown = || RequestError::UnknownWrite(write.to_owned());
        let declared = bound.entity.writes.get(write).ok_or_else(unknown)?;
        let statement = bound.writes.get(write).map(Arc::clone).ok_or_else(unknown)?;
        let values = typed(&declared.params, Arguments::Json(arguments))?;
        let origin = self.inner.origin.as_ref().ok_or(ReadError::Unbound)?;
        let call = WriteCall {
            entity: entity.to_owned(),
            write: write.to_owned(),
            arguments: named(&declared.params, &values),
            statement,
            values,
            needs: declared.touched_columns().into_iter().map(str::to_owned).collect(),
            origin: Arc::clone(origin),
            deadline: bound.entity.deadline,
            resolve: self.resolver(),
        };
        Ok(self.inner.cache.write(call).await?)
    }

    /// Invalidates keys, tags and reads.
    ///
    /// # Errors
    /// [`RequestError`] when one of them can't be named; then nothing was invalidated.
    pub async fn invalidate(
        &self,
        keys: &[String],
        tags: &[String],
        reads: &[(String, Map<String, Json>)],
    ) -> Result<Invalidated, RequestError> {
        let key =
            |key: &String| Key::try_new(key).map_err(|problem| invalid_name("keys", key, &problem));
        let tag =
            |tag: &String| Tag::try_new(tag).map_err(|problem| invalid_name("tags", tag, &problem));
        let invalidation = Invalidation {
            keys: keys.iter().map(key).collect::<Result<_, _>>()?,
            tags: tags.iter().map(tag).collect::<Result<_, _>>()?,
            reads: reads
                .iter()
                .map(|(entity, params)| self.named_read(entity, params))
                .collect::<Result<_, _>>()?,
        };
        Ok(self.inner.cache.invalidate(invalidation).await?)
    }

    /// Makes every value of the deployment untrue; returns once every host knows, about a second later.
    pub async fn flush(&self) -> Invalidated {
        self.inner.cache.flush().await
    }

    /// What the read of an entity is called in the store, under the policy in force; `None` if it has no
    /// key.
    ///
    /// # Errors
    /// [`RequestError`] when there is no such read.
    pub fn name_of(
        &self,
        entity: &str,
        params: &Map<String, Json>,
    ) -> Result<Option<Name>, RequestError> {
        let request = self.named_read(entity, params)?;
        let definition = &self.entity(entity)?.definition;
        let plan = self.inner.policies.slot().current().name(&request);
        let plan = plan.ok().and_then(Result::ok);
        Ok(plan.map(|plan| definition.place_of(&request, &plan).name))
    }

    pub(super) fn entity(&self, name: &str) -> Result<&Arc<Bound>, RequestError> {
        let unknown = || RequestError::UnknownEntity(name.to_owned());
        self.inner.entities.get(name).ok_or_else(unknown)
    }

    fn named_read(
        &self,
        entity: &str,
        params: &Map<String, Json>,
    ) -> Result<Request, RequestError> {
        let bound = self.entity(entity)?;
        let values = typed(&bound.entity.params, Arguments::Json(params))?;
        let arguments = named(&bound.entity.params, &values);
        Ok(Request { subject: Subject::Entity(entity.to_owned()), arguments })
    }

    /// How a read that the policy named is loaded by a writer.
    fn resolver(&self) -> crate::cache::Resolve {
        let corral = self.clone();
        Arc::new(move |request| {
            let Subject::Entity(name) = &request.subject else { return None };
            let bound = corral.entity(name).ok()?;
            let value = |param: &Param| {
                let argument = request.arguments.iter().find(|a| a.name == param.name)?;
                Value::from_text(param.ty, argument.value.as_deref()).ok()
            };
            let values = bound.entity.params.iter().map(value).collect::<Option<_>>()?;
            sql_read(bound, values).ok()
        })
    }
}

fn sql_read(bound: &Bound, values: Vec<Value>) -> Result<Read, ReadError> {
    let loader = bound.loader.as_ref().ok_or(ReadError::Unbound)?;
    Ok(Read::new(Arc::clone(&bound.definition), values, Arc::clone(loader)))
}

/// The values of `params`, in their order, or everything that is wrong with them.
pub(super) fn typed(
    params: &[Param],
    arguments: Arguments<'_>,
) -> Result<Vec<Value>, RequestError> {
    let mut problems = Vec::new();
    let mut values = Vec::with_capacity(params.len());
    for param in params {
        let value = match arguments {
            Arguments::Text(pairs) => pairs
                .iter()
                .find(|(name, _)| *name == param.name)
                .map(|(_, text)| Value::from_text(param.ty, Some(text))),
            Arguments::Json(object) => {
                object.get(&param.name).map(|json| Value::from_json(param.ty, json))
            }
        };
        match value {
            Some(Ok(value)) => values.push(value),
            Some(Err(invalid)) => problems.push(wrong(&param.name, invalid.to_string())),
            None => problems.push(wrong(&param.name, format!("it is missing; it is {}", param.ty))),
        }
    }
    // As many arguments as parameters, and each parameter has one: there is none to spare.
    if !problems.is_empty() || arguments.len() > params.len() {
        problems.splice(0..0, surplus(params, arguments));
        return Err(RequestError::Arguments(problems));
    }
    Ok(values)
}

fn surplus(params: &[Param], arguments: Arguments<'_>) -> Vec<InvalidArgument> {
    let names: Vec<&str> = match arguments {
        Arguments::Text(pairs) => pairs.iter().map(|(name, _)| &**name).collect(),
        Arguments::Json(object) => object.keys().map(String::as_str).collect(),
    };
    let mut problems = Vec::new();
    for (at, name) in names.iter().enumerate() {
        if !params.iter().any(|param| param.name == *name) {
            problems.push(wrong(name, "there is no such parameter".to_owned()));
        } else if names[..at].contains(name) {
            problems.push(wrong(name, "it is given twice".to_owned()));
        }
    }
    problems
}

fn wrong(parameter: &str, problem: String) -> InvalidArgument {
    InvalidArgument { parameter: parameter.chars().take(64).collect(), problem }
}

fn invalid_name(list: &str, name: &str, problem: &InvalidName) -> RequestError {
    let shown: String = name.chars().take(64).collect();
    RequestError::Arguments(vec![wrong(list, format!("{shown:?} is no legal name: {problem}"))])
}

pub(super) fn named(params: &[Param], values: &[Value]) -> Vec<Argument> {
    let pairs = params.iter().zip(values);
    pairs
        .map(|(param, value)| Argument {
            name: param.name.clone(),
            value: value.canonical().map(str::to_owned),
        })
        .collect()
}

/// The contract counts in milliseconds of 32 bits, and what is kept for ever is no cache.
const QUERY_TTL_LIMIT: Duration = Duration::from_secs(30 * 24 * 3600);

fn query_ttl(text: &str) -> Result<Duration, RequestError> {
    let problem = |problem: String| RequestError::Arguments(vec![wrong("ttl", problem)]);
    let ttl = humantime::parse_duration(text)
        .map_err(|_error| problem("it is no duration; write \"30s\" or \"5m\"".to_owned()))?;
    if ttl < Duration::from_millis(1) || ttl > QUERY_TTL_LIMIT {
        return Err(problem("it is to lie between 1ms and 30days".to_owned()));
    }
    Ok(ttl)
}

fn query_value((at, json): (usize, &Json)) -> Result<Value, RequestError> {
    let ty = match json {
        Json::Bool(_) => ParamType::Bool,
        Json::Number(number) if number.is_f64() => ParamType::Float8,
        Json::Number(_) => ParamType::Int8,
        Json::Null | Json::String(_) | Json::Array(_) | Json::Object(_) => ParamType::Text,
    };
    Value::from_json(ty, json).map_err(|invalid| {
        RequestError::Arguments(vec![wrong(&format!("params[{at}]"), invalid.to_string())])
    })
}

/// Ad-hoc queries as one definition: the names of all of them have its digest, and its floor.
pub(super) fn query_definition(config: &Config) -> Arc<Definition> {
    let entity = query_entity(&[], QUERY_TTL_LIMIT, config.query.deadline);
    Definition::new(Arc::new(entity), &config.store.prefix)
}

fn query_entity(values: &[Value], ttl: Duration, deadline: Duration) -> Entity {
    let param =
        |(at, value): (usize, &Value)| Param { name: format!("{:03}", at + 1), ty: value.ty() };
    Entity {
        name: "~query".to_owned(),
        params: values.iter().enumerate().map(param).collect(),
        read: None,
        rows: Rows::Many,
        ttl,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        negative_ttl: ttl,
        tags: Vec::new(),
        deadline,
        near: Duration::ZERO,
        writes: std::collections::BTreeMap::new(),
    }
}
